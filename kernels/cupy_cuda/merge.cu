// Merge: low-resolution chroma, interpolated at each pixel, joined with full-resolution luma.
//
// A thread takes V neighbouring pixels of the flattened image, whatever its width. Where a pixel lies between the samples
// is counted in integers: one division a thread, then additions. Where the image is more than V - 1 times as wide as its
// chroma, and away from its borders, V pixels touch three columns of samples at most: these are loaded at once and
// interpolated along the height first, and each pixel is their sum with three weights.
//
// What each rung should buy; the H200 ran the first three at 55c22d5 (30 us for 8 MP of float32 luma, 29 of bytes: 46 and
// 28 % of a copy, where 12 had been predicted), the others are not measured.
// - Positions counted in integers: no division a pixel, no rounding.
// - Three columns for V = 8 pixels: 12 loads, 6 interpolations along the height, 3 multiply-adds a value.
// - RGB staged and sent as 16-byte words.
// - Borders take the same way, from the three columns next to them: the weights stop at 0 and 1 by themselves. Before, the
//   pixels beyond the outer samples went one by one, eight loads in turn: in two of the 16 warps of a row of 4096, and a
//   block of 8 waits for its slowest. Only a row's end within V pixels, and what is not finite, still does.
// - V = 16 of bytes, where the image is 15 times as wide as its chroma: a third fewer clocks a pixel (0.29 for 0.43).
// - Staged by 8 or 16 bytes, in which no two lanes meet in a bank; words of 4 bytes met in pairs.
namespace fc {

constexpr int THREADS = 256;

// The samples along one axis: pixel i lies at ((2 i + 1) have - want) / (2 want) of them. Positions are counted in
// 1 / (2 want), from one sample before the first, so that nothing is negative.
template <class Index>
struct Axis {
    Index have, want;
    Index first, first_rest;  // of pixel 0: samples at or before it, counted from that one, and the rest
    Index step, step_rest;    // from one pixel to the next
    u32 scale, shift;         // n / (2 want) = n scale >> shift for n < 2^31
    float unit;               // 1 / (2 want)
    u32 wide;                 // have > 2, (V - 1) have < want, and float32 holds 2 (want + have)
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

// V neighbouring values of luma; one by one at the end of the image and where the address is odd.
template <class Luma, int V, class Index>
FC_DEVICE Pack<Luma, V> luma_at(const Luma *luma, Index first, Index pixels) {
    constexpr int ALIGNMENT = V * sizeof(Luma) < 16 ? V * sizeof(Luma) : 16;
    const Index end_of_warp = first - threadIdx.x % WARP * V + WARP * V;
    if (end_of_warp <= pixels && ((u64)luma & (ALIGNMENT - 1)) == 0) return load_warp<Luma, V>(luma + first);
    Pack<Luma, V> y = {};
#pragma unroll
    for (int v = 0; v < V; ++v)
        if (first + v < pixels) y.at[v] = load(luma + first + v);
    return y;
}

template <class T, int V>
FC_DEVICE T pop(Pack<T, V> &from) {
    const T first = from.at[0];
#pragma unroll
    for (int v = 0; v + 1 < V; ++v) from.at[v] = from.at[v + 1];
    return first;
}

template <int V>
FC_DEVICE void push(Interleaved<V> &to, const Rgb &c) {
    constexpr int LAST = 3 * V / 4 - 1;
#pragma unroll
    for (int k = 0; k < LAST; ++k) to.words[k] = to.words[k] >> 24 | to.words[k + 1] << 8;
    to.words[LAST] = to.words[LAST] >> 24 | c.r << 8 | c.g << 16 | c.b << 24;
}

// a b, clipped to [0, 1].
FC_DEVICE float share(float a, float b) {
#ifdef __CUDACC__
    float product;
    asm("mul.sat.f32 %0, %1, %2;" : "=f"(product) : "f"(a), "f"(b));
    return product;
#else
    return fminf(fmaxf(a * b, 0.0f), 1.0f);
#endif
}

// Luma and chroma that is finite.
template <bool LAB, class Luma>
FC_DEVICE Rgb joined(Luma luma, float u, float v) {
    if constexpr (LAB) return join_lab(luma, u, v);
    else return mix(level(luma) + 0.5f, u, v);
}

// Three columns of samples, among which pixels of a row lie, or beyond the border that the columns are next to.
struct Three {
    Chroma c[3];
    float past;  // how far the first pixel lies beyond the middle column, in units of the axis

    template <class Index>
    FC_DEVICE Three(Line<Index> line, const Place<Index> &across, const Axis<Index> &columns) {
        const Index first = min_of<Index>(across.next == 0 ? 0 : across.next - 1, columns.have - 3);
        line.go_to(first);
#pragma unroll
        for (int k = 0; k < 3; ++k) c[k] = line.column(k);
        past = fmaf((float)((int)(across.next - first) - 2), (float)(2 * columns.want), (float)across.rest);
    }

    // A weight of zero then hides nothing.
    FC_DEVICE bool finite() const {
        const float sum = c[0].u + c[0].v + c[1].u + c[1].v + c[2].u + c[2].v;
        return sum - sum == 0.0f;
    }

    template <bool LAB, class Luma, int V, class Index>
    FC_DEVICE Interleaved<V> among(const Pack<Luma, V> &y, const Axis<Index> &columns) const {
        const float step = (float)columns.step_rest;
        float at = past;
        u32 colors[3 * V];
#pragma unroll
        for (int v = 0; v < V; ++v) {
            // The weights of the outer columns; one of them is 0, the other is 1 from there outward.
            const float left = share(at, -columns.unit), right = share(at, columns.unit);
            const float middle = 1.0f - left - right;
            const float u = fmaf(left, c[0].u, fmaf(right, c[2].u, middle * c[1].u));
            const float w = fmaf(left, c[0].v, fmaf(right, c[2].v, middle * c[1].v));
            const Rgb rgb = joined<LAB>(y.at[v], u, w);
            colors[3 * v] = rgb.r, colors[3 * v + 1] = rgb.g, colors[3 * v + 2] = rgb.b;
            at += step;
        }
        return interleave<V>(colors);
    }
};

// Any V pixels, on as many rows as may be. Luma and colors move along like a queue, so that the loop need not be unrolled.
template <bool LAB, class Luma, int V, class Index>
FC_DEVICE Interleaved<V> anywhere(Pack<Luma, V> y, const float *chroma, Place<Index> down, Place<Index> across, Index x,
                                  const Axis<Index> &rows, const Axis<Index> &columns) {
    Interleaved<V> colors = {};
#pragma unroll 1
    for (int v = 0; v < V; ++v) {
        const Between<Index> sides(across, columns);
        Line<Index> line(chroma, down, rows, columns.have);
        line.go_to(sides.low);
        const Chroma c = lerp(line.column(0), line.column((int)(sides.high - sides.low)), sides.weight);
        push(colors, join_in<LAB>(pop(y), c.u, c.v));
        across.advance(columns);
        if (++x == columns.want) x = 0, across.go_to_first(columns), down.advance(rows);
    }
    return colors;
}

template <bool LAB, class Luma, int V, class Index>
FC_DEVICE Interleaved<V> colors_of(const Pack<Luma, V> &y, const float *chroma, const Axis<Index> &rows,
                                   const Axis<Index> &columns, Index first) {
    const Index row = divide(2 * first, columns), x = first - row * columns.want;
    Place<Index> across, down;
    down.go_to(row, rows);
    across.go_to(x, columns);
    if (columns.wide && x + V <= columns.want) {
        const Three three(Line<Index>(chroma, down, rows, columns.have), across, columns);
        if (three.finite()) return three.among<LAB>(y, columns);
    }
    return anywhere<LAB>(y, chroma, down, across, x, rows, columns);
}

// One image, or IMAGES of `pixels` each, `blocks` blocks an image.
template <class Luma, int V, bool LAB, bool IMAGES, class Index>
__global__ void __launch_bounds__(THREADS, 3)
    merge(const float *chroma, Axis<Index> rows, Axis<Index> columns, const Luma *luma, Index pixels, u8 *rgb, u32 blocks) {
    Index block = blockIdx.x;
    if (IMAGES) {
        const Index image = blockIdx.x / blocks;
        block -= image * blocks;
        chroma += 2 * image * rows.have * columns.have, luma += image * pixels, rgb += 3 * image * pixels;
    }
    const Index first = (block * THREADS + threadIdx.x) * V;
    const Pack<Luma, V> y = luma_at<Luma, V>(luma, first, pixels);
    Interleaved<V> colors;
    if (first < pixels) colors = colors_of<LAB>(y, chroma, rows, columns, first);
    __shared__ Stage<V> stages[THREADS / WARP];
    send(stages[threadIdx.x / WARP], colors, rgb, first - threadIdx.x % WARP * V, pixels);
}

}  // namespace fc
