// A pixel's logits in registers, all n of them at once: LANES neighbouring lanes hold H bins each, LANES * H >= n.
//
// A lane has PIXELS pixels under way, and begins with all of their loads. Read from memory is each logit once, however
// large n is; what is summed up over the bins meets by shuffles (`largest`, `total_of`). Bins beyond the last have nothing.
namespace fc {

// Planes: V neighbouring pixels a lane, of the planes `lane`, `lane + LANES`, ... FULL: LANES * H is n.
template <class Logit_, int LANES_, int H_, int V, bool FULL, class Index_>
struct Planes {
    typedef Logit_ Logit;
    typedef Index_ Index;
    static constexpr int LANES = LANES_, H = H_, PIXELS = V;
    template <class T>
    using All = Held<T, H, V>;

    const int lane = threadIdx.x % LANES;
    const Index first, count;
    const int held;  // of the lane's planes, those that there are
    const bool inside;
    Index offset;

    FC_DEVICE Planes(int n, Index count, Index pixels)
        : first(((Index)blockIdx.x * blockDim.x + threadIdx.x) / LANES * V), count(count),
          held(FULL ? H : (n - lane + LANES - 1) / LANES), inside(first < pixels) {
        offset = first + first / count * count * (n - 1) + lane * count;
    }

    FC_DEVICE Index pixel(int v) const { return first + v; }
    FC_DEVICE bool has(int) const { return inside; }
    FC_DEVICE int bin(int k) const { return k * LANES + lane; }

    template <class T>
    FC_DEVICE static auto &at(T &all, int v, int k) { return all.plane[k].at[v]; }

    template <class T>
    FC_DEVICE All<T> get(const T *x, T none) const {
        if (!FULL) return some<H, V>(x + offset, inside ? held : 0, LANES * count, none);
        All<T> all;
        if (inside) all = hold<T, H, V>(x + offset, LANES * count);
        return all;
    }
    FC_DEVICE void put(Logit *to, const All<Logit> &all) const {
#pragma unroll
        for (int k = 0; k < H; ++k)
            if (inside && (FULL || k < held)) store(to + offset + k * (LANES * count), all.plane[k]);
    }
    template <class T>
    FC_DEVICE Pack<T, V> of_pixels(const T *from, T none) const {
        if (inside) return load<T, V>(from + first);
        Pack<T, V> nothing;
#pragma unroll
        for (int v = 0; v < V; ++v) nothing.at[v] = none;
        return nothing;
    }
    template <class T>
    FC_DEVICE void put_pixels(T *to, const Pack<T, V> &values) const {
        if (inside && lane == 0) store(to + first, values);
    }
};

// Rows of n adjacent bins in packs of E, of which n is a multiple, the packs `lane`, `lane + LANES`, ... Groups of lanes
// take neighbouring rows, and so many after each other that a lane waits for 128 bytes.
template <class Logit_, int LANES_, int H_, int E, class Index_>
struct Rows {
    typedef Logit_ Logit;
    typedef Index_ Index;
    static constexpr int LANES = LANES_, H = H_, FILL = 128 / (H * (int)sizeof(Logit)), PIXELS = FILL < 8 ? FILL : 8;
    template <class T>
    struct All {
        Held<T, H / E, E> row[PIXELS];
    };

    const int lane = threadIdx.x % LANES, groups = blockDim.x / LANES;
    const Index first, pixels;
    const int packs, step;  // packs of this lane, and elements from one of its rows to the next
    const Index offset;

    FC_DEVICE Rows(int n, Index, Index pixels)
        : first((Index)blockIdx.x * (groups * PIXELS) + threadIdx.x / LANES), pixels(pixels),
          packs((n / E - lane + LANES - 1) / LANES), step(groups * n), offset(first * n + lane * E) {}

    FC_DEVICE Index pixel(int v) const { return first + v * groups; }
    FC_DEVICE bool has(int v) const { return pixel(v) < pixels; }
    FC_DEVICE int bin(int k) const { return k / E * (LANES * E) + k % E + lane * E; }

    template <class T>
    FC_DEVICE static auto &at(T &all, int v, int k) { return all.row[v].plane[k / E].at[k % E]; }

    template <class T>
    FC_DEVICE All<T> get(const T *x, T none) const {
        All<T> all;
#pragma unroll
        for (int v = 0; v < PIXELS; ++v)
            all.row[v] = some<H / E, E>(x + offset + v * step, has(v) ? packs : 0, LANES * E, none);
        return all;
    }
    FC_DEVICE void put(Logit *to, const All<Logit> &all) const {
#pragma unroll
        for (int v = 0; v < PIXELS; ++v)
#pragma unroll
            for (int k = 0; k < H / E; ++k)
                if (has(v) && k < packs) store(to + offset + v * step + k * (LANES * E), all.row[v].plane[k]);
    }
    template <class T>
    FC_DEVICE Pack<T, PIXELS> of_pixels(const T *from, T none) const {
        Pack<T, PIXELS> values;
#pragma unroll
        for (int v = 0; v < PIXELS; ++v) values.at[v] = has(v) ? load(from + pixel(v)) : none;
        return values;
    }
    template <class T>
    FC_DEVICE void put_pixels(T *to, const Pack<T, PIXELS> &values) const {
#pragma unroll
        for (int v = 0; v < PIXELS; ++v)
            if (has(v) && lane == 0) store(to + pixel(v), values.at[v]);
    }
};

// The row of pixel `v`, as a lane has it.
template <class Lanes>
struct LaneRow {
    const typename Lanes::template All<typename Lanes::Logit> &all;
    int v;
    FC_DEVICE static constexpr int size() { return Lanes::H; }
    FC_DEVICE float operator[](int k) const { return to_float(Lanes::at(all, v, k)); }
};

}  // namespace fc
