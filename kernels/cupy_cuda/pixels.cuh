// RGB on its way from global memory to a thread, and the luma and the cell of a color.
//
// A warp takes a tile of 1536 bytes: three runs, each of one 16-byte word a lane, which are neighbouring pixels or a
// piece of each plane. In shared memory a thread then finds the pixels that it wants to write together.
namespace fc {

template <class T>
struct Tile {
    static constexpr int E = 16 / sizeof(T);
    static constexpr int RUN = WARP * E;  // elements of a run: as many as a tile has pixels
    uint4 words[3 * WARP];
};

// Which pixels a warp takes: `first` counts them in the order of the results, `from` is the first one's red.
template <class T, class Index>
struct Span {
    const T *from;
    Index first;
    int pixels;
};

// Tile number `tile` of `tiles`, within images of `count` pixels in planes, or in one image of interleaved pixels.
template <bool PLANAR, class T, class Index>
FC_DEVICE Span<T, Index> span_of(const T *rgb, Index tile, Index tiles, Index count) {
    constexpr int RUN = Tile<T>::RUN;
    Index first = tile * RUN, start = first, image = 0;
    if (PLANAR) {
        const Index each = (count + RUN - 1) / RUN;
        image = tile / each;
        start = (tile - image * each) * RUN;
        first = image * count + start;
    }
    const int pixels = tile < tiles ? (int)min_of<Index>(RUN, count - start) : 0;
    return {rgb + (PLANAR ? first + 2 * image * count : 3 * first), first, pixels};
}

// A warp's pixels on their way to its tile. Where they are whole and aligned, a lane holds three words of them, all in
// flight at once, so that the next may come while others are at work.
template <bool PLANAR, class T, class Index>
struct Coming {
    Span<T, Index> span;
    Index step;  // between runs; `count` elements lie between planes
    bool wide;
    uint4 words[3];

    FC_DEVICE Coming(const Span<T, Index> &span, Index count)
        : span(span),
          step(PLANAR ? count : (Index)Tile<T>::RUN),
          wide(span.pixels == Tile<T>::RUN && (((u64)span.from | step * sizeof(T)) & 15) == 0) {}

    FC_DEVICE void fetch() {
#pragma unroll
        for (int k = 0; k < 3; ++k)
            words[k] = load(reinterpret_cast<const uint4 *>(span.from + k * step) + threadIdx.x % WARP);
    }

    FC_DEVICE void put(Tile<T> &to) const {
#pragma unroll
        for (int k = 0; k < 3; ++k) to.words[k * WARP + threadIdx.x % WARP] = words[k];
    }

    // Where an address or the size is odd.
    FC_DEVICE void bring_narrow(Tile<T> &to) const {
        T *tile = reinterpret_cast<T *>(to.words);
#pragma unroll 1
        for (int k = 0; k < 3; ++k, tile += Tile<T>::RUN) {
            const int valid = PLANAR ? span.pixels : min_of(3 * span.pixels - k * Tile<T>::RUN, Tile<T>::RUN);
#pragma unroll 4
            for (int at = threadIdx.x % WARP; at < valid; at += WARP) tile[at] = load(span.from + k * step + at);
        }
    }
};

template <bool PLANAR, class T, class Index>
FC_DEVICE void fill(Tile<T> &to, const Span<T, Index> &span, Index count) {
    Coming<PLANAR, T, Index> all(span, count);
    if (all.wide) all.fetch(), all.put(to);
    else all.bring_narrow(to);
    __syncwarp();
}

// The pixels of a tile, one by one.
template <bool PLANAR, class T>
struct InTile {
    const T *first;

    FC_DEVICE explicit InTile(const Tile<T> &tile) : first(reinterpret_cast<const T *>(tile.words)) {}
    FC_DEVICE auto operator()(int at, int channel) const {
        const T value = first[PLANAR ? channel * Tile<T>::RUN + at : 3 * at + channel];
        if constexpr (sizeof(T) == 1) return (u32)value;
        else return value;
    }
};

// V neighbouring pixels in registers. A byte is taken from its word by one permutation.
template <bool PLANAR, class T, int V>
struct Group {
    union {
        Pack<T, V> pack;
        u32 words[V * sizeof(T) / 4];
    } part[3];

    FC_DEVICE auto operator()(int v, int channel) const {
        const int at = 3 * v + channel, p = PLANAR ? channel : at / V, k = PLANAR ? v : at % V;
        if constexpr (sizeof(T) == 1) return __byte_perm(part[p].words[k / 4], 0, 0x4440 + k % 4);
        else return part[p].pack.at[k];
    }
};

template <bool PLANAR, int V, class T>
FC_DEVICE Group<PLANAR, T, V> group_of(const Tile<T> &tile, int group) {
    const T *first = reinterpret_cast<const T *>(tile.words) + (PLANAR ? group : 3 * group) * V;
    Group<PLANAR, T, V> pixels;
#pragma unroll
    for (int k = 0; k < 3; ++k) pixels.part[k].pack = get_shared<T, V>(first + k * (PLANAR ? Tile<T>::RUN : V));
    return pixels;
}

// K, and ceil(2^38 K / D) for the ranges D of the two chroma numerators.
struct Grid {
    u32 cells, u_scale, v_scale;
};

struct Color {
    float luma;  // in [0, 1]
    u32 cell;    // row U, column V
};

constexpr int UNIT = U_OF_B - V_OF_B;  // B - Y in thousandths is UNIT * B less the luma's own coefficients

// floor(x K / D) by a product and a shift, exact for all 0 <= x <= D: the scale is rounded up by less than 1, which adds
// less than D / 2^38 < 1 / D to the quotient. Only the top edge reaches K.
FC_DEVICE u32 cell_on(u32 x, u32 scale, u32 cells) { return min_of(__umulhi(x, scale) >> 6, cells - 1); }

// Levels 0 to 255: integers, exact.
FC_DEVICE Color color_of(u32 r, u32 g, u32 b, const Grid &grid) {
    static_assert(V_OF_R - U_OF_R == UNIT && U_OF_G == V_OF_G, "both numerators are UNIT * channel - luma");
    static_assert(U_NUMERATOR_MAX < 1 << 18 && V_NUMERATOR_MAX < 1 << 18, "ranges below 2^19");
    const u32 y = (u32)-U_OF_R * r + (u32)-U_OF_G * g + (u32)-V_OF_B * b;
    const u32 u = cell_on((u32)UNIT * b + U_NUMERATOR_MAX - y, grid.u_scale, grid.cells);
    const u32 v = cell_on((u32)UNIT * r + V_NUMERATOR_MAX - y, grid.v_scale, grid.cells);
    return {(float)(int)y * (1.0f / (255 * UNIT)), u * grid.cells + v};
}

// Cell of a share of the range; NaN, which compares as false, lies in the middle.
template <class Real>
FC_DEVICE u32 cell_at(Real share, u32 cells) {
    const Real x = share * (Real)cells, last = (Real)(cells - 1);
    return x > 0 ? (u32)(x < last ? x : last) : x <= 0 ? 0 : cells / 2;
}

// float or double, in [0, 1].
template <class Real>
FC_DEVICE Color color_of(Real r, Real g, Real b, const Grid &grid) {
    constexpr Real R = (Real)-U_OF_R / UNIT, G = (Real)-U_OF_G / UNIT, B = (Real)-V_OF_B / UNIT;
    constexpr Real U = (Real)UNIT / (2 * U_OF_B), V = (Real)UNIT / (2 * V_OF_R), HALF = (Real)0.5;
    const Real y = R * r + G * g + B * b;
    return {(float)y, cell_at((b - y) * U + HALF, grid.cells) * grid.cells + cell_at((r - y) * V + HALF, grid.cells)};
}

// --- what the kernels ask of a space ----------------------------------------------------------------------------------

// How a kernel sees the grid that it was launched with, for pixels of T; YUV needs nothing more.
template <class T>
FC_DEVICE Grid space_of(const Grid &grid, T) { return grid; }

// Whether it has a table in shared memory, which all threads of the block fill, and meet before the first color.
template <class Space>
constexpr bool STAGED = false;

// How many neighbours a lane takes together.
template <class Space>
constexpr int AT_ONCE = STAGED<Space> ? 4 : 1;

// N of a group's pixels.
template <int N, class Pixels, class Grid>
FC_DEVICE Pack<Color, N> colors_of(const Pixels &pixels, int first, const Grid &grid) {
    Pack<Color, N> colors;
#pragma unroll
    for (int k = 0; k < N; ++k)
        colors.at[k] = color_of(pixels(first + k, 0), pixels(first + k, 1), pixels(first + k, 2), grid);
    return colors;
}

}  // namespace fc
