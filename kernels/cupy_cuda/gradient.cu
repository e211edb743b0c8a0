// The gradient of the annealed mean in the logits.
//
// One pass: what a pixel's lanes hold of its logits becomes their gradient. Rungs, none of them measured on a GPU:
// planes of up to 32 bins in one lane, whose colors come from the constant bank; exponentials are kept, so that the gradient
// costs a product and two multiply-adds a bin.
// rows, and more planes, by several lanes, in place of a tile of shared memory and of a second pass over the logits: for 313
// planes a third of the traffic. Their colors come from shared memory.
namespace fc {

constexpr int THREADS = 128;

struct Slope {
    float u, v;  // the gradient in the chroma
    template <class BinColors>
    FC_DEVICE float of(const BinColors &colors, int b) const { return fmaf(u, colors.u[b], v * colors.v[b]); }
};

// put(k, f_b (c_b . g - sum_a f_a c_a . g) / T) bin by bin, with f = softmax(x / T), scale = log2(e) / T and over = 1 / T:
// x[k] may be overwritten by it. NaN in all b where the annealed mean is NaN.
template <class Lanes, class Row, class BinColors, class Put>
FC_DEVICE void through_mean(const Lanes &lanes, const Row &x, Slope g, float scale, float over, const BinColors &colors,
                            const Put &put) {
    constexpr int LANES = Lanes::LANES;
    const float top = largest<LANES>(peak(x));
    float e[Lanes::H], total = 0.0f, sum = 0.0f;
#pragma unroll
    for (int k = 0; k < Lanes::H; ++k) {
        e[k] = exp2_fast((x[k] - top) * scale);
        total += e[k];
        sum = fmaf(e[k], g.of(colors, lanes.bin(k)), sum);
    }
    const float inverse = reciprocal(total_of<LANES>(total)), mean = total_of<LANES>(sum) * inverse, share = inverse * over;
#pragma unroll
    for (int k = 0; k < Lanes::H; ++k) put(k, e[k] * share * (g.of(colors, lanes.bin(k)) - mean));
}

// `count` pixels lie between the planes of the slope, and between those of the logits.
template <class Lanes, class BinColors, class Logit = typename Lanes::Logit, class Index = typename Lanes::Index>
__global__ void __launch_bounds__(THREADS, BLOCKS<Lanes>)
    annealed_gradient(const Logit *x, int n, Index count, Index pixels, const Logit *slope, float scale, float over,
                      const BinColors colors, Logit *gradient) {
    const Lanes lanes(n, count, pixels);
    const Logit zero = nothing<Logit>(false);
    const auto u = lanes.of_pixels(slope, zero, 2, 0), v = lanes.of_pixels(slope, zero, 2, 1);
    auto held = lanes.get(x, nothing<Logit>(true));
    const auto &palette = colors.staged();  // while the logits are under way
#pragma unroll
    for (int i = 0; i < Lanes::PIXELS; ++i) {
        const auto put = [&](int k, float value) { Lanes::at(held, i, k) = from_float<Logit>(value); };
        if (Lanes::LANES == 1 && !lanes.has(i)) continue;  // see loss.cu
        through_mean(lanes, LaneRow<Lanes>{held, i}, {to_float(u.at[i]), to_float(v.at[i])}, scale, over, palette, put);
    }
    lanes.put(gradient, held);
}

}  // namespace fc
