// The gradient of the annealed mean in the logits.
//
// planar and tiled, of 32 bins, in one pass: registers of a thread, or a tile of shared memory, in which the logits become
// their gradient. streamed and rows, of any other n, read the logits twice, for the mean and for the gradient; the second
// time a row comes from the cache.
namespace fc {

constexpr int THREADS = 128;

struct Slope {
    float u, v;  // the gradient in the chroma
    template <class BinColors>
    FC_DEVICE float of(const BinColors &colors, int b) const { return fmaf(u, colors.u[b], v * colors.v[b]); }
};

// put(b, f_b (c_b . g - sum_a f_a c_a . g) / T) bin by bin, with f = softmax(x / T), scale = log2(e) / T and over = 1 / T:
// x_b may be overwritten by it. NaN in all b where the annealed mean is NaN.
template <class Row, class Put>
FC_DEVICE void through_mean(const Row &x, Slope g, float scale, float over, const Palette &colors, const Put &put) {
    const float top = peak(x);
    float total = 0.0f, sum = 0.0f;
#pragma unroll
    for (int b = 0; b < x.size(); ++b) {
        const float w = exp2_fast((x[b] - top) * scale);
        total += w;
        sum = fmaf(w, g.of(colors, b), sum);
    }
    const float inverse = reciprocal(total), mean = sum * inverse, share = inverse * over;
#pragma unroll
    for (int b = 0; b < x.size(); ++b)
        put(b, exp2_fast((x[b] - top) * scale) * share * (g.of(colors, b) - mean));
}

template <class Logit, int N, int V, class Index>
__global__ void __launch_bounds__(THREADS)
    annealed_gradient_planar(const Logit *x, Index count, Index pixels, const Logit *slope, float scale, float over,
                             const Palette colors, Logit *gradient) {
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    if (pixel >= pixels) return;
    const Index before = pixel / count * count, base = pixel + before * (N - 1);
    Held<Logit, N, V> held = hold<Logit, N, V>(x + base, count);
    const Pack<Logit, V> u = load<Logit, V>(slope + pixel + before);
    const Pack<Logit, V> v = load<Logit, V>(slope + pixel + before + count);
#pragma unroll
    for (int k = 0; k < V; ++k) {
        const auto put = [&](int b, float value) { held.plane[b].at[k] = from_float<Logit>(value); };
        if (pixel + k < pixels)  // always so, see loss.cu
            through_mean(HeldRow<Logit, N, V>{held, k}, {to_float(u.at[k]), to_float(v.at[k])}, scale, over, colors, put);
    }
#pragma unroll
    for (int b = 0; b < N; ++b) store(gradient + base + b * count, held.plane[b]);
}

// Blocks of up to THREADS pixels; `between` pixels lie between the planes of the slope.
template <class Logit, int N, class Index>
__global__ void __launch_bounds__(THREADS)
    annealed_gradient_tiled(const Logit *x, int n, int stride, Index count, Index between, Index pixels, const Logit *slope,
                            float scale, float over, const Palette colors, Logit *gradient) {
    const Tiled<Logit, N, Index> tiled(x, n, stride, pixels);
    if (tiled.pixel < pixels) {
        const Index at = tiled.pixel + tiled.pixel / between * between;
        const Slope g = {to_float(load(slope + at)), to_float(load(slope + at + between))};
        tiled.template replace<true>([&](const auto &row, const auto &put) {
            through_mean(row, g, scale, over, colors, put);
        });
    }
    tiled.send(gradient);
}

// The second pass over a pixel, whose first one gave `mean`.
struct Through {
    Slope g;
    float top, share, mean;

    FC_DEVICE Through(const RunningMean &pixel, Slope g, float over) : g(g), top(pixel.level.at) {
        const Chroma c = pixel.chroma();
        share = reciprocal(pixel.total) * over;
        mean = fmaf(g.u, c.u, g.v * c.v);
    }

    template <class BinColors>
    FC_DEVICE float of(float x, int b, float scale, const BinColors &colors) const {
        return exp2_fast((x - top) * scale) * share * (g.of(colors, b) - mean);
    }
};

// Blocks an SM that the registers must allow: left to itself the compiler spills a few of them to fit in one block more.
constexpr int STREAMED_BLOCKS = 4;

template <class Logit, int V, class BinColors, class Index>
__global__ void __launch_bounds__(THREADS, STREAMED_BLOCKS)
    annealed_gradient_streamed(const Logit *x, int n, Index count, Index pixels, const Logit *slope, float scale, float over,
                               BinColors colors, Logit *gradient) {
    const auto &palette = colors.staged();
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    if (pixel >= pixels) return;
    const Index before = pixel / count * count, base = pixel + before * (n - 1);
    const Logit none = nothing<Logit>(true);
    RunningMean mean[V];
    stream<V>(x + base, n, count, none, [&](int b, const auto &held) {
#pragma unroll
        for (int k = 0; k < V; ++k) mean[k].template add<1>(HeldRow<Logit, GROUP, V>{held, k}, b, scale, palette);
    });
    const Pack<Logit, V> u = load<Logit, V>(slope + pixel + before);
    const Pack<Logit, V> v = load<Logit, V>(slope + pixel + before + count);
    stream<V>(x + base, n, count, none, [&](int b, const auto &held) {
#pragma unroll
        for (int k = 0; k < GROUP; ++k)
            if (b + k < n) {
                Pack<Logit, V> values;
#pragma unroll
                for (int i = 0; i < V; ++i) {
                    const Through through(mean[i], {to_float(u.at[i]), to_float(v.at[i])}, over);
                    values.at[i] = from_float<Logit>(through.of(to_float(held.plane[k].at[i]), b + k, scale, palette));
                }
                store(gradient + base + (b + k) * count, values);
            }
    });
}

// `between` pixels lie between the planes of the slope.
template <class Logit, int LANES, class Index>
__global__ void __launch_bounds__(THREADS)
    annealed_gradient_rows(const Logit *x, int n, Index count, Index between, Index pixels, const Logit *slope, float scale,
                           float over, Table colors, Logit *gradient) {
    const Staged palette = colors.staged();
    each_row<LANES>(x, n, pixels, nothing<Logit>(true), [&](Index pixel, const auto &bins) {
        RunningMean mean;
        bins([&](int b, const auto &held) { mean.template add<LANES>(held, b, scale, palette); });
        mean.template join<LANES>(scale);
        if (pixel >= pixels) return;
        const Index at = pixel + pixel / between * between;
        const Through through(mean, {to_float(load(slope + at)), to_float(load(slope + at + between))}, over);
        const Logit *from = x + pixel * n;
        Logit *to = gradient + pixel * n;
#pragma unroll 4
        for (int b = threadIdx.x % LANES; b < n; b += LANES)
            store(to + b, from_float<Logit>(through.of(to_float(load(from + b)), b, scale, palette)));
    });
}

}  // namespace fc
