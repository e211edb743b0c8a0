// What is summed up of bins that come some at a time, with a running maximum (M. Milakov, N. Gimelshein, arXiv:1805.02867).
namespace fc {

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
        const float inverse = reciprocal(total);
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

    // The peak of all lanes is their level from then on.
    template <int LANES>
    FC_DEVICE void join() {
        peak = largest<LANES>(peak);
        total = total_of<LANES>(total * exp2_fast((level.at - peak) * LOG2E));
        level.at = peak;
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
            if (LOGITS ? x[k] != x[k] : !is_probability(x[k])) broken = not_a_number();
            if (is_above(x[k])) top = x[k], bin = b + k * STEP;
        }
    }

    // Bits order what is not negative, subnormal numbers too, which an instruction for floats would take for zero.
    FC_DEVICE static bool is_probability(float x) {
        const u32 bits = __float_as_uint(x);
        return bits <= 0x7f800000u || bits == 0x80000000u;  // or -0
    }
    FC_DEVICE bool is_above(float x) const { return LOGITS ? x > top : __float_as_int(x) > __float_as_int(top); }
    FC_DEVICE bool is_below(float x) const { return LOGITS ? x < top : __float_as_int(x) < __float_as_int(top); }

    template <int LANES>
    FC_DEVICE void join() {
        const float mine = top;
        broken = total_of<LANES>(broken);
#pragma unroll
        for (int by = LANES / 2; by > 0; by /= 2) {
            const float other = __shfl_xor_sync(~0u, top, by);
            if (is_above(other)) top = other;
        }
        if (is_below(mine)) bin = MAX_BINS;
#pragma unroll
        for (int by = LANES / 2; by > 0; by /= 2) bin = min_of(bin, __shfl_xor_sync(~0u, bin, by));
    }

    template <class BinColors>
    FC_DEVICE Chroma chroma(const BinColors &colors) const {
        const bool found = (LOGITS ? top > -infinity() : __float_as_int(top) > 0) && top < infinity();
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
        const float best = reciprocal(over_peak());
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
        for (int k = 0; k < G; ++k) at[k] = log2_of_any(x[k]);
    }
    FC_DEVICE static constexpr int size() { return G; }
    FC_DEVICE float operator[](int k) const { return at[k]; }
};

}  // namespace fc
