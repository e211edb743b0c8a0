// Decode, annealed mean and confidence: one pass over the logits, whatever is wanted written from registers.
//
// planar: a thread holds all n logits of V neighbouring pixels, one 16-byte load a plane, all in flight at once.
// tiled: any n, and channels-last: a block brings its pixels' logits to shared memory, a thread reads one pixel's row.
// Interleaved RGB is staged in shared memory, so that a warp writes whole 16-byte words: 3 bytes a thread would touch
// each sector several times.
namespace fc {

enum Want { RGB = 1, RGB_PLANES = 2, CHROMA = 4, CONFIDENCE = 8, MODE = 16 };  // MODE: T = 0

constexpr int THREADS = 128;

// What is wanted of V neighbouring pixels, kept until all are known.
template <class Logit, int V>
struct Results {
    Colors<V> rgb;
    Pack<Logit, V> u, v;
    Pack<float, V> top, ratio;
};

template <int WANT, class Row, class Logit, int V, class Luma>
FC_DEVICE void compute(const Row &x, int k, float scale, const Palette &colors, Luma luma, Results<Logit, V> &to) {
    const float top = peak(x);
    if (WANT & CONFIDENCE) {
        const Confidence sure = confidence(x, top);
        to.top.at[k] = sure.top;
        to.ratio.at[k] = sure.ratio;
    }
    if (WANT & (RGB | RGB_PLANES | CHROMA)) {
        const Chroma c = (WANT & MODE) ? mode(x, top, colors) : annealed_mean(x, top, scale, colors);
        if (WANT & CHROMA) {
            to.u.at[k] = from_float<Logit>(c.u);
            to.v.at[k] = from_float<Logit>(c.v);
        } else {
            to.rgb.set(k, join(level(luma), c.u, c.v));
        }
    }
}

// Everything but interleaved RGB; `count` pixels lie between the planes of an output, `whole`: every lane writes.
template <int WANT, class Logit, int V, class Index>
FC_DEVICE void write(const Results<Logit, V> &from, Index pixel, Index count, bool whole, u8 *rgb, Logit *chroma,
                     float *top, float *ratio) {
    if (WANT & (RGB_PLANES | CHROMA)) {
        const Index image = pixel / count;
        if (WANT & RGB_PLANES) {
            u8 *to = rgb + pixel + 2 * image * count;
            store(to, from.rgb.r);
            store(to + count, from.rgb.g);
            store(to + 2 * count, from.rgb.b);
        } else if (count == 1) {
            store(chroma + 2 * pixel, Pack<Logit, 2>{{from.u.at[0], from.v.at[0]}});
        } else {
            Logit *to = chroma + pixel + image * count;
            store(to, from.u);
            store(to + count, from.v);
        }
    }
    if (WANT & CONFIDENCE) {
        if (V * sizeof(float) > 16 && whole) {
            store_warp(top + pixel, from.top);
            store_warp(ratio + pixel, from.ratio);
        } else {
            store(top + pixel, from.top);
            store(ratio + pixel, from.ratio);
        }
    }
}

template <class Logit, int N, int V, class Luma, int WANT, class Index>
__global__ void __launch_bounds__(THREADS)
    decode_planar(const Logit *x, Index count, Index pixels, float scale, Palette colors, const Luma *luma, u8 *rgb,
                  Logit *chroma, float *top, float *ratio) {
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    const Index first = pixel - threadIdx.x % WARP * V;  // of the warp
    Results<Logit, V> results;
    if (pixel < pixels) {
        const Held<Logit, N, V> held = hold<Logit, N, V>(x + pixel + pixel / count * (N - 1) * count, count);
        Pack<Luma, V> y;
        if (WANT & (RGB | RGB_PLANES)) y = load<Luma, V>(luma + pixel);
#pragma unroll
        for (int v = 0; v < V; ++v)
            compute<WANT>(HeldRow<Logit, N, V>{held, v}, v, scale, colors, y.at[v], results);
        write<WANT>(results, pixel, count, first + WARP * V <= pixels, rgb, chroma, top, ratio);
    }
    if (WANT & RGB) {  // by the same `first`: to count it anew costs the compiler other registers
        __shared__ Stage<V> stages[THREADS / WARP];
        send(stages[threadIdx.x / WARP], results.rgb.r, results.rgb.g, results.rgb.b, rgb, first, pixels);
    }
}

// Blocks of up to THREADS pixels.
template <class Logit, int N, bool LAST, class Luma, int WANT, class Index>
__global__ void __launch_bounds__(THREADS)
    decode_tiled(const Logit *x, int n, int stride, Index count, Index pixels, float scale, Palette colors,
                 const Luma *luma, u8 *rgb, Logit *chroma, float *top, float *ratio) {
    const Tiled<Logit, N, LAST, Index> tiled(x, n, stride, count, pixels);
    const Index pixel = tiled.pixel;
    Results<Logit, 1> results;
    if (pixel < pixels) {
        Luma y = Luma();
        if (WANT & (RGB | RGB_PLANES)) y = load(luma + pixel);
        tiled.read([&](const auto &row) { compute<WANT>(row, 0, scale, colors, y, results); });
        write<WANT>(results, pixel, count, false, rgb, chroma, top, ratio);
    }
    if (WANT & RGB) send<THREADS>(results.rgb, rgb, pixel, pixels);
}

}  // namespace fc
