// Temporal smoothing and decoding of a frame in one pass: softmax, recursion, annealed mean.
//
// Sums (n, pixels) and ring (window + 1, n, pixels) are planar whatever the logits are: every stream is read and written
// once, in whole sectors. planar: a thread holds the 32 logits of V = 4 pixels, so that float32 moves by 16 bytes and a
// uint8 ring by 4; then sums and ring come WIDE_GROUP bins at a time, as many as the registers allow. tiled: 32 bins,
// channels-last, one pixel a thread. streamed: any other n, planar; the logits come twice, for their sum and for each bin.
//
// What each rung should buy; none has run on a GPU as it is now. At 55c22d5 an H200 took 140 us for 1 MP with a ring of
// bytes, 80 % of a copy; at 8 MP 1024 us with 4 pixels a thread, 1139 with 2, 1255 with 1.
// - Logits, sums and ring once each; sums and ring 8 bins at a time, all loads first.
// - Bytes to and from floats by their bits, not by the unit that the exponentials need.
// - Quotients have a branch, at which the compiler ends a pixel before it begins the next: with reciprocal() it mixes them,
//   and spills.
namespace fc {

enum Want { RGB = 1, CHROMA = 2, MODE = 4, PROBABILITIES = 8, LAB = 16 };  // MODE: T = 0

constexpr int THREADS = 128;
// Blocks an SM that the registers must allow; left to itself the compiler spills a few of them to fit in one block more.
constexpr int WIDE_BLOCKS = 2, NARROW_BLOCKS = 4;
// Bins of which sums and ring are in flight at once: 40 to 64 KiB on an SM for 8, where an H200 needs 36. For sm_120 the
// compiler spills with a ring of bytes, and half is enough there.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr int WIDE_GROUP = 4;
#else
constexpr int WIDE_GROUP = 8;
#endif
template <class Logit>
constexpr int TILED_BLOCKS = sizeof(Logit) == 4 ? 4 : 5;  // rows of 2 bytes are fewer loads in flight a thread

// One frame of the recursion s = p + decay s' - leaving p_old. `exact`: p counts as the ring rounds it.
// The frame's place in the ring is `slot` of `length`; `seen` frames of the ring hold what came before it.
// Blocks whose number is `due` modulo `period` sum their past anew from the ring.
struct Step {
    float decay, leaving, scale;  // scale = 1 / T
    u32 exact, slot, length, seen, period, due;
};

// A probability in the ring; uint8 holds 255 p. From 2^23 on a float32 is an integer and its low bits are that integer:
// bytes come and go without the conversions that share a slow unit with exp2.
FC_DEVICE float recall(float past) { return past; }
FC_DEVICE float recall(f16 past) { return to_float(past); }
FC_DEVICE float recall(u8 past) { return (__uint_as_float(0x4b000000u | past) - 0x1p23f) * (1.0f / 255.0f); }

template <class Past>
FC_DEVICE Past remember(float p) { return from_float<Past>(p); }
template <>
FC_DEVICE u8 remember<u8>(float p) { return (u8)__float_as_uint(fmaf(p, 255.0f, 0x1p23f)); }

// The window form, for V pixels: their sums before this frame, from the ring.
template <int V, class Past, class Index>
FC_DEVICE void sum_anew(float *sums, const Past *ring, Index pixel, Index pixels, int n, const Step &step) {
#pragma unroll 1
    for (int b = 0; b < n; ++b) {
        Pack<float, V> total = {};
#pragma unroll 4
        for (u32 age = step.seen; age > 0; --age) {
            const u32 slot = step.slot >= age ? step.slot - age : step.slot + step.length - age;
            const Pack<Past, V> past = load<Past, V>(ring + ((u64)slot * n + b) * pixels + pixel);
#pragma unroll
            for (int v = 0; v < V; ++v) total.at[v] = fmaf(total.at[v], step.decay, recall(past.at[v]));
        }
        store(sums + b * pixels + pixel, total);
    }
}

// The color of sums as they come, some bins at a time.
template <bool IS_MODE>
struct Average;

// Annealed mean: weights s^(1/T) over 2^top, where top is an integer not below any exponent so far. To raise it scales
// what has been added by a power of two, which rounds nothing.
template <>
struct Average<false> {
    float top = -3e38f, total = 0.0f, u = 0.0f, v = 0.0f;

    template <int G>
    FC_DEVICE void add(const float (&s)[G], const float *cu, const float *cv, float scale) {
        float y[G], peak = top;
#pragma unroll
        for (int k = 0; k < G; ++k) {
            y[k] = __fmul_rn(log2_fast(s[k]), scale);  // rounded here: the peak must not be below what y - top sees
            peak = fmaxf(peak, y[k]);
        }
        peak = ceilf(peak);
        const float factor = exp2_fast(top - peak);
        top = peak;
        total *= factor;
        u *= factor;
        v *= factor;
#pragma unroll
        for (int k = 0; k < G; ++k) {
            const float w = exp2_fast(y[k] - top);
            total += w;
            u = fmaf(w, cu[k], u);
            v = fmaf(w, cv[k], v);
        }
    }

    FC_DEVICE Chroma chroma() const {
        const float inverse = 1.0f / total;
        return {u * inverse, v * inverse};
    }
};

// T = 0: the color of the first bin with the largest sum.
template <>
struct Average<true> {
    float top = -1.0f, u = 0.0f, v = 0.0f;

    template <int G>
    FC_DEVICE void add(const float (&s)[G], const float *cu, const float *cv, float) {
#pragma unroll
        for (int k = 0; k < G; ++k)
            if (s[k] > top) top = s[k], u = cu[k], v = cv[k];
    }

    FC_DEVICE Chroma chroma() const { return {u, v}; }
};

// Where the logits of V pixels are: of<G>(b) brings bins b .. b + G - 1, whose logit k of pixel v is then (v, k).
template <class Logit, int N, int V>
struct InRegisters {
    const Held<Logit, N, V> &held;

    template <int G>
    FC_DEVICE auto of(int b) const {
        return [this, b](int v, int k) { return to_float(held.plane[b + k].at[v]); };
    }
};

template <class Logit, int N>
struct InRow {
    const Row<Logit, N> &held;

    template <int G>
    FC_DEVICE auto of(int b) const {
        return [this, b](int, int k) { return held[b + k]; };
    }
};

template <class Logit, int V, class Index>
struct InPlanes {
    const Logit *first;
    Index step;

    template <int G>
    FC_DEVICE auto of(int b) const {
        const Held<Logit, G, V> held = hold<Logit, G, V>(first + b * step, step);
        return [held](int v, int k) { return to_float(held.plane[k].at[v]); };
    }
};

// How a logit becomes its share of the pixel: e^(x - top), or a probability itself, over the sum; NaN where there is none.
template <bool LOGITS>
struct Share;

template <>
struct Share<true> {
    typedef RunningSum Sum;
    float top, over;

    FC_DEVICE float of(float x) const { return exp2_fast((x - top) * LOG2E) * over; }
};

template <>
struct Share<false> {
    typedef RunningConfidence<false> Sum;
    float over;

    FC_DEVICE float of(float p) const { return p * 0x1p-10f * over; }
};

FC_DEVICE Share<true> share_in(const RunningSum &sum) { return {sum.peak, 1.0f / sum.over_peak()}; }

FC_DEVICE Share<false> share_in(const RunningConfidence<false> &sum) {
    return {sum.total > 0.0f && sum.total < infinity() ? 1.0f / sum.total : not_a_number()};
}

// Of a row of 32.
template <bool LOGITS, class Row>
FC_DEVICE Share<LOGITS> share_in(const Row &x) {
    if constexpr (LOGITS) {
        const float top = peak(x);
        return {top, 1.0f / partition(x, top)};
    } else {
        RunningConfidence<false> sum;
        sum.add(x);
        return share_in(sum);
    }
}

// Bins b .. b + G - 1 of V pixels: their loads first, all in flight at once.
template <int G, int V, class Logits, class Shares, class Past, class Index, class BinColors, class Mean>
FC_DEVICE void advance(int b, const Logits &logits, const Shares (&share)[V], float *sums, Past *ring, Index pixels,
                       const Step &step, const BinColors &colors, Mean (&mean)[V]) {
    const auto x = logits.template of<G>(b);
    Pack<float, V> sum[G];
    Pack<Past, V> past[G];
#pragma unroll
    for (int k = 0; k < G; ++k) {
        sum[k] = load<float, V>(sums + k * pixels);
        past[k] = load<Past, V>(ring + k * pixels);
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
        float s[G];
#pragma unroll
        for (int k = 0; k < G; ++k) {
            float p = fmaxf(share[v].of(x(v, k)), 0.0f);  // 0 where it is NaN
            const Past now = remember<Past>(p);
            if (step.exact) p = recall(now);
            const float next = fmaf(sum[k].at[v], step.decay, fmaf(recall(past[k].at[v]), -step.leaving, p));
            sum[k].at[v] = next;
            past[k].at[v] = now;
            s[k] = fmaxf(next, 0.0f);  // rounding may leave less than zero
        }
        mean[v].add(s, colors.u + b, colors.v + b, step.scale);
    }
#pragma unroll
    for (int k = 0; k < G; ++k) {
        store(sums + k * pixels, sum[k]);
        store(ring + k * pixels, past[k]);
    }
}

// A frame of V pixels, N bins where that is known; `share_of(v)` says what the logits of pixel `pixel + v` are over.
template <int WANT, int N, int V, class Luma, class Logits, class ShareOf, class Past, class Index, class BinColors>
FC_DEVICE void smooth(const Logits &logits, const ShareOf &share_of, int n, Index pixel, Index pixels, const Step &step,
                      const BinColors &colors, const Luma *luma, float *sums, Past *ring, float *chroma,
                      Colors<V> &results) {
    constexpr int G = V == 4 ? WIDE_GROUP : 8;
    if (blockIdx.x % step.period == step.due) sum_anew<V>(sums, ring, pixel, pixels, n, step);
    sums += pixel;
    ring += (u64)step.slot * n * pixels + pixel;
    Share<!(WANT & PROBABILITIES)> share[V];
#pragma unroll
    for (int v = 0; v < V; ++v) share[v] = share_of(v);
    Average<(WANT & MODE) != 0> mean[V];
    int b = 0;
#pragma unroll N > 0 ? N : 1
    for (; b + G <= n; b += G, sums += G * pixels, ring += G * pixels)
        advance<G>(b, logits, share, sums, ring, pixels, step, colors, mean);
#pragma unroll 1
    for (; b < n; ++b, sums += pixels, ring += pixels)
        advance<1>(b, logits, share, sums, ring, pixels, step, colors, mean);
    Pack<float, V> u, v;
    Pack<Luma, V> y;
    if (WANT & RGB) y = load<Luma, V>(luma + pixel);
#pragma unroll
    for (int k = 0; k < V; ++k) {
        const float broken = share[k].over - share[k].over;  // 0 or NaN
        const Chroma c = mean[k].chroma();
        u.at[k] = c.u + broken;
        v.at[k] = c.v + broken;
        if (WANT & RGB) results.set(k, join_in<(WANT & LAB) != 0>(y.at[k], u.at[k], v.at[k]));
    }
    if (WANT & CHROMA) {
        store(chroma + pixel, u);
        store(chroma + pixels + pixel, v);
    }
}

template <class Logit, int N, int V, class Luma, class Past, int WANT, class Index>
__global__ void __launch_bounds__(THREADS, V == 1 ? NARROW_BLOCKS : WIDE_BLOCKS)
    temporal_planar(const Logit *x, Index pixels, Step step, Palette colors, const Luma *luma, float *sums, Past *ring,
                    u8 *rgb, float *chroma) {
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    Colors<V> results;
    if (pixel < pixels) {
        const Held<Logit, N, V> held = hold<Logit, N, V>(x + pixel, pixels);
        const auto share = [&](int v) { return share_in<!(WANT & PROBABILITIES)>(HeldRow<Logit, N, V>{held, v}); };
        smooth<WANT, N, V>(InRegisters<Logit, N, V>{held}, share, N, pixel, pixels, step, colors, luma, sums, ring, chroma,
                           results);
    }
    if (WANT & RGB) send<THREADS>(results, rgb, pixel, pixels);
}

// Blocks of up to THREADS pixels.
template <class Logit, int N, class Luma, class Past, int WANT, class Index>
__global__ void __launch_bounds__(THREADS, TILED_BLOCKS<Logit>)
    temporal_tiled(const Logit *x, int n, int stride, Index pixels, Step step, Palette colors, const Luma *luma,
                   float *sums, Past *ring, u8 *rgb, float *chroma) {
    const Tiled<Logit, N, Index> tiled(x, n, stride, pixels);
    const Index pixel = tiled.pixel;
    Colors<1> results;
    if (pixel < pixels) {
        const Row<Logit, N> held = tiled.row();
        const auto share = [&](int) { return share_in<!(WANT & PROBABILITIES)>(held); };
        smooth<WANT, N, 1>(InRow<Logit, N>{held}, share, N, pixel, pixels, step, colors, luma, sums, ring, chroma, results);
    }
    if (WANT & RGB) send<THREADS>(results, rgb, pixel, pixels);
}

template <class Logit, int V, class BinColors, class Luma, class Past, int WANT, class Index>
__global__ void __launch_bounds__(THREADS, V == 1 ? NARROW_BLOCKS : WIDE_BLOCKS)
    temporal_streamed(const Logit *x, int n, Index pixels, Step step, BinColors colors, const Luma *luma, float *sums,
                      Past *ring, u8 *rgb, float *chroma) {
    constexpr bool LOGITS = !(WANT & PROBABILITIES);
    const auto &palette = colors.staged();
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    Colors<V> results;
    if (pixel < pixels) {
        typename Share<LOGITS>::Sum sum[V];
        stream<V>(x + pixel, n, pixels, nothing<Logit>(LOGITS), [&](int, const auto &held) {
#pragma unroll
            for (int v = 0; v < V; ++v) sum[v].add(HeldRow<Logit, GROUP, V>{held, v});
        });
        const auto share = [&](int v) { return share_in(sum[v]); };
        smooth<WANT, 0, V>(InPlanes<Logit, V, Index>{x + pixel, pixels}, share, n, pixel, pixels, step, palette, luma, sums,
                           ring, chroma, results);
    }
    if (WANT & RGB) send<THREADS>(results, rgb, pixel, pixels);
}

// p̂ / sum_b p̂, NaN where the sum is not above `least`.
template <class Index>
__global__ void __launch_bounds__(THREADS)
    temporal_probabilities(const float *sums, int n, Index pixels, float least, float *probabilities) {
    const Index pixel = (Index)blockIdx.x * THREADS + threadIdx.x;
    if (pixel >= pixels) return;
    float total = 0.0f;
#pragma unroll 8
    for (int b = 0; b < n; ++b) total += fmaxf(load(sums + b * pixels + pixel), 0.0f);
    const float share = total > least ? 1.0f / total : not_a_number();
#pragma unroll 8
    for (int b = 0; b < n; ++b)
        store(probabilities + b * pixels + pixel, fmaxf(load(sums + b * pixels + pixel), 0.0f) * share);
}

}  // namespace fc
