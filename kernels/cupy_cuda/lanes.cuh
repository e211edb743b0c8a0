// A pixel's logits in registers, all n of them at once: LANES neighbouring lanes hold H bins each, LANES * H >= n.
//
// A lane has PIXELS pixels under way, and begins with all of their loads. Read from memory is each logit once, however
// large n is; what is summed up over the bins meets by shuffles (`largest`, `total_of`). Bins beyond the last have nothing.
namespace fc {

template <class T, int V>
FC_DEVICE Pack<T, V> get_or(bool there, const T *from, T none) {
    if (there) return load<T, V>(from);
    Pack<T, V> nothing;
#pragma unroll
    for (int v = 0; v < V; ++v) nothing.at[v] = none;
    return nothing;
}

// Planes: V neighbouring pixels a lane, of the planes `lane`, `lane + LANES`, ...
template <class Logit_, int LANES_, int H_, int V, class Index_>
struct Planes {
    typedef Logit_ Logit;
    typedef Index_ Index;
    static constexpr int LANES = LANES_, H = H_, PIXELS = V;
    template <class T>
    using All = Held<T, H, V>;

    const int lane = threadIdx.x % LANES;
    const Index first, count, pixels;
    const bool inside, last;  // whether there are pixels, and the lane's last plane
    const Index offset;

    FC_DEVICE Planes(int n, Index count, Index pixels)
        : first(((Index)blockIdx.x * blockDim.x + threadIdx.x) / LANES * V), count(count), pixels(pixels),
          inside(first < pixels), last(LANES == 1 || bin(H - 1) < n),
          offset(first + first / count * count * (n - 1) + lane * count) {}

    FC_DEVICE Index pixel(int v) const { return first + v; }
    FC_DEVICE bool has(int v) const { return pixel(v) < pixels; }  // all of them or none
    FC_DEVICE int bin(int k) const { return k * LANES + lane; }

    template <class T>
    FC_DEVICE static auto &at(T &all, int v, int k) { return all.plane[k].at[v]; }

    template <class T>
    FC_DEVICE All<T> get(const T *x, T none) const {
        All<T> all;
        x += offset;
        if (inside)
#pragma unroll
            for (int k = 0; k < H; ++k) all.plane[k] = get_or<T, V>(k < H - 1 || last, x + k * (LANES * count), none);
        return all;
    }
    FC_DEVICE void put(Logit *to, const All<Logit> &all) const {
        to += offset;
        if (inside)
#pragma unroll
            for (int k = 0; k < H; ++k)
                if (k < H - 1 || last) store(to + k * (LANES * count), all.plane[k]);
    }
    // Of one of several planes that lie between those of the next image.
    template <class T>
    FC_DEVICE Pack<T, V> of_pixels(const T *from, T none, int planes = 1, int plane = 0) const {
        return get_or<T, V>(inside, from + first + first / count * count * (planes - 1) + plane * count, none);
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
    static constexpr int LANES = LANES_, H = H_, PACKS = H / E, APART = LANES * E, BYTES = H * sizeof(Logit);
    static constexpr int PIXELS = BYTES <= 16 ? 8 : BYTES <= 32 ? 4 : BYTES <= 64 ? 2 : 1;
    template <class T>
    struct All {
        Held<T, PACKS, E> row[PIXELS];
    };

    const int lane = threadIdx.x % LANES, groups = blockDim.x / LANES;
    const Index first, count, pixels;
    const int step;  // elements from one of the lane's rows to the next
    const bool last;  // whether there is its last pack
    const Index offset;

    FC_DEVICE Rows(int n, Index count, Index pixels)
        : first((Index)blockIdx.x * (groups * PIXELS) + threadIdx.x / LANES), count(count), pixels(pixels),
          step(groups * n), last(bin(H - E) < n), offset(first * n + lane * E) {}

    FC_DEVICE Index pixel(int v) const { return first + v * groups; }
    FC_DEVICE bool has(int v) const { return pixel(v) < pixels; }
    FC_DEVICE bool has(int v, int pack) const { return has(v) && (pack < PACKS - 1 || last); }
    FC_DEVICE int bin(int k) const { return k / E * APART + k % E + lane * E; }

    template <class T>
    FC_DEVICE static auto &at(T &all, int v, int k) { return all.row[v].plane[k / E].at[k % E]; }

    template <class T>
    FC_DEVICE All<T> get(const T *x, T none) const {
        All<T> all;
        x += offset;
#pragma unroll
        for (int v = 0; v < PIXELS; ++v)
#pragma unroll
            for (int k = 0; k < PACKS; ++k) all.row[v].plane[k] = get_or<T, E>(has(v, k), x + v * step + k * APART, none);
        return all;
    }
    FC_DEVICE void put(Logit *to, const All<Logit> &all) const {
        to += offset;
#pragma unroll
        for (int v = 0; v < PIXELS; ++v)
#pragma unroll
            for (int k = 0; k < PACKS; ++k)
                if (has(v, k)) store(to + v * step + k * APART, all.row[v].plane[k]);
    }
    template <class T>
    FC_DEVICE Pack<T, PIXELS> of_pixels(const T *from, T none, int planes = 1, int plane = 0) const {
        Pack<T, PIXELS> values;
#pragma unroll
        for (int v = 0; v < PIXELS; ++v) {
            const Index at = pixel(v) + pixel(v) / count * count * (planes - 1) + plane * count;
            values.at[v] = has(v) ? load(from + at) : none;
        }
        return values;
    }
    template <class T>
    FC_DEVICE void put_pixels(T *to, const Pack<T, PIXELS> &values) const {
#pragma unroll
        for (int v = 0; v < PIXELS; ++v)
            if (has(v) && lane == 0) store(to + pixel(v), values.at[v]);
    }
};

// Blocks a multiprocessor, as a hint, where the compiler would spill a few bytes to fit in one more; 0 is none.
template <class Lanes>
constexpr int BLOCKS = sizeof(typename Lanes::Logit) == 2 && Lanes::H < 32 && Lanes::H * Lanes::PIXELS <= 48 ? 5 : 0;

// What lane j of LANES has.
template <int LANES, class T>
FC_DEVICE T of_lane(T mine, int j) {
    if constexpr (LANES == 1) return mine;
    else return __shfl_sync(~0u, mine, j, LANES);
}

// The row of pixel `v`, as a lane has it.
template <class Lanes>
struct LaneRow {
    const typename Lanes::template All<typename Lanes::Logit> &all;
    int v;
    FC_DEVICE static constexpr int size() { return Lanes::H; }
    FC_DEVICE float operator[](int k) const { return to_float(Lanes::at(all, v, k)); }
};

}  // namespace fc
