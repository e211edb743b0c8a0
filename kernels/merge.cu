// Merge: low-resolution chroma, interpolated at each pixel, joined with full-resolution luma.
//
// A thread takes V neighbouring pixels of the flattened image, whatever its width. Where a pixel lies between the samples
// is counted in integers: one division a thread, then additions. Columns of samples are interpolated along the height
// first, once for all pixels beside them; where the image is V - 1 times as wide as its chroma, and away from its
// borders, V pixels touch three columns at most, whose samples are all loaded at once.
namespace fc {

constexpr int THREADS = 256, V = 4;

// The samples along one axis: pixel i lies at ((2 i + 1) have - want) / (2 want) of them. Positions are counted in
// 1 / (2 want), from one sample before the first, so that nothing is negative.
template <class Index>
struct Axis {
    Index have, want;
    Index first, first_rest;  // of pixel 0: samples at or before it, counted from that one, and the rest
    Index step, step_rest;    // from one pixel to the next
    u32 scale, shift;         // n / (2 want) = n scale >> shift for n < 2^31
    float unit;               // 1 / (2 want)
    u32 wide;                 // 3 have < want, and float32 holds 2 (want + have)
};

// n / (2 want).
FC_DEVICE u32 divide(u32 n, const Axis<u32> &axis) { return (u32)((u64)n * axis.scale >> axis.shift); }
FC_DEVICE u64 divide(u64 n, const Axis<u64> &axis) { return n / (2 * axis.want); }

template <class Index>
struct Place {
    Index next, rest;  // `next` is the sample after the pixel

    FC_DEVICE void go_to(Index pixel, const Axis<Index> &axis) {
        const Index at = (2 * pixel + 1) * axis.have + axis.want;
        next = divide(at, axis);
        rest = at - next * 2 * axis.want;
    }

    FC_DEVICE void go_to_first(const Axis<Index> &axis) { next = axis.first, rest = axis.first_rest; }

    FC_DEVICE void advance(const Axis<Index> &axis) {
        next += axis.step, rest += axis.step_rest;
        if (rest >= 2 * axis.want) rest -= 2 * axis.want, ++next;
    }
};

// The two samples that a pixel lies between, and the weight of the second, clamped at the borders.
template <class Index>
struct Between {
    Index low, high;
    float weight;

    FC_DEVICE Between(const Place<Index> &place, const Axis<Index> &axis) {
        const bool before = place.next == 0, after = place.next >= axis.have;
        low = before ? 0 : after ? axis.have - 1 : place.next - 1;
        high = min_of<Index>(low + 1, axis.have - 1);
        weight = before || after ? 0.0f : (float)place.rest * axis.unit;
    }
};

// A neighbour of weight zero counts if it is NaN or infinite, as in the reference.
FC_DEVICE float lerp(float a, float b, float weight) { return fmaf(weight, b, (1.0f - weight) * a); }
FC_DEVICE Chroma lerp(Chroma a, Chroma b, float weight) { return {lerp(a.u, b.u, weight), lerp(a.v, b.v, weight)}; }

// What lies on a row of pixels: samples above and below, `plane` apart for U and V.
template <class Index>
struct Line {
    const float *above, *below;
    Index plane;
    float weight;

    FC_DEVICE Line(const float *chroma, const Place<Index> &down, const Axis<Index> &rows, Index width) {
        const Between<Index> y(down, rows);
        above = chroma + y.low * width, below = chroma + y.high * width;
        plane = rows.have * width, weight = y.weight;
    }

    // From column x on: what follows then lies at constant offsets.
    FC_DEVICE void go_to(Index x) { above += x, below += x; }

    FC_DEVICE Chroma column(int k) const {
        return {lerp(__ldg(above + k), __ldg(below + k), weight),
                lerp(__ldg(above + plane + k), __ldg(below + plane + k), weight)};
    }
};

// V levels of luma, 0 to 255; one by one where the address is odd or the image ends.
template <class Luma>
FC_DEVICE Pack<Luma, V> levels(const Luma *from, int valid) {
    if (valid >= V && ((u64)from & (V * sizeof(Luma) - 1)) == 0) return load<Luma, V>(from);
    Pack<Luma, V> y = {};
#pragma unroll
    for (int v = 0; v < V; ++v)
        if (v < valid) y.at[v] = load(from + v);
    return y;
}

// The first element becomes the last.
template <class T>
FC_DEVICE Pack<T, V> turned(Pack<T, V> pack) {
    const T first = pack.at[0];
#pragma unroll
    for (int v = 0; v + 1 < V; ++v) pack.at[v] = pack.at[v + 1];
    pack.at[V - 1] = first;
    return pack;
}

struct Colors {
    Pack<u8, V> r, g, b;

    template <class Luma>
    FC_DEVICE void set(int v, Luma luma, Chroma c) {
        const Rgb rgb = join(level(luma), c.u, c.v);
        r.at[v] = (u8)rgb.r, g.at[v] = (u8)rgb.g, b.at[v] = (u8)rgb.b;
    }
};

// V pixels among three columns, of which the first lies left of the first pixel.
template <class Luma, class Index>
FC_DEVICE Colors among_three(const Pack<Luma, V> &y, Line<Index> line, const Place<Index> &across,
                             const Axis<Index> &columns) {
    line.go_to(across.next - 1);
    const Chroma c[3] = {line.column(0), line.column(1), line.column(2)};
    const float turn = (float)(2 * columns.want), step = (float)columns.step_rest;
    float rest = (float)across.rest;
    Colors colors;
#pragma unroll
    for (int v = 0; v < V; ++v) {
        const bool beyond = v > 0 && rest >= turn;
        const float weight = (beyond ? rest - turn : rest) * columns.unit;
        colors.set(v, y.at[v], lerp(beyond ? c[1] : c[0], beyond ? c[2] : c[1], weight));
        rest += step;
    }
    return colors;
}

// Any V pixels, on as many rows as may be. Packs turn like wheels, so that the loop need not be unrolled.
template <class Luma, class Index>
FC_DEVICE Colors anywhere(Pack<Luma, V> y, const float *chroma, Place<Index> down, Place<Index> across, Index x,
                          const Axis<Index> &rows, const Axis<Index> &columns) {
    Colors colors = {};
#pragma unroll 1
    for (int v = 0; v < V; ++v) {
        const Between<Index> sides(across, columns);
        Line<Index> line(chroma, down, rows, columns.have);
        line.go_to(sides.low);
        colors = {turned(colors.r), turned(colors.g), turned(colors.b)}, y = turned(y);
        colors.set(V - 1, y.at[V - 1], lerp(line.column(0), line.column((int)(sides.high - sides.low)), sides.weight));
        across.advance(columns);
        if (++x == columns.want) x = 0, across.go_to_first(columns), down.advance(rows);
    }
    return colors;
}

template <class Luma, class Index>
__global__ void __launch_bounds__(THREADS)
    merge(const float *chroma, Axis<Index> rows, Axis<Index> columns, const Luma *luma, Index pixels, u8 *rgb) {
    const Index first = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    Colors colors;
    if (first < pixels) {
        const Pack<Luma, V> y = levels(luma + first, (int)min_of<Index>(V, pixels - first));
        const Index row = divide(2 * first, columns), x = first - row * columns.want;
        Place<Index> across, down;
        down.go_to(row, rows);
        across.go_to(x, columns);
        const bool inside = x + V <= columns.want && across.next > 0 && across.next + 1 < columns.have;
        if (columns.wide && inside)
            colors = among_three(y, Line<Index>(chroma, down, rows, columns.have), across, columns);
        else
            colors = anywhere(y, chroma, down, across, x, rows, columns);
    }
    __shared__ Stage<V> stages[THREADS / WARP];
    send(stages[threadIdx.x / WARP], colors.r, colors.g, colors.b, rgb, first - threadIdx.x % WARP * V, pixels);
}

}  // namespace fc
