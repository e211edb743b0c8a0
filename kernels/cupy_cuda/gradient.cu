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

// Blocks of up to THREADS pixels; `stride` elements of the tile lie between the rows of pixels (LAST) or of bins, and
// `between` pixels between the planes of the slope.
template <class Logit, int N, bool LAST, class Index>
__global__ void __launch_bounds__(THREADS)
    annealed_gradient_tiled(const Logit *x, int n, int stride, Index count, Index between, Index pixels, const Logit *slope,
                            float scale, float over, const Palette colors, Logit *gradient) {
    extern __shared__ uint4 shared[];
    Logit *tile = reinterpret_cast<Logit *>(shared);
    const Index first = (Index)blockIdx.x * blockDim.x;
    const Index pixel = first + threadIdx.x;
    const Index base = pixel + pixel / count * (n - 1) * count;
    const int valid = (int)min_of<Index>(pixels - first, blockDim.x);
    if (LAST)
        fill_rows<Logit, N>(tile, x + first * n, n, stride, valid);
    else if (pixel < pixels)
        fill_column(tile + threadIdx.x, x + base, n, stride, count);
    if (pixel < pixels) {
        const Index at = pixel + pixel / between * between;
        const Slope g = {to_float(load(slope + at)), to_float(load(slope + at + between))};
        Logit *mine = LAST ? tile + threadIdx.x * stride : tile + threadIdx.x;
        if constexpr (LAST && N > 0) {
            Row<Logit, N> held = row_of<Logit, N>(mine);
            const auto put = [&](int b, float value) { held.part[b / held.E].at[b % held.E] = from_float<Logit>(value); };
            through_mean(held, g, scale, over, colors, put);
#pragma unroll
            for (int k = 0; k < N / held.E; ++k)
                reinterpret_cast<Pack<Logit, Row<Logit, N>::E> *>(mine)[k] = held.part[k];
        } else {
            const auto put = [&](int b, float value) {
                const Logit rounded = from_float<Logit>(value);
                if (LAST)
                    mine[b] = rounded;
                else
                    store(gradient + base + b * count, rounded);
            };
            through_mean(SharedRow<Logit>{mine, LAST ? 1 : stride, n}, g, scale, over, colors, put);
        }
    }
    if (LAST) drain_rows<Logit, N>(tile, gradient + first * n, n, stride, valid);
}

}  // namespace fc
