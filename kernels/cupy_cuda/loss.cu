// Weighted cross entropy and its gradient, in two launches, and a third one in the backward.
//
// loss_begin sums what the loss is divided by. The pass over the logits then finds losses and gradient, and the last of
// its blocks the loss of all. In the backward the very same pass runs again with the factor from above, which is multiplied
// in before the gradient is rounded to its type; where the gradient has that factor already, it does nothing: the first
// pass takes the factor of the last backward, which is seldom another one.
// Losses are scaled before they are summed: the mean of very large ones is finite where their sum is not.
//
// Rungs; a GPU has seen an earlier form of the first alone (H200, commit 55c22d5, 8 MP, five other launches included: 78 % of
// a copy in float32, 55 in 2-byte types, best with two pixels a thread):
// planes of 32 bins, one lane a pixel. Exponentials are kept, so that the gradient is a multiply-add a bin.
// rows, 4 lanes for 32 bins, 128 bytes under way each, in place of a tile of shared memory: no barrier between load and
// store, twice the bytes under way.
// any n, shared out to more lanes, in place of a second pass over the logits: of 313 planes the cache would not have them
// any more, a third of the traffic.
namespace fc {

enum Targets { HARD = 0, SOFT = 1, DENSE = 2 };  // one label a pixel; k labels, each with its share; a share for every bin

constexpr int THREADS = 128, SUMMERS = 512;

// The loss is divided by the sum of `count` numbers `over`, and `number`. A gradient gets the factor at `factor`; null: 1.
__global__ void __launch_bounds__(SUMMERS)
    loss_begin(const float *over, u64 count, float number, float *factor, Call *call) {
    const bool first = blockIdx.x == 0 && threadIdx.x == 0;
    Exact sum;
    if (first) sum.add(number);
    add_all(sum, over, count, blockIdx.x * SUMMERS + threadIdx.x, gridDim.x * SUMMERS);
    sum = total_of_block<SUMMERS>(sum);
    if (threadIdx.x == 0) call->divisor[blockIdx.x] = sum;
    if (blockIdx.x == 0)  // what blocks there are none of have summed
        for (u32 k = gridDim.x + threadIdx.x; k < PARTS; k += SUMMERS) call->divisor[k] = Exact();
    if (first) call->next = factor, call->factor = factor ? *factor : 1.0f, call->finished = 0;
}

// What a pass is for. Without `call` nothing is divided or summed; `loss` is null in the backward, `factor` elsewhere.
struct Step {
    Call *call;
    const float *factor;
    float *loss;

    FC_DEVICE bool done() const {
        if (!factor) return false;
        const float wanted = *factor;
        if (blockIdx.x == 0 && threadIdx.x == 0) *call->next = wanted;
        return __float_as_uint(wanted) == __float_as_uint(call->factor);
    }
    FC_DEVICE float scale() const { return call ? call->scale() : 1.0f; }
    FC_DEVICE float more() const { return factor ? *factor : call ? call->factor : 1.0f; }
    FC_DEVICE void finish(float mine) const {
        if (loss) call->add_up<THREADS>(mine, loss);
        else if (factor) call->note(*factor);
    }
};

FC_DEVICE int bin_of(u8 label) { return label; }
FC_DEVICE int bin_of(u16 label) { return label; }
FC_DEVICE int bin_of(int label) { return label; }
FC_DEVICE int bin_of(long long label) { return label == (int)label ? (int)label : -1; }

// --- a pixel's targets, as its lanes see them ------------------------------------------------------------------------

// One label; NaN is the loss of one that is no bin.
struct Hard {
    float mass = 1.0f, below;
    int label;

    FC_DEVICE Hard(int label, int n) : below((u32)label < (u32)n ? 0.0f : not_a_number()), label(label) {}
    FC_DEVICE bool has(int, int bin) const { return bin == label; }
    FC_DEVICE float times(int, int bin, float x) const { return bin == label ? x : 0.0f; }
};

// A share for each of the lane's bins: what all add up to, what they make of the loss beforehand, and they themselves.
template <int H>
struct Shares {
    float mass = 0.0f, below = 0.0f, at[H] = {};

    FC_DEVICE bool has(int k, int) const { return at[k] != 0.0f; }  // one of 0 adds nothing, even where its logit is -inf
    FC_DEVICE float times(int k, int, float x) const { return at[k] * x; }
};

// Of k labels and shares, `step` elements apart: each lane reads some, and tells all others. Nothing is read unless it is
// `there`.
template <class Lanes, class Label, class Index>
FC_DEVICE Shares<Lanes::H> shares_of(const Lanes &lanes, bool there, const Label *labels, const float *from, int k,
                                     Index step, int n) {
    Shares<Lanes::H> shares;
    for (int first = 0; first < k; first += Lanes::LANES) {
        const int mine = first + lanes.lane;
        const bool read = there && mine < k;
        const int label_here = read ? bin_of(load(labels + mine * step)) : 0;
        const float share_here = read ? load(from + mine * step) : 0.0f;
        for (int j = 0; j < Lanes::LANES && first + j < k; ++j) {
            const int label = of_lane<Lanes::LANES>(label_here, j);
            const float share = of_lane<Lanes::LANES>(share_here, j);
            shares.mass += share;
            if ((u32)label >= (u32)n && share != 0.0f) shares.below = not_a_number();
#pragma unroll
            for (int b = 0; b < Lanes::H; ++b)
                if (label == lanes.bin(b)) shares.at[b] += share;
        }
    }
    return shares;
}

// l = S log sum_b e^x_b - sum_b s_b x_b, and put(k, w (S softmax(x)_b - s_b)), which may overwrite x[k]. A pixel without
// `unit`, its weight over the divisor, is not looked at.
template <bool GRADIENT, class Lanes, class Row, class Target, class Put>
FC_DEVICE float cross_entropy(const Lanes &lanes, const Row &x, const Target &target, float unit, float more, const Put &put) {
    float e[Lanes::H], total = 0.0f, below = 0.0f;
    const float top = largest<Lanes::LANES>(peak(x));
#pragma unroll
    for (int k = 0; k < Lanes::H; ++k) {
        const float y = x[k] - top;
        e[k] = exp2_fast(y * LOG2E);
        total += e[k];
        if (target.has(k, lanes.bin(k))) below += target.times(k, lanes.bin(k), y);
    }
    total = total_of<Lanes::LANES>(total), below = total_of<Lanes::LANES>(below) + target.below;
    if (GRADIENT) {
        const float scaled = unit * more, factor = scaled * target.mass * reciprocal(total);
#pragma unroll
        for (int k = 0; k < Lanes::H; ++k) put(k, fmaf(e[k], factor, -target.times(k, lanes.bin(k), scaled)));
        if (unit == 0.0f)
#pragma unroll
            for (int k = 0; k < Lanes::H; ++k) put(k, 0.0f);
    }
    return unit == 0.0f ? 0.0f : target.mass * (log2_fast(total) * (1.0f / LOG2E)) - below;
}

// `count` pixels lie between the planes of labels and shares, and between those of logits; shares of every bin lie as
// the logits do.
template <class Lanes, int TARGETS, class Label, bool GRADIENT, class Logit = typename Lanes::Logit,
          class Index = typename Lanes::Index>
__global__ void __launch_bounds__(THREADS, BLOCKS<Lanes>)
    loss_pass(const Logit *x, int n, Index count, Index pixels, const Label *labels, const float *shares, int k,
              const float *weights, Logit *gradient, float *losses, Call *call, const float *factor, float *loss) {
    const Step step = {call, factor, loss};
    if (step.done()) return;
    const Lanes lanes(n, count, pixels);
    const auto weight = lanes.of_pixels(weights, 0.0f);
    Pack<Label, Lanes::PIXELS> label;
    if (TARGETS == HARD) label = lanes.of_pixels(labels, Label(0));
    auto held = lanes.get(x, nothing<Logit>(true));
    typename Lanes::template All<float> part;
    if (TARGETS == DENSE) part = lanes.get(shares, 0.0f);
    const float scale = step.scale(), more = step.more();
    float sum = 0.0f;
    Pack<float, Lanes::PIXELS> each = {};
#pragma unroll
    for (int v = 0; v < Lanes::PIXELS; ++v) {
        const float unit = weight.at[v] * scale;
        const auto of = [&](const auto &target) {
            const auto put = [&](int b, float value) { Lanes::at(held, v, b) = from_float<Logit>(value); };
            const float mine = cross_entropy<GRADIENT>(lanes, LaneRow<Lanes>{held, v}, target, unit, more, put);
            if (lanes.lane == 0) sum = fmaf(unit, mine, sum);
            each.at[v] = weight.at[v] * mine;
        };
        // Without lanes that wait for others a branch keeps the compiler from having several pixels in work at once, for
        // which the registers do not suffice.
        if (Lanes::LANES == 1 && !lanes.has(v)) continue;
        if constexpr (TARGETS == HARD) {
            of(Hard(bin_of(label.at[v]), n));
        } else if constexpr (TARGETS == SOFT) {
            const Index at = lanes.pixel(v) + lanes.pixel(v) / count * count * (k - 1);
            of(shares_of(lanes, lanes.has(v), labels + at, shares + at, k, count, n));
        } else {
            Shares<Lanes::H> target;
#pragma unroll
            for (int b = 0; b < Lanes::H; ++b) target.mass += target.at[b] = Lanes::at(part, v, b);
            target.mass = total_of<Lanes::LANES>(target.mass);
            of(target);
        }
    }
    if (GRADIENT) lanes.put(gradient, held);
    if (losses) lanes.put_pixels(losses, each);
    step.finish(sum);
}

}  // namespace fc
