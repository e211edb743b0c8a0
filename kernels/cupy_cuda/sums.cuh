// Sums over a whole launch that are the same at every call, bit for bit, and nearly as exact as float64.
namespace fc {

// high + low, of which low is the rounding errors of high: 48 bits.
struct Exact {
    float high = 0.0f, low = 0.0f;

    FC_DEVICE void add(float x) {
        const float sum = high + x, part = sum - high;
        low += (high - (sum - part)) + (x - part);
        high = sum;
    }
    FC_DEVICE void add(const Exact &other) {
        low += other.low;
        add(other.high);
    }
    FC_DEVICE float value() const { return high + (low == low ? low : 0.0f); }  // inf leaves no remainder
};

// Over the warp, in all lanes; two numbers have the same sum in either order.
FC_DEVICE Exact total_of_warp(Exact mine) {
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2)
        mine.add(Exact{__shfl_xor_sync(~0u, mine.high, by), __shfl_xor_sync(~0u, mine.low, by)});
    return mine;
}

// Over a block of THREADS, in its first warp. All threads come here together, and once.
template <int THREADS>
FC_DEVICE Exact total_of_block(Exact mine) {
    __shared__ Exact warps[THREADS / WARP];
    const int lane = threadIdx.x % WARP;
    mine = total_of_warp(mine);
    if (lane == 0) warps[threadIdx.x / WARP] = mine;
    __syncthreads();
    if (threadIdx.x < WARP) mine = total_of_warp(lane < THREADS / WARP ? warps[lane] : Exact());
    return mine;
}

// What `count` floats add to the sum of a thread, of which `threads` go through them together, with 64 bytes under way
// each. They are read where all multiprocessors see them.
FC_DEVICE void add_all(Exact &sum, const float *x, u64 count, u64 thread, u64 threads) {
    constexpr int E = 4, BATCH = 4;
    const u64 packs = ((u64)x & 15) == 0 ? count / E : 0;
    const float4 *from = reinterpret_cast<const float4 *>(x);
    const auto add = [&](const float4 &four) { sum.add(four.x), sum.add(four.y), sum.add(four.z), sum.add(four.w); };
    u64 k = thread;
    for (; k + (BATCH - 1) * threads < packs; k += BATCH * threads) {
        float4 got[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; ++i) got[i] = __ldcg(from + k + i * threads);
#pragma unroll
        for (int i = 0; i < BATCH; ++i) add(got[i]);
    }
    for (; k < packs; k += threads) add(__ldcg(from + k));
    for (k = packs * E + thread; k < count; k += threads) sum.add(__ldcg(x + k));
}

constexpr int PARTS = 128;  // of the divisor

// Memory of one call, by which its launches know of each other; behind it come the sums of its blocks.
struct alignas(16) Call {
    Exact divisor[PARTS];
    float *next;    // where the next call will find its factor
    float factor;   // that the gradient has
    u32 finished;   // blocks that have left their sum

    FC_DEVICE float *sums() { return reinterpret_cast<float *>(this + 1); }

    // 1 over the divisor, 1 where that is 0: then nothing weighs anything. All threads of the block come here together.
    FC_DEVICE float scale() const {
        __shared__ float scale;
        if (threadIdx.x < WARP) {
            Exact sum;
#pragma unroll
            for (int k = 0; k < PARTS; k += WARP) {
                const float2 part = __ldg(reinterpret_cast<const float2 *>(divisor) + k + threadIdx.x);
                sum.add(Exact{part.x, part.y});
            }
            const float all = total_of_warp(sum).value();
            if (threadIdx.x == 0) scale = all > 0.0f ? 1.0f / all : 1.0f;
        }
        __syncthreads();
        return scale;
    }

    // Adds up what the threads of all blocks have, always in the same order: the block that comes last finds the sums of
    // all others.
    template <int THREADS>
    FC_DEVICE void add_up(float mine, float *total) {
        __shared__ float warps[THREADS / WARP];
        __shared__ bool last;
        mine = total_of<WARP>(mine);
        if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = mine;
        __syncthreads();
        if (threadIdx.x == 0) {
            float sum = 0.0f;
#pragma unroll
            for (int k = 0; k < THREADS / WARP; ++k) sum += warps[k];
            __stcg(sums() + blockIdx.x, sum);
            __threadfence();
            last = atomicAdd(&finished, 1u) == gridDim.x - 1;
        }
        __syncthreads();
        if (last) add_up_blocks<THREADS>(total);
    }

    // The gradient has been given this factor: the block that comes last says so, when all have seen what was there before.
    FC_DEVICE void note(float given) {
        if (threadIdx.x > 0) return;
        __threadfence();
        if (atomicAdd(&finished, 1u) == gridDim.x - 1) factor = given, finished = 0;
    }

    // Out of the way of those that come before.
    template <int THREADS>
    __device__ __noinline__ void add_up_blocks(float *total) {
        __threadfence();
        Exact sum;
        add_all(sum, sums(), gridDim.x, threadIdx.x, THREADS);
        sum = total_of_block<THREADS>(sum);
        if (threadIdx.x == 0) store(total, sum.value()), finished = 0;
    }
};

}  // namespace fc
