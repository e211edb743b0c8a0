// Merge: low-resolution chroma, interpolated at each pixel, joined with full-resolution luma.
//
// A thread takes V neighbouring pixels of the flattened image, whatever its width. Where a pixel lies between the samples
// is counted in integers: one division a thread, then additions. The two columns of samples next to a pixel are
// interpolated along the height once and kept while the pixels that follow lie between the same two.
namespace fc {

constexpr int THREADS = 256, V = 4;

// The samples along one axis: pixel i lies at ((2 i + 1) have - want) / (2 want) of them. Positions are counted in
// 1 / (2 want), from one sample before the first, so that nothing is negative.
template <class Index>
struct Axis {
    Index have, want;
    Index first, first_rest;  // of pixel 0: samples that lie at or before it, counted from that one, and the rest
    Index step, step_rest;    // from one pixel to the next
    u32 scale, shift;         // n / (2 want) = n scale >> shift for n < 2^31
    float unit;               // 1 / (2 want)
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

// One column of samples, interpolated along the height.
template <class Index>
FC_DEVICE Chroma column_of(const float *chroma, Index x, const Between<Index> &y, Index width, Index plane) {
    const float *above = chroma + y.low * width + x, *below = chroma + y.high * width + x;
    return {lerp(__ldg(above), __ldg(below), y.weight), lerp(__ldg(above + plane), __ldg(below + plane), y.weight)};
}

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

template <class Luma, class Index>
__global__ void __launch_bounds__(THREADS)
    merge(const float *chroma, Axis<Index> rows, Axis<Index> columns, const Luma *luma, Index pixels, u8 *rgb) {
    const Index first = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    Pack<u8, V> r, g, b;
    if (first < pixels) {
        const Pack<Luma, V> y = levels(luma + first, (int)min_of<Index>(V, pixels - first));
        const Index row = divide(2 * first, columns), plane = rows.have * columns.have;
        Index x = first - row * columns.want;
        Place<Index> across, down;
        down.go_to(row, rows);
        across.go_to(x, columns);
        Between<Index> vertical(down, rows), horizontal(across, columns);
        const auto at = [&](Index column) { return column_of(chroma, column, vertical, columns.have, plane); };
        Chroma left = at(horizontal.low), right = at(horizontal.high);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            if (v > 0) {
                const Index low = horizontal.low, high = horizontal.high;
                bool same = true;  // row
                across.advance(columns);
                if (++x == columns.want) {
                    x = 0, same = false;
                    across.go_to_first(columns);
                    down.advance(rows);
                    vertical = Between<Index>(down, rows);
                }
                horizontal = Between<Index>(across, columns);
                if (!same || horizontal.low != low || horizontal.high != high) {
                    left = same && horizontal.low == high ? right : at(horizontal.low);
                    right = at(horizontal.high);
                }
            }
            const Rgb c = join(level(y.at[v]), lerp(left.u, right.u, horizontal.weight),
                               lerp(left.v, right.v, horizontal.weight));
            r.at[v] = (u8)c.r, g.at[v] = (u8)c.g, b.at[v] = (u8)c.b;
        }
    }
    __shared__ Stage<V> stages[THREADS / WARP];
    send(stages[threadIdx.x / WARP], r, g, b, rgb, first - threadIdx.x % WARP * V, pixels);
}

}  // namespace fc
