// Soft encode: luma, the k nearest bins of each pixel, their shares, and a class weight, in one pass over the RGB.
//
// A lane takes one pixel of the warp's tile after the other. Only bins that can be among the k nearest of a color of the
// pixel's cell, one of a grid of its own, are looked at. They come in ascending order, so that the lower of two equally
// near bins comes first; a color that rounding moves across an edge finds all of its own, too. The nearest so far are kept
// in registers. Nothing of this has run on a GPU.
namespace fc {

constexpr int THREADS = 128;

// Luma, chroma in the units of the space, and the cell.
struct Chromatic {
    float luma, u, v;
    u32 cell;
};

FC_DEVICE Chromatic chromatic(u32 r, u32 g, u32 b, const Grid &grid) {
    constexpr float U = (float)(U_MAX / U_NUMERATOR_MAX), V = (float)(V_MAX / V_NUMERATOR_MAX);
    const Color color = color_of(r, g, b, grid);
    const int y = -U_OF_R * (int)r - U_OF_G * (int)g - V_OF_B * (int)b;
    return {color.luma, (float)(UNIT * (int)b - y) * U, (float)(UNIT * (int)r - y) * V, color.cell};
}

template <class Real>
FC_DEVICE Chromatic chromatic(Real r, Real g, Real b, const Grid &grid) {
    constexpr Real R = (Real)-U_OF_R / UNIT, G = (Real)-U_OF_G / UNIT, B = (Real)-V_OF_B / UNIT;
    constexpr Real U = (Real)(U_MAX * UNIT / U_OF_B), V = (Real)(V_MAX * UNIT / V_OF_R);
    const Real y = R * r + G * g + B * b;
    return {(float)y, (float)((b - y) * U), (float)((r - y) * V), color_of(r, g, b, grid).cell};
}

FC_DEVICE Chromatic chromatic(const Bent &f, u32 cells) {
    const float a = 500.0f * (f.x - f.y), b = 200.0f * (f.y - f.z);
    constexpr float SHARE = 1 / (2 * AB_MAX);
    return {f.light, a, b, cell_at(fmaf(a, SHARE, 0.5f), cells) * cells + cell_at(fmaf(b, SHARE, 0.5f), cells)};
}

FC_DEVICE Chromatic chromatic(u32 r, u32 g, u32 b, const LabLevels &lab) {
    return chromatic(Bent(Xyz<float>(lab.linear[r], lab.linear[g], lab.linear[b])), lab.grid.cells);
}

template <class Real>
FC_DEVICE Chromatic chromatic(Real r, Real g, Real b, const LabGrid &grid) {
    return chromatic(bent_of(r, g, b), grid.cells);
}

FC_DEVICE u32 channel_of(u8 level) { return level; }
template <class Real>
FC_DEVICE Real channel_of(Real value) { return value; }

// Pixel `at` of a warp's tile.
template <bool PLANAR, class T, class Space>
FC_DEVICE Chromatic chromatic_at(const Tile<T> &tile, int at, const Space &space) {
    const T *of = reinterpret_cast<const T *>(tile.words) + (PLANAR ? at : 3 * at);
    constexpr int STEP = PLANAR ? Tile<T>::RUN : 1;
    return chromatic(channel_of(of[0]), channel_of(of[STEP]), channel_of(of[2 * STEP]), space);
}

// What the host knows of the bins: for each cell `candidates[first[cell]]` to `candidates[first[cell + 1] - 1]`.
struct Bins {
    const int *first;
    const u16 *candidates;
    const float2 *colors;
    const float *weights;
};

// The MOST nearest bins so far, nearest first, of them k wanted; a color that is NaN leaves them as they are.
template <int MOST>
struct Nearest {
    float square[MOST];  // of the distance; later the share
    u32 bin[MOST];

    FC_DEVICE Nearest(const Chromatic &color, const Bins &bins) {
#pragma unroll
        for (int j = 0; j < MOST; ++j) square[j] = infinity(), bin[j] = j;
        const int end = __ldg(bins.first + color.cell + 1);
#pragma unroll 1
        for (int at = __ldg(bins.first + color.cell); at < end; ++at) {
            const u32 b = __ldg(bins.candidates + at);
            const float2 c = __ldg(bins.colors + b);
            const float du = color.u - c.x, dv = color.v - c.y, d = fmaf(du, du, dv * dv);
            if (d < square[MOST - 1]) insert(d, b);
        }
    }

    FC_DEVICE void insert(float d, u32 b) {
        bool nearer = true;  // than the one in the place after
#pragma unroll
        for (int j = MOST - 1; j >= 0; --j) {
            const bool also = j > 0 && d < square[(j > 0 ? j - 1 : 0)];
            if (nearer) square[j] = also ? square[(j > 0 ? j - 1 : 0)] : d, bin[j] = also ? bin[(j > 0 ? j - 1 : 0)] : b;
            nearer = also;
        }
    }

    // exp2 of the squares beyond the nearest one, times `falloff`, over their sum.
    FC_DEVICE void share(int k, float falloff) {
        const float nearest = square[0];
        float total = 0.0f;
#pragma unroll
        for (int j = 0; j < MOST; ++j) {
            square[j] = j < k ? exp2_fast((nearest - square[j]) * falloff) : 0.0f;
            total += square[j];
        }
        const float scale = reciprocal(total);
#pragma unroll
        for (int j = 0; j < MOST; ++j) square[j] *= scale;
    }

    // Of the shares, or of the nearest bin.
    FC_DEVICE float weight(int k, bool mean, const float *weights) const {
        if (!mean) return __ldg(weights + bin[0]);
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < MOST; ++j)
            if (j < k) sum = fmaf(square[j], __ldg(weights + bin[j]), sum);
        return sum;
    }
};

// Where labels and shares go: `between` pixels lie between two of the k of a pixel. Where none does, a warp brings those
// of its pixels together before it sends them.
template <class Label, int MOST, bool LAST, class Index>
struct Soft {
    Label *labels;
    float *shares;
    Index between;
    int k;

    FC_DEVICE void put(const Nearest<MOST> &found, Index first, int lane, int pixels) const {
        if constexpr (LAST) {
            __shared__ float shares_of[THREADS / WARP][WARP * MOST];
            __shared__ u16 bins_of[THREADS / WARP][WARP * MOST];
            float *staged = shares_of[threadIdx.x / WARP];
            u16 *bins = bins_of[threadIdx.x / WARP];
#pragma unroll
            for (int j = 0; j < MOST; ++j)
                if (j < k) staged[lane * k + j] = found.square[j], bins[lane * k + j] = (u16)found.bin[j];
            __syncwarp();
            for (int at = lane; at < pixels * k; at += WARP) {
                store(shares + first * k + at, staged[at]);
                store(labels + first * k + at, (Label)bins[at]);
            }
            __syncwarp();
        } else if (lane < pixels) {
            const Index pixel = first + lane, image = pixel / between;
            const Index to = pixel + image * (k - 1) * between;
#pragma unroll
            for (int j = 0; j < MOST; ++j)
                if (j < k) {
                    store(shares + to + j * between, found.square[j]);
                    store(labels + to + j * between, (Label)found.bin[j]);
                }
        }
    }
};

template <class Grid, class T, class Label, bool PLANAR, int MOST, bool LAST, class Index>
__global__ void __launch_bounds__(THREADS, MOST <= 10 ? 6 : 3)
    encode_soft(const T *rgb, Index count, Index tiles, Grid grid, Bins bins, float falloff, int k, int mean,
                Index between, float *luma, Label *labels, float *shares, float *weights) {
    constexpr int RUN = Tile<T>::RUN;
    __shared__ Tile<T> tile_of[THREADS / WARP];
    const auto space = space_of(grid, T());
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const Span<T, Index> span = span_of<PLANAR>(rgb, (Index)blockIdx.x * (THREADS / WARP) + warp, tiles, count);
    fill<PLANAR>(tile_of[warp], span, count);
    if (STAGED<decltype(space_of(grid, T()))>) __syncthreads();
    const Soft<Label, MOST, LAST, Index> soft = {labels, shares, between, k};
#pragma unroll 1
    for (int at = lane; at < RUN; at += WARP) {
        const int pixels = min_of(span.pixels - (at - lane), WARP);
        if (pixels <= 0) break;
        // A lane without a pixel of its own takes the last one again, and writes nothing.
        const Chromatic color = chromatic_at<PLANAR>(tile_of[warp], min_of(at, span.pixels - 1), space);
        Nearest<MOST> found(color, bins);
        found.share(k, falloff);
        soft.put(found, span.first + (at - lane), lane, pixels);
        if (lane < pixels) {
            store(luma + span.first + at, color.luma);
            store(weights + span.first + at, found.weight(k, mean, bins.weights));
        }
    }
}

}  // namespace fc
