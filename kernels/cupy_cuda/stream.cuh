// Logits of any number of bins on their way through a thread, some bins at a time, the next of them always in flight; and
// what is summed up on the way, with a running maximum (M. Milakov, N. Gimelshein, arXiv:1805.02867).
namespace fc {

template <class Logit>
FC_DEVICE Logit nothing(bool logits);  // what adds nothing: -inf among logits, 0 among probabilities
template <>
FC_DEVICE float nothing<float>(bool logits) { return logits ? -infinity() : 0.0f; }
template <>
FC_DEVICE f16 nothing<f16>(bool logits) { return {(u16)(logits ? 0xfc00 : 0)}; }
template <>
FC_DEVICE bf16 nothing<bf16>(bool logits) { return {(u16)(logits ? 0xff80 : 0)}; }

// V neighbouring elements of each of G planes `step` apart, of which `left` exist.
template <int G, int V, class Logit, class Index>
FC_DEVICE Held<Logit, G, V> some(const Logit *from, int left, Index step, Logit none) {
    Held<Logit, G, V> held;
#pragma unroll
    for (int k = 0; k < G; ++k) {
        if (k < left) {
            held.plane[k] = load<Logit, V>(from + k * step);
        } else {
#pragma unroll
            for (int v = 0; v < V; ++v) held.plane[k].at[v] = none;
        }
    }
    return held;
}

constexpr int GROUP = 8;  // planes that are summed up together

// Planes in flight together: narrow loads must be more.
template <int V>
constexpr int AHEAD = V == 1 ? 2 * GROUP : GROUP;

// use(b, held) with planes b .. b + GROUP - 1 of n, in turn.
template <int V, class Logit, class Index, class Use>
FC_DEVICE void stream(const Logit *from, int n, Index step, Logit none, const Use &use) {
    constexpr int G = AHEAD<V>;
    Held<Logit, G, V> next = some<G, V>(from, n, step, none);
#pragma unroll 1
    for (int b = 0; b < n; b += G) {
        const Held<Logit, G, V> held = next;
        from += G * step;
        next = some<G, V>(from, n - b - G, step, none);
#pragma unroll
        for (int part = 0; part < G; part += GROUP) {
            Held<Logit, GROUP, V> group;
#pragma unroll
            for (int k = 0; k < GROUP; ++k) group.plane[k] = held.plane[part + k];
            use(b + part, group);
        }
    }
}

// LANES neighbouring lanes take their LANES pixels in turn, so that rows of n adjacent bins come in whole sectors: lane l
// has bins l, l + LANES, ... use(pixel, bins) for each row, where bins(each) calls each(b, held) for the lane's bins b,
// b + LANES, ... by the group. All lanes of a warp come here together; a row beyond the last pixel has no bins.
template <int LANES, class Logit, class Index, class Use>
FC_DEVICE void each_row(const Logit *x, int n, Index pixels, Logit none, const Use &use) {
    constexpr int G = 16;
    const int lane = threadIdx.x % LANES, mine = (n - lane + LANES - 1) / LANES;
    const Index first = (Index)blockIdx.x * blockDim.x + threadIdx.x - lane;
    const int rows = first < pixels ? (int)min_of<Index>(LANES, pixels - first) : 0;
    const Logit *from = x + first * n + lane;
    Held<Logit, G, 1> next = some<G, 1>(from, rows > 0 ? mine : 0, LANES, none);
#pragma unroll 1
    for (int row = 0; row < LANES; ++row, from += n)
        use(first + row, [&](const auto &each) {
#pragma unroll 1
            for (int b = 0; b < n; b += G * LANES) {
                const Held<Logit, G, 1> held = next;
                const bool same = b + G * LANES < n;  // row
                const int left = row + !same < rows ? mine - (same ? b / LANES + G : 0) : 0;
                next = some<G, 1>(from + (same ? b + G * LANES : n), left, LANES, none);
                each(b + lane, HeldRow<Logit, G, 1>{held, 0});
            }
        });
}

// The largest of a group's G values, and of `top`; NaN does not count here and makes the sums NaN.
template <class Row>
FC_DEVICE float peak_of(const Row &x, float top) {
#pragma unroll
    for (int k = 0; k < x.size(); ++k) top = fmaxf(top, x[k]);
    return top;
}

// The largest of a value's copies in LANES neighbouring lanes, and their sum.
template <int LANES>
FC_DEVICE float largest(float x) {
#pragma unroll
    for (int by = LANES / 2; by > 0; by /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, by));
    return x;
}
template <int LANES>
FC_DEVICE float total_of(float x) {
#pragma unroll
    for (int by = LANES / 2; by > 0; by /= 2) x += __shfl_xor_sync(~0u, x, by);
    return x;
}

// The second largest of all lanes, from the largest and the second of each.
template <int LANES>
FC_DEVICE float second_of(float first, float second) {
#pragma unroll
    for (int by = LANES / 2; by > 0; by /= 2) {
        const float other = __shfl_xor_sync(~0u, first, by);
        second = fmaxf(fminf(first, other), fmaxf(second, __shfl_xor_sync(~0u, second, by)));
        first = fmaxf(first, other);
    }
    return second;
}

// Where exponents are counted from: no more than ROOM octaves below the largest of all that came. It rises rarely, so that
// few of the sums' roundings come from there; what was summed until then is multiplied by the factor that it gives.
constexpr float ROOM = 6.0f;

struct Level {
    float at = -LARGEST;

    FC_DEVICE float rise(float peak, float scale) {
        const float before = at;
        at = (peak - at) * scale <= ROOM ? at : peak;
        return exp2_fast((before - at) * scale);  // e^0 is 1; NaN from +inf on
    }

    // To that of all lanes.
    template <int LANES>
    FC_DEVICE float join(float scale) {
        const float before = at;
        at = largest<LANES>(at);
        return exp2_fast((before - at) * scale);
    }
};

// sum_b w_b and sum_b w_b c_b for w_b = e^((x_b - level) scale): the annealed mean, as `annealed_mean`. All -inf: 0 / 0.
struct RunningMean {
    Level level;
    float total = 0.0f, u = 0.0f, v = 0.0f;

    // The bins of `x` are b, b + STEP, ...
    template <int STEP, class Row, class BinColors>
    FC_DEVICE void add(const Row &x, int b, float scale, const BinColors &colors) {
        multiply(level.rise(peak_of(x, -LARGEST), scale));
#pragma unroll
        for (int k = 0; k < x.size(); ++k) {
            const float w = exp2_fast((x[k] - level.at) * scale);
            total += w;
            u = fmaf(w, colors.u[b + k * STEP], u);
            v = fmaf(w, colors.v[b + k * STEP], v);
        }
    }

    template <int LANES>
    FC_DEVICE void join(float scale) {
        multiply(level.join<LANES>(scale));
        total = total_of<LANES>(total), u = total_of<LANES>(u), v = total_of<LANES>(v);
    }

    FC_DEVICE void multiply(float factor) { total *= factor, u *= factor, v *= factor; }

    FC_DEVICE Chroma chroma() const {
        const float inverse = __frcp_rn(total);
        return {u * inverse, v * inverse};
    }
};

// sum_b e^x_b over e^peak, where `peak` is the largest x_b: as `partition`, and 0 if all are -inf.
struct RunningSum {
    Level level;
    float total = 0.0f, peak = -infinity();

    template <class Row>
    FC_DEVICE void add(const Row &x) {
        peak = peak_of(x, peak);
        total *= level.rise(peak, LOG2E);
#pragma unroll
        for (int k = 0; k < x.size(); ++k) total += exp2_fast((x[k] - level.at) * LOG2E);
    }

    template <int LANES>
    FC_DEVICE void join() {
        peak = largest<LANES>(peak);
        total = total_of<LANES>(total * level.join<LANES>(LOG2E));
    }

    // The sum, NaN if a logit is NaN or +inf or all are -inf.
    FC_DEVICE float over_peak() const {
        return total > 0.0f ? total * exp2_fast((level.at - peak) * LOG2E) : not_a_number();
    }
};

// The first bin with the largest value, for T = 0.
template <bool LOGITS>
struct RunningMode {
    float top = LOGITS ? -infinity() : 0.0f, broken = 0.0f;
    int bin = 0;

    template <int STEP, class Row>
    FC_DEVICE void add(const Row &x, int b) {
#pragma unroll
        for (int k = 0; k < x.size(); ++k) {
            if (LOGITS ? x[k] != x[k] : !(x[k] >= 0.0f)) broken = not_a_number();
            if (x[k] > top) top = x[k], bin = b + k * STEP;
        }
    }

    template <int LANES>
    FC_DEVICE void join() {
        const float mine = top;
        broken = total_of<LANES>(broken), top = largest<LANES>(top);
        if (mine < top) bin = MAX_BINS;
#pragma unroll
        for (int by = LANES / 2; by > 0; by /= 2) bin = min_of(bin, __shfl_xor_sync(~0u, bin, by));
    }

    template <class BinColors>
    FC_DEVICE Chroma chroma(const BinColors &colors) const {
        const bool found = (LOGITS ? top > -infinity() : top > 0.0f) && top < infinity();
        const float wrong = found ? broken : not_a_number();
        return {colors.u[bin] + wrong, colors.v[bin] + wrong};
    }
};

// The largest probability and its ratio to the second, as `confidence`.
template <bool LOGITS>
struct RunningConfidence;

template <>
struct RunningConfidence<true> : RunningSum {
    float second = -infinity();

    template <class Row>
    FC_DEVICE void add(const Row &x) {
        float first = peak;
#pragma unroll
        for (int k = 0; k < x.size(); ++k) {
            second = fmaxf(second, fminf(first, x[k]));
            first = fmaxf(first, x[k]);
        }
        RunningSum::add(x);
    }

    template <int LANES>
    FC_DEVICE void join() {
        second = second_of<LANES>(peak, second);
        RunningSum::join<LANES>();
    }

    FC_DEVICE Confidence of() const {
        const float best = __frcp_rn(over_peak());
        return {best, best == best ? exp2_fast((peak - second) * LOG2E) : best};
    }
};

// Probabilities of any scale: their sum is taken of a 1024th, so that it does not overflow.
template <>
struct RunningConfidence<false> {
    float total = 0.0f, first = 0.0f, second = 0.0f;

    template <class Row>
    FC_DEVICE void add(const Row &x) {
#pragma unroll
        for (int k = 0; k < x.size(); ++k) {
            second = fmaxf(second, fminf(first, x[k]));
            first = fmaxf(first, x[k]);
            total += x[k] >= 0.0f ? x[k] * 0x1p-10f : not_a_number();
        }
    }

    template <int LANES>
    FC_DEVICE void join() {
        second = second_of<LANES>(first, second);
        first = largest<LANES>(first), total = total_of<LANES>(total);
    }

    FC_DEVICE Confidence of() const {
        const float best = first * 0x1p-10f / total;  // NaN if all are 0, or one is +inf
        return {best, best == best ? first / second : best};
    }
};

// log2 of a group's probabilities.
template <int G>
struct Logs {
    float at[G];

    template <class Row>
    FC_DEVICE Logs(const Row &x) {
#pragma unroll
        for (int k = 0; k < G; ++k) at[k] = log2_fast(x[k]);
    }
    FC_DEVICE static constexpr int size() { return G; }
    FC_DEVICE float operator[](int k) const { return at[k]; }
};

}  // namespace fc
