// The CUDA dialect for g++: what a kernel text may use and C++ lacks. How its threads run is in runtime.cpp.
// A kernel text sees this header and those at its end, nothing else; __CUDACC__ is not defined.
#pragma once
// libstdc++: the C headers alone, for <cmath> behind them takes half of the time of a compilation.
#define _GLIBCXX_INCLUDE_NEXT_C_HEADERS
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#undef _GLIBCXX_INCLUDE_NEXT_C_HEADERS

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __shared__ static  // one block runs at a time; `extern __shared__` is rewritten by host_module.py
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

// --- what runtime.cpp supplies ----------------------------------------------------------------------------------------

#ifdef FC_HOST_THREADS
#define FC_HOST_LOCAL thread_local
#else
#define FC_HOST_LOCAL
#endif

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
extern FC_HOST_LOCAL uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace fc_host {

constexpr unsigned WHOLE_WARP = 0xffffffffu;

// Ends the launch with this message.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// All threads of the block meet here.
void block_barrier(const char *name, int line);

// The lanes of `mask` meet here; gives what each of the 32 lanes put in, until this thread meets others again.
const uint64_t *meet(unsigned mask, uint64_t mine, const char *name, int line);

// Dynamic shared memory of the running block.
void *dynamic_shared();

// One access to global memory of the running thread, in a build that records them.
void record(const void *address, unsigned bytes, bool writes, const void *site);

inline unsigned lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}

template <class T>
inline void check_aligned(const T *address, const char *name) {
    if (reinterpret_cast<uintptr_t>(address) % sizeof(T))
        fail("%s of %d bytes at %p, which is no multiple of them", name, (int)sizeof(T), (const void *)address);
}

}  // namespace fc_host

// --- vector types -----------------------------------------------------------------------------------------------------

#define FC_HOST_VECTOR2(T, V, A)          \
    struct alignas(A) V {                 \
        T x, y;                           \
    };                                    \
    inline V make_##V(T x, T y) { return {x, y}; }
#define FC_HOST_VECTOR3(T, V)             \
    struct V {                            \
        T x, y, z;                        \
    };                                    \
    inline V make_##V(T x, T y, T z) { return {x, y, z}; }
#define FC_HOST_VECTOR4(T, V, A)          \
    struct alignas(A) V {                 \
        T x, y, z, w;                     \
    };                                    \
    inline V make_##V(T x, T y, T z, T w) { return {x, y, z, w}; }

FC_HOST_VECTOR2(unsigned char, uchar2, 2)
FC_HOST_VECTOR2(signed char, char2, 2)
FC_HOST_VECTOR2(unsigned short, ushort2, 4)
FC_HOST_VECTOR2(short, short2, 4)
FC_HOST_VECTOR2(unsigned, uint2, 8)
FC_HOST_VECTOR2(int, int2, 8)
FC_HOST_VECTOR2(float, float2, 8)
FC_HOST_VECTOR2(unsigned long long, ulonglong2, 16)
FC_HOST_VECTOR2(long long, longlong2, 16)
FC_HOST_VECTOR3(unsigned char, uchar3)
FC_HOST_VECTOR3(float, float3)
FC_HOST_VECTOR3(int, int3)
FC_HOST_VECTOR4(unsigned char, uchar4, 4)
FC_HOST_VECTOR4(signed char, char4, 4)
FC_HOST_VECTOR4(unsigned short, ushort4, 8)
FC_HOST_VECTOR4(short, short4, 8)
FC_HOST_VECTOR4(unsigned, uint4, 16)
FC_HOST_VECTOR4(int, int4, 16)
FC_HOST_VECTOR4(float, float4, 16)
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

#include "shim_call.h"
#include "shim_math.h"
#include "shim_memory.h"
#include "shim_warp.h"
