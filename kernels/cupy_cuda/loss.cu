// Weighted cross entropy and its gradient.
//
// planar and tiled, of 32 bins and one label a pixel, in one pass. planar: a thread holds the logits of V = 4 neighbouring
// pixels in registers, where they become their gradient; eight pixels of 2 bytes would not fit there. tiled:
// channels-last, whose gradient goes back through the tile that its logits came by.
// streamed and rows, of any n and any targets, read the logits a second time for the gradient.
// The losses of a block are summed in a fixed order, and then those of the blocks, so that the result is the same at every
// call. They are scaled first: the mean of very large ones is finite where their sum is not.
namespace fc {

enum Want { GRADIENT = 1, LOSSES = 2 };       // beside the sum
enum Targets { HARD = 0, SOFT = 1, DENSE = 2 };  // one label a pixel; k labels, each with its share; a share for every bin

constexpr int THREADS = 128;
constexpr int SUMMERS = 1024;  // threads of the one block that adds up all others

FC_DEVICE int bin_of(u8 label) { return label; }
FC_DEVICE int bin_of(u16 label) { return label; }
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

// log sum_b e^x_b - x_y, and put(b, unit (softmax(x)_b - [b = y])) bin by bin: x_b may be overwritten by it. A pixel
// without weight is as one of zeros, whatever its logits are.
template <int WANT, class Row, class Put>
FC_DEVICE float cross_entropy(const Row &x, int label, float unit, const Put &put) {
    const float top = peak(x), total = partition(x, top);
    const float loss = log2_fast(total) * (1.0f / LOG2E) - (pick(x, label) - top);
    if (WANT & GRADIENT) {
        const float share = unit * (1.0f / total);
#pragma unroll
        for (int b = 0; b < x.size(); ++b) {
            const float p = exp2_fast((x[b] - top) * LOG2E) * share;
            put(b, b == label ? p - unit : p);
        }
    }
    return unit == 0.0f ? 0.0f : loss;
}

template <class Row, class Put>
FC_DEVICE void clear_unless(bool weighs, const Row &x, const Put &put) {
    if (weighs) return;
#pragma unroll
    for (int b = 0; b < x.size(); ++b) put(b, 0.0f);
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

template <class Logit, int N, int V, class Label, int WANT, class Index>
__global__ void __launch_bounds__(THREADS, 3)
    loss_planar(const Logit *x, Index count, Index pixels, const Label *labels, const float *weights, const float *scale,
                Logit *gradient, float *losses, float *sums) {
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    float sum = 0.0f;
    if (pixel < pixels) {
        const Index base = pixel + pixel / count * (N - 1) * count;
        Held<Logit, N, V> held = hold<Logit, N, V>(x + base, count);
        const Pack<Label, V> label = load<Label, V>(labels + pixel);
        const Pack<float, V> weight = load<float, V>(weights + pixel);
        const float factor = load(scale);
        Pack<float, V> loss = {};
#pragma unroll
        for (int v = 0; v < V; ++v) {
            const auto put = [&](int b, float value) { held.plane[b].at[v] = from_float<Logit>(value); };
            const HeldRow<Logit, N, V> row = {held, v};
            const float unit = weight.at[v] * factor;
            clear_unless(unit != 0.0f, row, put);
            // Always so, but a branch keeps the compiler from having several pixels in work at once, for which the
            // registers do not suffice.
            if (pixel + v < pixels) {
                const float mine = cross_entropy<WANT>(row, bin_of(label.at[v]), unit, put);
                sum = fmaf(unit, mine, sum);
                loss.at[v] = weight.at[v] * mine;
            }
        }
        if (WANT & LOSSES) store(losses + pixel, loss);
        if (WANT & GRADIENT)
#pragma unroll
            for (int b = 0; b < N; ++b) store(gradient + base + b * count, held.plane[b]);
    }
    sum_block(sum, sums + blockIdx.x);
}

// Blocks of up to THREADS pixels.
template <class Logit, int N, class Label, int WANT, class Index>
__global__ void __launch_bounds__(THREADS)
    loss_tiled(const Logit *x, int n, int stride, Index count, Index pixels, const Label *labels, const float *weights,
               const float *scale, Logit *gradient, float *losses, float *sums) {
    const Tiled<Logit, N, Index> tiled(x, n, stride, pixels);
    float sum = 0.0f;
    if (tiled.pixel < pixels) {
        const int label = bin_of(load(labels + tiled.pixel));
        const float weight = load(weights + tiled.pixel), unit = weight * load(scale);
        tiled.template replace<(WANT & GRADIENT) != 0>([&](const auto &row, const auto &put) {
            clear_unless(unit != 0.0f, row, put);
            const float loss = cross_entropy<WANT>(row, label, unit, put);
            sum = unit * loss;
            if (WANT & LOSSES) store(losses + tiled.pixel, weight * loss);
        });
    }
    if (WANT & GRADIENT) tiled.send(gradient);
    sum_block(sum, sums + blockIdx.x);
}

// The targets of one pixel: k labels and their shares, `step` elements apart.
template <int TARGETS, class Label, class Index>
struct Target {
    const Label *labels;
    const float *shares;
    int k;
    Index step;

    FC_DEVICE int label(int j) const { return bin_of(load(labels + j * step)); }
    FC_DEVICE float share(int j) const { return TARGETS == HARD ? 1.0f : load(shares + j * step); }

    // The share of bin b, from all labels.
    FC_DEVICE float of(int b) const {
        float total = 0.0f;
        for (int j = 0; j < k; ++j)
            if (label(j) == b) total += share(j);
        return total;
    }

    FC_DEVICE bool first(int j) const {
        for (int i = 0; i < j; ++i)
            if (label(i) == label(j)) return false;
        return true;
    }
};

// sum_j s_j and sum_j s_j (x_j - peak).
struct Picked {
    float mass = 0.0f, sum = 0.0f;

    FC_DEVICE void add(float share, float below) {
        mass += share;
        add_below(share, below);
    }

    // A share of 0 adds nothing, even where its logit is -inf.
    FC_DEVICE void add_below(float share, float below) {
        if (share != 0.0f) sum = fmaf(share, below, sum);
    }

    // Labels j, j + EACH, ...; `x` is bin 0 of the pixel, whose bins lie `step` apart. NaN for a label that is no bin.
    template <int EACH, class Logit, class Index, class Target>
    FC_DEVICE void pick(const Logit *x, int n, Index step, float peak, const Target &target, int j) {
        for (; j < target.k; j += EACH) {
            const u32 b = (u32)target.label(j);
            add(target.share(j), b < (u32)n ? to_float(load(x + b * step)) - peak : not_a_number());
        }
    }
};

// What the first pass over a pixel leaves for the second.
struct Softmax {
    float peak, unit, share;  // softmax(x)_b times the mass and the unit is e^(x_b - peak) times the share

    FC_DEVICE float of(float x, float target) const {
        return unit == 0.0f ? 0.0f : fmaf(-unit, target, exp2_fast((x - peak) * LOG2E) * share);
    }
};

FC_DEVICE float loss_of(const Picked &picked, float total) {
    return picked.mass * (log2_fast(total) * (1.0f / LOG2E)) - picked.sum;
}

template <class Logit, int V, int TARGETS, class Label, int WANT, class Index>
__global__ void __launch_bounds__(THREADS)
    loss_streamed(const Logit *x, int n, Index count, Index pixels, const Label *labels, const float *shares, int k,
                  const float *weights, const float *scale, Logit *gradient, float *losses, float *sums) {
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    float sum = 0.0f;
    if (pixel < pixels) {
        const Index before = pixel / count * count, base = pixel + before * (n - 1);
        const Logit none = nothing<Logit>(true);
        x += base, gradient += base;
        const Pack<float, V> weight = load<float, V>(weights + pixel);
        const float unit = load(scale);
        RunningSum running[V];
        Picked picked[V];
        stream<V>(x, n, count, none, [&](int b, const auto &held) {
#pragma unroll
            for (int v = 0; v < V; ++v) running[v].add(HeldRow<Logit, GROUP, V>{held, v});
            if (TARGETS == DENSE) {
                const Held<float, GROUP, V> part = some<GROUP, V>(shares + base + b * count, n - b, count, 0.0f);
#pragma unroll
                for (int v = 0; v < V; ++v)
#pragma unroll
                    for (int g = 0; g < GROUP; ++g) picked[v].mass += part.plane[g].at[v];
            }
        });
        float total[V];
        Softmax softmax[V];
        Target<TARGETS, Label, Index> target[V];
#pragma unroll
        for (int v = 0; v < V; ++v) {
            const Index at = pixel + v + before * (k - 1);
            target[v] = {labels + at, shares + at, k, count};
            total[v] = running[v].over_peak();
            if (TARGETS != DENSE) picked[v].template pick<1>(x + v, n, count, running[v].peak, target[v], 0);
            softmax[v] = {running[v].peak, weight.at[v] * unit, 0.0f};
            softmax[v].share = softmax[v].unit * picked[v].mass * (1.0f / total[v]);
        }
        if ((WANT & GRADIENT) || TARGETS == DENSE) {
            stream<V>(x, n, count, none, [&](int b, const auto &held) {
                Held<float, GROUP, V> part;
                if (TARGETS == DENSE) part = some<GROUP, V>(shares + base + b * count, n - b, count, 0.0f);
#pragma unroll
                for (int g = 0; g < GROUP; ++g) {
                    if (b + g >= n) break;
                    Pack<Logit, V> values;
#pragma unroll
                    for (int v = 0; v < V; ++v) {
                        const float value = to_float(held.plane[g].at[v]);
                        const float share = TARGETS == DENSE ? part.plane[g].at[v] : 0.0f;
                        if (TARGETS == DENSE) picked[v].add_below(share, value - softmax[v].peak);
                        values.at[v] = from_float<Logit>(softmax[v].of(value, share));
                    }
                    if (WANT & GRADIENT) store(gradient + (b + g) * count, values);
                }
            });
        }
        Pack<float, V> loss;
#pragma unroll
        for (int v = 0; v < V; ++v) {
            loss.at[v] = softmax[v].unit == 0.0f ? 0.0f : loss_of(picked[v], total[v]);
            sum = fmaf(softmax[v].unit, loss.at[v], sum);
            loss.at[v] *= weight.at[v];
            if ((WANT & GRADIENT) && TARGETS != DENSE && softmax[v].unit != 0.0f)
                for (int j = 0; j < k; ++j) {
                    const u32 b = (u32)target[v].label(j);
                    if (b < (u32)n)
                        store(gradient + b * count + v,
                              from_float<Logit>(softmax[v].of(to_float(load(x + b * count + v)), target[v].of(b))));
                }
        }
        if (WANT & LOSSES) store(losses + pixel, loss);
    }
    sum_block(sum, sums + blockIdx.x);
}

// `between` pixels lie between the planes of labels and shares; shares of every bin lie as the logits do.
template <class Logit, int LANES, int TARGETS, class Label, int WANT, class Index>
__global__ void __launch_bounds__(THREADS)
    loss_rows(const Logit *x, int n, Index between, Index pixels, const Label *labels, const float *shares, int k,
              const float *weights, const float *scale, Logit *gradient, float *losses, float *sums) {
    const int lane = threadIdx.x % LANES;
    const Index mine = (Index)blockIdx.x * THREADS + threadIdx.x;
    const float unit = load(scale), weight = mine < pixels ? load(weights + mine) : 0.0f;
    float loss = 0.0f;
    each_row<LANES>(x, n, pixels, nothing<Logit>(true), [&](Index pixel, const auto &bins) {
        RunningSum running;
        bins([&](int, const auto &held) { running.add(held); });
        running.join<LANES>();
        const float total = running.over_peak();
        const float of_pixel = __shfl_sync(~0u, weight, (int)(pixel % LANES), LANES) * unit;
        const Index row = pixel * n, at = pixel + pixel / between * between * (k - 1);
        const int end = of_pixel == 0.0f ? 0 : n;  // a pixel without weight, or beyond the last, is not looked at
        const Target<TARGETS, Label, Index> target = {labels + at, shares + at, end ? k : 0, between};
        Picked picked;
        if (TARGETS == DENSE)
            for (int b = lane; b < end; b += LANES)
                picked.add(load(shares + row + b), to_float(load(x + row + b)) - running.peak);
        else picked.template pick<LANES>(x + row, n, 1, running.peak, target, lane);
        picked.mass = total_of<LANES>(picked.mass), picked.sum = total_of<LANES>(picked.sum);
        if (pixel == mine && end) loss = loss_of(picked, total);
        if (WANT & GRADIENT) {
            const Softmax softmax = {running.peak, of_pixel, of_pixel * picked.mass * (1.0f / total)};
            const auto put = [&](int b, float share) {
                store(gradient + row + b, from_float<Logit>(softmax.of(to_float(load(x + row + b)), share)));
            };
            if (pixel < pixels)
#pragma unroll 4
                for (int b = lane; b < n; b += LANES) put(b, TARGETS == DENSE ? load(shares + row + b) : 0.0f);
            __syncwarp();
            if (TARGETS != DENSE)
                for (int j = lane; j < target.k; j += LANES) {
                    const int b = target.label(j);
                    if ((u32)b < (u32)n && target.first(j)) put(b, target.of(b));
                }
        }
    });
    if ((WANT & LOSSES) && mine < pixels) store(losses + mine, weight * loss);
    sum_block(weight * unit * loss, sums + blockIdx.x);
}

// high + low = high + low + x, but for the rounding of low.
FC_DEVICE void add_exactly(float &high, float &low, float x) {
    const float sum = high + x, part = sum - high;
    low += (high - (sum - part)) + (x - part);
    high = sum;
}

// The sum of `count` sums, by one block, as exactly as if it were added in float64.
__global__ void __launch_bounds__(SUMMERS) loss_total(const float *sums, u32 count, float *loss) {
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
    if (mine == 0) store(loss, high + (low == low ? low : 0.0f));  // inf leaves no remainder
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
