// The gradient of the annealed mean in the logits, in one pass: the logits are read once, their gradient is written once.
//
// planar and tiled as in loss.cu: registers of a thread, or a tile of shared memory, in which the logits become their
// gradient.
namespace fc {

constexpr int THREADS = 128;

struct Slope {
    float u, v;  // the gradient in the chroma
    FC_DEVICE float of(const Palette &colors, int b) const { return fmaf(u, colors.u[b], v * colors.v[b]); }
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
    const float inverse = __frcp_rn(total), mean = sum * inverse, share = inverse * over;
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
template <class Logit, int N, bool LAST, class Index>
__global__ void __launch_bounds__(THREADS)
    annealed_gradient_tiled(const Logit *x, int n, int stride, Index count, Index between, Index pixels, const Logit *slope,
                            float scale, float over, const Palette colors, Logit *gradient) {
    const Tiled<Logit, N, LAST, Index> tiled(x, n, stride, count, pixels);
    if (tiled.pixel < pixels) {
        const Index at = tiled.pixel + tiled.pixel / between * between;
        const Slope g = {to_float(load(slope + at)), to_float(load(slope + at + between))};
        tiled.template replace<true>(gradient, [&](const auto &row, const auto &put) {
            through_mean(row, g, scale, over, colors, put);
        });
    }
    tiled.send(gradient);
}

}  // namespace fc
