// Encode: luma, label and class weight of each pixel in one pass over the RGB.
//
// A lane takes groups of neighbouring pixels from the warp's tile, so that luma and weights leave as 16-byte words; labels
// of any type are staged as the table has them and leave as 16-byte words, too. The table is read through the read-only
// cache: what neighbours look up lies close together. Weights of up to 255 bins arrive with the launch and are looked up
// in shared memory; those of more are a table in global memory, as the labels are.
//
// What each rung should buy; all of it ran on the H200 at 55c22d5 (27 us for 8 MP, 87 % of a copy; 7.4 for 1 MP), but with
// other machine code: 40 registers and 48 warps, now 32 and 64.
// - 16-byte loads, three a lane at once; tables near the cell, in the first-level cache.
// - Luma, weights and labels leave by 16 bytes.
namespace fc {

constexpr int THREADS = 128;

// Labels of one byte, and their weights as a launch argument.
struct Few {
    typedef u8 Stored;
    float of[FEW_BINS + 1];

    struct Staged {
        const float *of;
        FC_DEVICE float operator[](u32 b) const { return of[b]; }
    };

    // All threads of the block come here, and meet before the first look-up.
    FC_DEVICE Staged staged(int n) const {
        __shared__ float weight_of[FEW_BINS + 1];
        for (int b = threadIdx.x; b < n; b += THREADS) weight_of[b] = of[b];
        return {weight_of};
    }
};

struct Many {
    typedef u16 Stored;
    const float *of;

    FC_DEVICE Many staged(int) const { return *this; }
    FC_DEVICE float operator[](u32 b) const { return __ldg(of + b); }
};

// V neighbours at once, one by one where the address is odd or the image ends.
template <class T, int V>
FC_DEVICE void put(T *to, const Pack<T, V> &pack, int valid) {
    if (valid >= V && ((u64)to & (V * sizeof(T) - 1)) == 0) {
        store(to, pack);
    } else {
#pragma unroll
        for (int v = 0; v < V; ++v)
            if (v < valid) store(to + v, pack.at[v]);
    }
}

// The staged labels of a warp's pixels, 16 bytes a lane and step.
template <int RUN, class Stored, class Label>
FC_DEVICE void send_labels(const Stored *stored, Label *to, int pixels) {
    constexpr int L = 16 / sizeof(Label);
#pragma unroll
    for (int k = 0; k < RUN; k += WARP * L) {
        const int at = k + threadIdx.x % WARP * L;
        if (at >= pixels) break;
        const Pack<Stored, L> narrow = get_shared<Stored, L>(stored + at);
        Pack<Label, L> wide;
#pragma unroll
        for (int l = 0; l < L; ++l) wide.at[l] = (Label)narrow.at[l];
        put(to + at, wide, pixels - at);
    }
}

template <class Grid, class Weights, class T, class Label, bool PLANAR, class Index>
__global__ void __launch_bounds__(THREADS)
    encode(const T *rgb, Index count, Index tiles, Grid grid, const typename Weights::Stored *table, Weights weights, int n,
           float *luma, Label *labels, float *label_weights) {
    typedef typename Weights::Stored Stored;
    constexpr int RUN = Tile<T>::RUN, V = Tile<T>::E < 4 ? Tile<T>::E : 4;
    __shared__ Tile<T> tile_of[THREADS / WARP];
    __shared__ uint4 labels_of[THREADS / WARP][RUN * sizeof(Stored) / 16];
    const auto weight_of = weights.staged(n);
    const auto space = space_of(grid, T());
    constexpr int N = AT_ONCE<decltype(space_of(grid, T()))>;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const Span<T, Index> span = span_of<PLANAR>(rgb, (Index)blockIdx.x * (THREADS / WARP) + warp, tiles, count);
    Stored *stored = reinterpret_cast<Stored *>(labels_of[warp]);
    fill<PLANAR>(tile_of[warp], span, count);
    __syncthreads();
#pragma unroll
    for (int group = lane; group < RUN / V; group += WARP) {
        const int at = group * V;
        if (at >= span.pixels) break;
        const Group<PLANAR, T, V> pixels = group_of<PLANAR, V>(tile_of[warp], group);
        Pack<float, V> y, w;
        Pack<Stored, V> label;
#pragma unroll
        for (int v = 0; v < V; v += N) {
            const Pack<Color, N> colors = colors_of<N>(pixels, v, space);
#pragma unroll
            for (int k = 0; k < N; ++k) {
                y.at[v + k] = colors.at[k].luma;
                const u32 b = __ldg(table + colors.at[k].cell);
                label.at[v + k] = (Stored)b;
                w.at[v + k] = weight_of[b];
            }
        }
        put(luma + span.first + at, y, span.pixels - at);
        put(label_weights + span.first + at, w, span.pixels - at);
        put_shared(stored + at, label);
    }
    __syncwarp();
    send_labels<RUN>(stored, labels + span.first, span.pixels);
}

}  // namespace fc
