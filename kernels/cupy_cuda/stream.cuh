// Logits of any number of bins on their way through a thread, some bins at a time, the next of them always in flight.
namespace fc {

// What adds nothing: -inf among logits, 0 among probabilities.
template <class Logit>
FC_DEVICE Logit nothing(bool logits);
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

}  // namespace fc
