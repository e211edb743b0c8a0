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
    Pack<u8, V> r, g, b;
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
            const Rgb rgb = join(level(luma), c.u, c.v);
            to.r.at[k] = (u8)rgb.r;
            to.g.at[k] = (u8)rgb.g;
            to.b.at[k] = (u8)rgb.b;
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
            store(to, from.r);
            store(to + count, from.g);
            store(to + 2 * count, from.b);
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
    if (WANT & RGB) {
        __shared__ Stage<V> stages[THREADS / WARP];
        send(stages[threadIdx.x / WARP], results.r, results.g, results.b, rgb, first, pixels);
    }
}

// Blocks of up to THREADS pixels; `stride` elements of the tile lie between the rows of pixels (LAST) or of bins.
template <class Logit, int N, bool LAST, class Luma, int WANT, class Index>
__global__ void __launch_bounds__(THREADS)
    decode_tiled(const Logit *x, int n, int stride, Index count, Index pixels, float scale, Palette colors,
                 const Luma *luma, u8 *rgb, Logit *chroma, float *top, float *ratio) {
    extern __shared__ uint4 shared[];
    Logit *tile = reinterpret_cast<Logit *>(shared);
    const Index first = (Index)blockIdx.x * blockDim.x;
    const Index pixel = first + threadIdx.x;
    if (LAST)
        fill_rows<Logit, N>(tile, x + first * n, n, stride, min_of<Index>(pixels - first, blockDim.x));
    else if (pixel < pixels)
        fill_column(tile + threadIdx.x, x + pixel + pixel / count * (n - 1) * count, n, stride, count);
    Results<Logit, 1> results;
    if (pixel < pixels) {
        Luma y = Luma();
        if (WANT & (RGB | RGB_PLANES)) y = load(luma + pixel);
        if constexpr (LAST && N > 0)
            compute<WANT>(row_of<Logit, N>(tile + threadIdx.x * stride), 0, scale, colors, y, results);
        else
            compute<WANT>(SharedRow<Logit>{LAST ? tile + threadIdx.x * stride : tile + threadIdx.x, LAST ? 1 : stride, n},
                          0, scale, colors, y, results);
        write<WANT>(results, pixel, count, false, rgb, chroma, top, ratio);
    }
    if (WANT & RGB) {
        __shared__ Stage<1> stages[THREADS / WARP];
        send(stages[threadIdx.x / WARP], results.r, results.g, results.b, rgb, pixel - threadIdx.x % WARP, pixels);
    }
}

}  // namespace fc
