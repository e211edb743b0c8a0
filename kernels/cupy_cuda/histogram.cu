// Histogram of the cells: blocks count in shared memory, then add what is not zero to the result.
//
// A lane takes as many neighbouring pixels as a 16-byte word has channels and carries a run of equal cells along: a gray
// photograph, all in one cell, then costs one atomic a lane. Warps count in different copies while there is room for
// them. Grids too fine for shared memory count in the result itself.
namespace fc {

constexpr int THREADS = 256;

// A warp's counts in shared memory. PTX where there is PTX: a conditional atomicAdd would be a branch, and would work
// out the address of shared memory anew.
struct Local {
#ifdef __CUDACC__
    u32 counts;
    FC_DEVICE explicit Local(u32 *to) : counts((u32)__cvta_generic_to_shared(to)) {}
    FC_DEVICE void add(u32 cell, u32 length, bool wanted) const {
        asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p red.shared.add.u32 [%0], %1; }" ::"r"(counts + 4 * cell),
                     "r"(length), "r"((u32)wanted)
                     : "memory");
    }
#else
    u32 *counts;
    FC_DEVICE explicit Local(u32 *to) : counts(to) {}
    FC_DEVICE void add(u32 cell, u32 length, bool wanted) const {
        if (wanted) atomicAdd(counts + cell, length);
    }
#endif
};

// The result itself.
struct Global {
    u64 *counts;
    FC_DEVICE void add(u32 cell, u32 length, bool wanted) const {
        if (wanted) atomicAdd(counts + cell, (u64)length);
    }
};

// Equal cells in a row, not yet counted.
struct Run {
    u32 cell, length;
};

// The pixels that a lane finds in its tile.
template <bool PLANAR, bool WHOLE, class T, class Space, class Counts>
FC_DEVICE void count_tile(const Tile<T> &tile, int pixels, const Space &space, Run &run, const Counts &counts) {
    constexpr int V = Tile<T>::E, N = V < AT_ONCE<Space> ? V : AT_ONCE<Space>;
    const int lane = threadIdx.x % WARP;
    const Group<PLANAR, T, V> group = group_of<PLANAR, V>(tile, lane);
#pragma unroll
    for (int v = 0; v < V; v += N) {
        if (!WHOLE && lane * V + v >= pixels) break;
        const Pack<Color, N> colors = colors_of<N>(group, v, space);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            if (!WHOLE && k > 0 && lane * V + v + k >= pixels) break;
            const u32 cell = colors.at[k].cell;
            const bool other = cell != run.cell;
            counts.add(run.cell, run.length, other);
            run.length = other ? 1 : run.length + 1;
            run.cell = cell;
        }
    }
}

// Every warp takes tiles, a whole grid apart, until none is left.
template <bool PLANAR, class T, class Index, class Space, class Counts>
FC_DEVICE void count_tiles(Tile<T> &tile, const T *rgb, Index count, Index tiles, const Space &space,
                           const Counts &counts) {
    constexpr int WARPS = THREADS / WARP;
    Run run = {0, 0};
    for (Index k = (Index)blockIdx.x * WARPS + threadIdx.x / WARP; k < tiles; k += (Index)gridDim.x * WARPS) {
        const Span<T, Index> span = span_of<PLANAR>(rgb, k, tiles, count);
        fill<PLANAR>(tile, span, count);
        if (span.pixels == Tile<T>::RUN) count_tile<PLANAR, true>(tile, span.pixels, space, run, counts);
        else count_tile<PLANAR, false>(tile, span.pixels, space, run, counts);
        __syncwarp();
    }
    counts.add(run.cell, run.length, true);
}

// `copies` histograms in shared memory; none if it is 0, as LOCAL says.
template <class Grid, class T, bool PLANAR, bool LOCAL, class Index>
__global__ void __launch_bounds__(THREADS, 4)
    histogram(const T *rgb, Index count, Index tiles, Grid grid, int copies, u64 *counts) {
    __shared__ Tile<T> tile_of[THREADS / WARP];
    const auto space = space_of(grid, T());
    const int warp = threadIdx.x / WARP;
    if constexpr (LOCAL) {
        extern __shared__ uint4 shared[];
        u32 *local = reinterpret_cast<u32 *>(shared);
        const int size = grid.cells * grid.cells;
        for (int k = threadIdx.x; k < copies * size; k += THREADS) local[k] = 0;
        __syncthreads();
        count_tiles<PLANAR>(tile_of[warp], rgb, count, tiles, space, Local(local + warp % copies * size));
        __syncthreads();
        for (int k = threadIdx.x; k < size; k += THREADS) {
            u32 sum = 0;
            for (int copy = 0; copy < copies; ++copy) sum += local[copy * size + k];
            if (sum > 0) atomicAdd(counts + k, (u64)sum);
        }
    } else {
        if (STAGED<decltype(space_of(grid, T()))>) __syncthreads();
        count_tiles<PLANAR>(tile_of[warp], rgb, count, tiles, space, Global{counts});
    }
}

}  // namespace fc
