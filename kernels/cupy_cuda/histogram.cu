// Histogram of the cells: blocks count in shared memory, then add what is not zero to the result.
//
// A lane takes as many neighbouring pixels as a 16-byte word has channels and carries a run of equal cells along: a gray
// photograph, all in one cell, then costs one atomic a lane. Neighbouring lanes count in different copies while there is
// room for them. Grids too fine for shared memory count in the result itself.
//
// What each rung should buy; only the first ran on a GPU (an H200 at 55c22d5: 13 us for 1 or 2 MP, 21 for 8, 29 % of a
// copy), the others are not measured.
// - Runs, and counts in shared memory: few atomics, and those near.
// - As many blocks as there are tiles for their warps, up to BLOCKS of encode.py: 256 for 1 MP, not 64, so that each
//   warp waits for one tile, not four in turn. The 12 us that 1 and 2 MP have in common were such waiting.
// - The next tile in flight, in registers, while one is counted, and the first while the counts are cleared.
// - Counts cleared and added up by 16 bytes: 5 steps a thread for K = 65, not 17, or 256 blocks would cost more than they
//   gain.
// - Copies by lane: two lanes of one atomic that meet in a hot cell cost a turn each. With one copy, K = 65 and the sample
//   photograph a tile has 27 turns at 8 MP and 52 at 1, for 15 atomics; K = 17 has 24, and 17 with four copies.
namespace fc {

constexpr int THREADS = 256, WARPS = THREADS / WARP;
// Blocks an SM that the registers must allow: no more fit into the shared memory of sm_120, where the compiler would spill.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr int RESIDENT = 3;
#else
constexpr int RESIDENT = 4;
#endif

// A lane's counts in shared memory. PTX where there is PTX: a conditional atomicAdd would be a branch, and would work
// out the address of shared memory anew.
struct Local {
#ifdef __CUDACC__
    u32 counts, step;  // from one cell to the next
    FC_DEVICE Local(u32 *to, u32 copies) : counts((u32)__cvta_generic_to_shared(to)), step(4 * copies) {}
    FC_DEVICE void add(u32 cell, u32 length, bool wanted) const {
        asm volatile("{ .reg .pred p; setp.ne.u32 p, %2, 0; @p red.shared.add.u32 [%0], %1; }" ::"r"(counts + step * cell),
                     "r"(length), "r"((u32)wanted)
                     : "memory");
    }
#else
    u32 *counts, step;
    FC_DEVICE Local(u32 *to, u32 copies) : counts(to), step(copies) {}
    FC_DEVICE void add(u32 cell, u32 length, bool wanted) const {
        if (wanted) atomicAdd(counts + step * cell, length);
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
template <bool PLANAR, class T, class Space, class Counts>
FC_DEVICE void count_tile(const Tile<T> &tile, int pixels, const Space &space, Run &run, const Counts &counts) {
    constexpr int V = Tile<T>::E, N = V < AT_ONCE<Space> ? V : AT_ONCE<Space>;
    const int lane = threadIdx.x % WARP;
    const auto count = [&](u32 cell) {
        const bool other = cell != run.cell;
        counts.add(run.cell, run.length, other);
        run.length = other ? 1 : run.length + 1;
        run.cell = cell;
    };
    if (pixels == Tile<T>::RUN) {
        const Group<PLANAR, T, V> group = group_of<PLANAR, V>(tile, lane);
#pragma unroll
        for (int v = 0; v < V; v += N) {
            const Pack<Color, N> colors = colors_of<N>(group, v, space);
#pragma unroll
            for (int k = 0; k < N; ++k) count(colors.at[k].cell);
        }
    } else {
#pragma unroll 1
        for (int at = lane; at < pixels; at += WARP) count(colors_of<1>(InTile<PLANAR, T>(tile), at, space).at[0].cell);
    }
}

// Every warp takes tiles, a whole grid apart, until none is left; number k, its first, is `coming`.
template <bool PLANAR, class T, class Index, class Space, class Counts>
FC_DEVICE void count_tiles(Tile<T> &tile, Coming<PLANAR, T, Index> coming, Index k, const T *rgb, Index count, Index tiles,
                           const Space &space, const Counts &counts) {
    Run run = {0, 0};
    while (k < tiles) {
        if (coming.wide) coming.put(tile);
        else coming.bring_narrow(tile);
        __syncwarp();
        const int pixels = coming.span.pixels;
        k += (Index)gridDim.x * WARPS;
        coming = Coming<PLANAR, T, Index>(span_of<PLANAR>(rgb, k, tiles, count), count);
        if (coming.wide) coming.fetch();
        count_tile<PLANAR>(tile, pixels, space, run, counts);
        __syncwarp();
    }
    counts.add(run.cell, run.length, true);
}

// A cell's 2^shift counts lie side by side in shared memory, up to four, for as many lanes in turn.
template <class Grid, class T, bool PLANAR, bool LOCAL, class Index>
__global__ void __launch_bounds__(THREADS, sizeof(Index) == 8 ? 3 : RESIDENT)
    histogram(const T *rgb, Index count, Index tiles, Grid grid, u32 shift, u64 *counts) {
    __shared__ Tile<T> tile_of[WARPS];
    Tile<T> &tile = tile_of[threadIdx.x / WARP];
    const Index first = (Index)blockIdx.x * WARPS + threadIdx.x / WARP;
    Coming<PLANAR, T, Index> coming(span_of<PLANAR>(rgb, first, tiles, count), count);
    if (coming.wide) coming.fetch();
    const auto space = space_of(grid, T());
    if constexpr (LOCAL) {
        extern __shared__ uint4 local[];
        const u32 words = ((grid.cells * grid.cells << shift) + 3) / 4, last = (1u << shift) - 1;
        for (u32 k = threadIdx.x; k < words; k += THREADS) local[k] = {0, 0, 0, 0};
        __syncthreads();
        const Local mine(reinterpret_cast<u32 *>(local) + (threadIdx.x & last), last + 1);
        count_tiles(tile, coming, first, rgb, count, tiles, space, mine);
        __syncthreads();
        for (u32 k = threadIdx.x; k < words; k += THREADS) {
            const uint4 four = local[k];
            if (!(four.x | four.y | four.z | four.w)) continue;
            const u32 part[4] = {four.x, four.y, four.z, four.w};
            u32 sum = 0;
#pragma unroll
            for (u32 j = 0; j < 4; ++j) {
                sum += part[j];
                if ((j & last) != last) continue;
                if (sum > 0) atomicAdd(counts + (4 * k + j >> shift), (u64)sum);
                sum = 0;
            }
        }
    } else {
        if (STAGED<decltype(space_of(grid, T()))>) __syncthreads();
        count_tiles(tile, coming, first, rgb, count, tiles, space, Global{counts});
    }
}

}  // namespace fc
