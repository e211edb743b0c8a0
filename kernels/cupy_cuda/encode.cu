// Encode: luma, label and class weight of each pixel in one pass over the RGB.
//
// A lane takes groups of neighbouring pixels from the warp's tile, so that luma and weights leave as 16-byte words; labels
// of any type are staged as bytes and leave as 16-byte words, too. The table is read through the read-only cache: what
// neighbours look up lies close together. Weights arrive with the launch and are looked up in shared memory.
namespace fc {

constexpr int THREADS = 128;

// Weights by label, as a launch argument.
struct Weights {
    float of[MAX_BINS + 1];
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
template <int RUN, class Label>
FC_DEVICE void send_labels(const u8 *bytes, Label *to, int pixels) {
    constexpr int L = 16 / sizeof(Label);
#pragma unroll
    for (int k = 0; k < RUN; k += WARP * L) {
        const int at = k + threadIdx.x % WARP * L;
        if (at >= pixels) break;
        const Pack<u8, L> narrow = get_shared<u8, L>(bytes + at);
        Pack<Label, L> wide;
#pragma unroll
        for (int l = 0; l < L; ++l) wide.at[l] = narrow.at[l];
        put(to + at, wide, pixels - at);
    }
}

template <class T, class Label, bool PLANAR, class Index>
__global__ void __launch_bounds__(THREADS)
    encode(const T *rgb, Index count, Index tiles, Grid grid, const u8 *table, Weights weights, int n, float *luma,
           Label *labels, float *label_weights) {
    constexpr int RUN = Tile<T>::RUN, V = Tile<T>::E < 4 ? Tile<T>::E : 4;
    __shared__ Tile<T> tile_of[THREADS / WARP];
    __shared__ uint4 labels_of[THREADS / WARP][RUN / 16];
    __shared__ float weight_of[MAX_BINS + 1];
    for (int b = threadIdx.x; b < n; b += THREADS) weight_of[b] = weights.of[b];
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const Span<T, Index> span = span_of<PLANAR>(rgb, (Index)blockIdx.x * (THREADS / WARP) + warp, tiles, count);
    u8 *bytes = reinterpret_cast<u8 *>(labels_of[warp]);
    fill<PLANAR>(tile_of[warp], span, count);
    __syncthreads();
#pragma unroll
    for (int group = lane; group < RUN / V; group += WARP) {
        const int at = group * V;
        if (at >= span.pixels) break;
        const Group<PLANAR, T, V> pixels = group_of<PLANAR, V>(tile_of[warp], group);
        Pack<float, V> y, w;
        Pack<u8, V> label;
#pragma unroll
        for (int v = 0; v < V; ++v) {
            const Color color = color_of(pixels(v, 0), pixels(v, 1), pixels(v, 2), grid);
            y.at[v] = color.luma;
            const u32 b = __ldg(table + color.cell);
            label.at[v] = (u8)b;
            w.at[v] = weight_of[b];
        }
        put(luma + span.first + at, y, span.pixels - at);
        put(label_weights + span.first + at, w, span.pixels - at);
        put_shared(bytes + at, label);
    }
    __syncwarp();
    send_labels<RUN>(bytes, labels + span.first, span.pixels);
}

}  // namespace fc
