// Histogram of the cells: blocks count in shared memory, then add what is not zero to the result.
//
// A lane takes as many neighbouring pixels as a 16-byte word has channels and carries a run of equal cells along: a gray
// photograph, all in one cell, then costs one atomic a lane. Warps count in different copies while there is room for
// them. Grids too fine for shared memory count in the result itself.
namespace fc {

constexpr int THREADS = 256;

struct Run {
    u32 cell, length;
};

// What a warp adds to: its copy in shared memory, or the result.
template <class Count>
FC_DEVICE void add(Run &run, Count *counts) {
    if (run.length > 0) atomicAdd(counts + run.cell, (Count)run.length);
    run.length = 0;
}

template <bool PLANAR, class T, class Count>
FC_DEVICE void count_tile(const Tile<T> &tile, int pixels, const Grid &grid, Run &run, Count *counts) {
    constexpr int V = Tile<T>::E;
    const int lane = threadIdx.x % WARP;
    const Group<PLANAR, T, V> group = group_of<PLANAR, V>(tile, lane);
#pragma unroll
    for (int v = 0; v < V; ++v) {
        if (lane * V + v >= pixels) break;
        const u32 cell = color_of(group(v, 0), group(v, 1), group(v, 2), grid).cell;
        if (cell != run.cell) add(run, counts), run.cell = cell;
        ++run.length;
    }
}

// Every warp takes tiles, a whole grid apart, until none is left.
template <bool PLANAR, class T, class Index, class Count>
FC_DEVICE void count_tiles(Tile<T> &tile, const T *rgb, Index count, Index tiles, const Grid &grid, Count *counts) {
    constexpr int WARPS = THREADS / WARP;
    Run run = {0, 0};
    for (Index k = (Index)blockIdx.x * WARPS + threadIdx.x / WARP; k < tiles; k += (Index)gridDim.x * WARPS) {
        const Span<T, Index> span = span_of<PLANAR>(rgb, k, tiles, count);
        fill<PLANAR>(tile, span, count);
        count_tile<PLANAR>(tile, span.pixels, grid, run, counts);
        __syncwarp();
    }
    add(run, counts);
}

// `copies` histograms in shared memory; none if it is 0, as LOCAL says.
template <class T, bool PLANAR, bool LOCAL, class Index>
__global__ void __launch_bounds__(THREADS)
    histogram(const T *rgb, Index count, Index tiles, Grid grid, int copies, u64 *counts) {
    __shared__ Tile<T> tile_of[THREADS / WARP];
    const int warp = threadIdx.x / WARP;
    if constexpr (LOCAL) {
        extern __shared__ uint4 shared[];
        u32 *local = reinterpret_cast<u32 *>(shared);
        const int size = grid.cells * grid.cells;
        for (int k = threadIdx.x; k < copies * size; k += THREADS) local[k] = 0;
        __syncthreads();
        count_tiles<PLANAR>(tile_of[warp], rgb, count, tiles, grid, local + warp % copies * size);
        __syncthreads();
        for (int k = threadIdx.x; k < size; k += THREADS) {
            u32 sum = 0;
            for (int copy = 0; copy < copies; ++copy) sum += local[copy * size + k];
            if (sum > 0) atomicAdd(counts + k, (u64)sum);
        }
    } else {
        count_tiles<PLANAR>(tile_of[warp], rgb, count, tiles, grid, counts);
    }
}

}  // namespace fc
