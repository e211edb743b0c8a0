// Weighted cross entropy and its gradient in one pass: the logits are read once, the gradient is written once.
//
// planar: a thread holds the n logits of V = 4 neighbouring pixels in registers, where they become their gradient; eight
// pixels of 2 bytes would not fit there. tiled: any n, and channels-last, whose gradient goes back through the tile that
// its logits came by. The losses of a block are summed in a fixed order, and then those of the blocks, so that the result
// is the same at every call.
namespace fc {

constexpr int THREADS = 128;
constexpr int SUMMERS = 1024;  // threads of the one block that adds up all others

FC_DEVICE int bin_of(u8 label) { return label; }
FC_DEVICE int bin_of(int label) { return label; }
FC_DEVICE int bin_of(long long label) { return label == (int)label ? (int)label : -1; }

// x_y, NaN for a label that is no bin.
template <class Row>
FC_DEVICE float pick(const Row &x, int label) {
    float picked = not_a_number();
#pragma unroll
    for (int b = 0; b < x.size(); ++b)
        if (b == label) picked = x[b];
    return picked;
}

// w (log sum_b e^x_b - x_y), and put(b, scale w (softmax(x)_b - [b = y])) bin by bin: x_b may be overwritten by it.
template <bool GRADIENT, class Row, class Put>
FC_DEVICE float cross_entropy(const Row &x, int label, float weight, float scale, const Put &put) {
    const float top = peak(x), total = partition(x, top);
    const float loss = weight * (log2_fast(total) * (1.0f / LOG2E) - (pick(x, label) - top));
    if (GRADIENT) {
        const float unit = weight * scale, share = unit * __frcp_rn(total);
#pragma unroll
        for (int b = 0; b < x.size(); ++b) {
            const float p = exp2_fast((x[b] - top) * LOG2E) * share;
            put(b, b == label ? p - unit : p);
        }
    }
    return loss;
}

// The sum over the threads of a block, always in the same order.
FC_DEVICE void sum_block(float mine, float *sum) {
    __shared__ float all[THREADS];
    all[threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.x < WARP) {
        float total = 0.0f;
        for (int k = threadIdx.x; k < blockDim.x; k += WARP) total += all[k];
        for (int by = WARP / 2; by > 0; by /= 2) total += __shfl_down_sync(0xffffffffu, total, by);
        if (threadIdx.x == 0) store(sum, total);
    }
}

template <class Logit, int N, int V, class Label, bool GRADIENT, class Index>
__global__ void __launch_bounds__(THREADS)
    loss_planar(const Logit *x, Index count, Index pixels, const Label *labels, const float *weights, const float *scale,
                Logit *gradient, float *sums) {
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    float loss = 0.0f;
    if (pixel < pixels) {
        const Index base = pixel + pixel / count * (N - 1) * count;
        Held<Logit, N, V> held = hold<Logit, N, V>(x + base, count);
        const Pack<Label, V> label = load<Label, V>(labels + pixel);
        const Pack<float, V> weight = load<float, V>(weights + pixel);
        const float unit = load(scale);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            const auto put = [&](int b, float value) { held.plane[b].at[v] = from_float<Logit>(value); };
            // Always so, but a branch keeps the compiler from having several pixels in work at once, for which the
            // registers do not suffice.
            if (pixel + v < pixels)
                loss += cross_entropy<GRADIENT>(HeldRow<Logit, N, V>{held, v}, bin_of(label.at[v]), weight.at[v], unit, put);
        }
        if (GRADIENT)
#pragma unroll
            for (int b = 0; b < N; ++b) store(gradient + base + b * count, held.plane[b]);
    }
    sum_block(loss, sums + blockIdx.x);
}

// Blocks of up to THREADS pixels.
template <class Logit, int N, bool LAST, class Label, bool GRADIENT, class Index>
__global__ void __launch_bounds__(THREADS)
    loss_tiled(const Logit *x, int n, int stride, Index count, Index pixels, const Label *labels, const float *weights,
               const float *scale, Logit *gradient, float *sums) {
    const Tiled<Logit, N, LAST, Index> tiled(x, n, stride, count, pixels);
    float loss = 0.0f;
    if (tiled.pixel < pixels) {
        const int label = bin_of(load(labels + tiled.pixel));
        const float weight = load(weights + tiled.pixel), unit = load(scale);
        tiled.template replace<GRADIENT>(gradient, [&](const auto &row, const auto &put) {
            loss = cross_entropy<GRADIENT>(row, label, weight, unit, put);
        });
    }
    if (GRADIENT) tiled.send(gradient);
    sum_block(loss, sums + blockIdx.x);
}

// high + low = high + low + x, but for the rounding of low.
FC_DEVICE void add_exactly(float &high, float &low, float x) {
    const float sum = high + x, part = sum - high;
    low += (high - (sum - part)) + (x - part);
    high = sum;
}

// scale * sum of `count` sums, by one block, as exactly as if it were added in float64.
__global__ void __launch_bounds__(SUMMERS) loss_total(const float *sums, u32 count, const float *scale, float *loss) {
    __shared__ float highs[SUMMERS], lows[SUMMERS];
    const u32 mine = threadIdx.x;
    float high = 0.0f, low = 0.0f;
#pragma unroll 8
    for (u32 k = mine; k < count; k += SUMMERS) add_exactly(high, low, load(sums + k));
    for (u32 half = SUMMERS / 2; half > 0; half /= 2) {
        highs[mine] = high;
        lows[mine] = low;
        __syncthreads();
        if (mine < half) {
            low += lows[mine + half];
            add_exactly(high, low, highs[mine + half]);
        }
        __syncthreads();
    }
    if (mine == 0) store(loss, (high + (low == low ? low : 0.0f)) * load(scale));  // inf leaves no remainder
}

// values *= factor; nothing is touched where the factor is 1, as it is for a loss that is not scaled further.
template <class Logit, class Index>
__global__ void __launch_bounds__(THREADS) scale_unless_one(Logit *values, Index count, const float *factor) {
    constexpr int E = 16 / sizeof(Logit);
    const float by = load(factor);
    if (by == 1.0f) return;
    const Index packs = ((u64)values & 15) == 0 ? count / E : 0;
    const Index first = (Index)blockIdx.x * THREADS + threadIdx.x, threads = (Index)gridDim.x * THREADS;
    for (Index at = first; at < packs; at += threads) {
        Pack<Logit, E> pack = load<Logit, E>(values + at * E);
#pragma unroll
        for (int k = 0; k < E; ++k) pack.at[k] = from_float<Logit>(to_float(pack.at[k]) * by);
        store(values + at * E, pack);
    }
    for (Index at = packs * E + first; at < count; at += threads)
        store(values + at, from_float<Logit>(to_float(load(values + at)) * by));
}

}  // namespace fc
