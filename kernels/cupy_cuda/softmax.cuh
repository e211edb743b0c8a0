// One pixel's softmax, annealed mean and confidence over any row of logits that has size() and operator[].
// Loops unroll where size() is a constant, so that a row of registers stays in registers.
namespace fc {

// The largest logit; NaN does not count here and makes the sums NaN later.
template <class Row>
FC_DEVICE float peak(const Row &x) {
    float top = -infinity();
#pragma unroll
    for (int b = 0; b < x.size(); ++b) top = fmaxf(top, x[b]);
    return top;
}

// sum_b e^(x_b - top): its reciprocal times e^(x_b - top) is softmax(x)_b, NaN in all b as for the annealed mean.
template <class Row>
FC_DEVICE float partition(const Row &x, float top) {
    float total = 0.0f;
#pragma unroll
    for (int b = 0; b < x.size(); ++b) total += exp2_fast((x[b] - top) * LOG2E);
    return total;
}

struct Chroma {
    float u, v;
};

// sum_b softmax(x / T)_b c_b, with scale = log2(e) / T.
// NaN if a logit is NaN or +inf or all are -inf: inf - inf.
template <class Row>
FC_DEVICE Chroma annealed_mean(const Row &x, float top, float scale, const Palette &colors) {
    float total = 0.0f, u = 0.0f, v = 0.0f;
#pragma unroll
    for (int b = 0; b < x.size(); ++b) {
        const float w = exp2_fast((x[b] - top) * scale);
        total += w;
        u = fmaf(w, colors.u[b], u);
        v = fmaf(w, colors.v[b], v);
    }
    const float inverse = reciprocal(total);
    return {u * inverse, v * inverse};
}

// The same for T = 0: the color of the first bin at the top.
template <class Row>
FC_DEVICE Chroma mode(const Row &x, float top, const Palette &colors) {
    float broken = 0.0f, u = 0.0f, v = 0.0f;
    bool found = false;
#pragma unroll
    for (int b = 0; b < x.size(); ++b) {
        const float below = x[b] - top;
        if (below != below) broken = below;
        if (below == 0.0f && !found) found = true, u = colors.u[b], v = colors.v[b];
    }
    return {u + broken, v + broken};
}

struct Confidence {
    float top, ratio;
};

// max_b softmax(x)_b and its ratio to the second, exp(x_1 - x_2), at T = 1; NaN as for the annealed mean.
template <class Row>
FC_DEVICE Confidence confidence(const Row &x, float top) {
    float total = 0.0f, first = -infinity(), second = -infinity();
#pragma unroll
    for (int b = 0; b < x.size(); ++b) {
        const float value = x[b];
        total += exp2_fast((value - top) * LOG2E);
        second = fmaxf(second, fminf(first, value));
        first = fmaxf(first, value);
    }
    const float best = reciprocal(total);
    const float gap = first - second;  // inf without a second, inf - inf only where best is NaN
    return {best, best == best ? exp2_fast(gap * LOG2E) : best};
}

}  // namespace fc
