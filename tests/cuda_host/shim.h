// The CUDA dialect for g++: what a kernel text may use and C++ lacks. Threads, barriers and errors are in runtime.cpp.
// A kernel text sees this header and nothing else; __CUDACC__ is not defined here.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

// --- memory -----------------------------------------------------------------------------------------------------------

#ifdef FC_HOST_TRACE
// Out of line, so that the return address tells one load of the kernel from another.
#define FC_HOST_ACCESS __attribute__((noinline, no_sanitize("thread"))) inline
#define FC_HOST_RECORD(address, bytes, writes) \
    fc_host::record(address, bytes, writes, __builtin_return_address(0))
#else
#define FC_HOST_ACCESS inline
#define FC_HOST_RECORD(address, bytes, writes)
#endif

#define FC_HOST_LOAD(name)                                \
    template <class T>                                    \
    FC_HOST_ACCESS T name(const T *address) {             \
        fc_host::check_aligned(address, #name);           \
        FC_HOST_RECORD(address, sizeof(T), false);        \
        return *address;                                  \
    }
#define FC_HOST_STORE(name)                               \
    template <class T>                                    \
    FC_HOST_ACCESS void name(T *address, T value) {       \
        fc_host::check_aligned(address, #name);           \
        FC_HOST_RECORD(address, sizeof(T), true);         \
        *address = value;                                 \
    }
FC_HOST_LOAD(__ldg)
FC_HOST_LOAD(__ldca)
FC_HOST_LOAD(__ldcg)
FC_HOST_LOAD(__ldcs)
FC_HOST_LOAD(__ldlu)
FC_HOST_LOAD(__ldcv)
FC_HOST_STORE(__stwb)
FC_HOST_STORE(__stcg)
FC_HOST_STORE(__stcs)
FC_HOST_STORE(__stwt)

// Atomic functions give the value before.
#define FC_HOST_ATOMIC(name, T, expression)                                                                     \
    FC_HOST_ACCESS T name(T *address, T value) {                                                                \
        fc_host::check_aligned(address, #name);                                                                 \
        FC_HOST_RECORD(address, sizeof(T), true);                                                               \
        T before, after;                                                                                        \
        __atomic_load(address, &before, __ATOMIC_RELAXED);                                                      \
        do {                                                                                                    \
            after = expression;                                                                                 \
        } while (!__atomic_compare_exchange(address, &before, &after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)); \
        return before;                                                                                          \
    }
#define FC_HOST_ATOMICS(T)                                             \
    FC_HOST_ATOMIC(atomicAdd, T, before + value)                       \
    FC_HOST_ATOMIC(atomicMin, T, before < value ? before : value)      \
    FC_HOST_ATOMIC(atomicMax, T, before < value ? value : before)      \
    FC_HOST_ATOMIC(atomicAnd, T, before &value)                        \
    FC_HOST_ATOMIC(atomicOr, T, before | value)                        \
    FC_HOST_ATOMIC(atomicXor, T, before ^ value)                       \
    FC_HOST_ATOMIC(atomicExch, T, value)
FC_HOST_ATOMICS(int)
FC_HOST_ATOMICS(unsigned)
FC_HOST_ATOMICS(unsigned long long)
FC_HOST_ATOMIC(atomicAdd, float, before + value)
FC_HOST_ATOMIC(atomicAdd, double, before + value)
FC_HOST_ATOMIC(atomicExch, float, value)

template <class T>
FC_HOST_ACCESS T atomicCAS(T *address, T expected, T value) {
    fc_host::check_aligned(address, "atomicCAS");
    FC_HOST_RECORD(address, sizeof(T), true);
    __atomic_compare_exchange(address, &expected, &value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// --- threads that meet ------------------------------------------------------------------------------------------------

inline void __syncthreads(int line = __builtin_LINE()) { fc_host::block_barrier("__syncthreads", line); }

inline void __syncwarp(unsigned mask = fc_host::WHOLE_WARP, int line = __builtin_LINE()) {
    fc_host::meet(mask, 0, "__syncwarp", line);
}

namespace fc_host {

template <class T>
inline T shuffle(unsigned mask, T mine, unsigned source, const char *name, int line) {
    static_assert(sizeof(T) <= 8, "a shuffle moves 4 or 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &mine, sizeof(T));
    const uint64_t *all = meet(mask, bits, name, line);
    if (!(mask >> source & 1)) fail("%s reads lane %u, which is not in its mask %#x (line %d)", name, source, mask, line);
    T theirs;
    memcpy(&theirs, &all[source], sizeof(T));
    return theirs;
}

inline void check_width(int width, const char *name, int line) {
    if (width < 1 || width > 32 || (width & (width - 1)))
        fail("%s: width %d is no power of two up to 32 (line %d)", name, width, line);
}

}  // namespace fc_host

template <class T>
inline T __shfl_sync(unsigned mask, T mine, int from, int width = 32, int line = __builtin_LINE()) {
    fc_host::check_width(width, "__shfl_sync", line);
    const unsigned first = fc_host::lane() & ~(width - 1u);
    return fc_host::shuffle(mask, mine, first + ((unsigned)from & (width - 1u)), "__shfl_sync", line);
}

template <class T>
inline T __shfl_up_sync(unsigned mask, T mine, unsigned by, int width = 32, int line = __builtin_LINE()) {
    fc_host::check_width(width, "__shfl_up_sync", line);
    const unsigned lane = fc_host::lane(), first = lane & ~(width - 1u);
    return fc_host::shuffle(mask, mine, lane - first >= by ? lane - by : lane, "__shfl_up_sync", line);
}

template <class T>
inline T __shfl_down_sync(unsigned mask, T mine, unsigned by, int width = 32, int line = __builtin_LINE()) {
    fc_host::check_width(width, "__shfl_down_sync", line);
    const unsigned lane = fc_host::lane(), first = lane & ~(width - 1u);
    return fc_host::shuffle(mask, mine, lane - first + by < (unsigned)width ? lane + by : lane, "__shfl_down_sync", line);
}

template <class T>
inline T __shfl_xor_sync(unsigned mask, T mine, int by, int width = 32, int line = __builtin_LINE()) {
    fc_host::check_width(width, "__shfl_xor_sync", line);
    const unsigned lane = fc_host::lane(), source = lane ^ (unsigned)by, end = (lane & ~(width - 1u)) + (unsigned)width;
    return fc_host::shuffle(mask, mine, source < end ? source : lane, "__shfl_xor_sync", line);
}

#define FC_HOST_LANES(b) \
    for (unsigned b = 0; b < 32; ++b) \
        if (mask >> b & 1)

inline unsigned __ballot_sync(unsigned mask, int mine, int line = __builtin_LINE()) {
    const uint64_t *all = fc_host::meet(mask, mine != 0, "__ballot_sync", line);
    unsigned set = 0;
    FC_HOST_LANES(b) set |= (unsigned)all[b] << b;
    return set;
}
inline int __any_sync(unsigned mask, int mine, int line = __builtin_LINE()) {
    return __ballot_sync(mask, mine, line) != 0;
}
inline int __all_sync(unsigned mask, int mine, int line = __builtin_LINE()) {
    return __ballot_sync(mask, !mine, line) == 0;
}

template <class T>
inline unsigned __match_any_sync(unsigned mask, T mine, int line = __builtin_LINE()) {
    uint64_t bits = 0;
    memcpy(&bits, &mine, sizeof(T));
    const uint64_t *all = fc_host::meet(mask, bits, "__match_any_sync", line);
    unsigned same = 0;
    FC_HOST_LANES(b) same |= (unsigned)(all[b] == bits) << b;
    return same;
}

inline unsigned __reduce_add_sync(unsigned mask, unsigned mine, int line = __builtin_LINE()) {
    const uint64_t *all = fc_host::meet(mask, mine, "__reduce_add_sync", line);
    unsigned sum = 0;
    FC_HOST_LANES(b) sum += (unsigned)all[b];
    return sum;
}

// --- arithmetic -------------------------------------------------------------------------------------------------------

inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
inline int __float_as_int(float x) { return (int)__float_as_uint(x); }
inline float __int_as_float(int bits) { return __uint_as_float((unsigned)bits); }

inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
// Kept apart from their neighbours, as on the GPU, where these never become a fused multiply-add.
__attribute__((noinline)) inline float __fmul_rn(float x, float y) { return x * y; }
__attribute__((noinline)) inline float __fadd_rn(float x, float y) { return x + y; }
__attribute__((noinline)) inline float __fsub_rn(float x, float y) { return x - y; }
// glibc declares functions of these names.
#define __expf(x) expf(x)
#define __exp2f(x) exp2f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)

inline int __float2int_rn(float x) { return (int)rintf(x); }
inline int __float2int_rd(float x) { return (int)floorf(x); }
inline int __float2int_rz(float x) { return (int)x; }
inline unsigned __float2uint_rn(float x) { return (unsigned)rintf(x); }
inline unsigned __float2uint_rd(float x) { return (unsigned)floorf(x); }
inline unsigned __float2uint_rz(float x) { return (unsigned)x; }
inline float __int2float_rn(int x) { return (float)x; }
inline float __uint2float_rn(unsigned x) { return (float)x; }

inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((unsigned long long)x * y >> 32); }
inline int __mulhi(int x, int y) { return (int)((long long)x * y >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)((unsigned __int128)x * y >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
    return (unsigned)(((unsigned long long)high << 32 | low) << (by & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
    return (unsigned)(((unsigned long long)high << 32 | low) >> (by & 31));
}
// Byte k of the result is the byte of (y, x) that nibble k of `pick` names; its sign, repeated, where bit 3 is set.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned pick) {
    const unsigned long long from = (unsigned long long)y << 32 | x;
    unsigned result = 0;
    for (int k = 0; k < 4; ++k) {
        const unsigned nibble = pick >> 4 * k & 15, byte = (unsigned)(from >> 8 * (nibble & 7)) & 255;
        result |= (nibble & 8 ? (byte & 128 ? 255 : 0) : byte) << 8 * k;
    }
    return result;
}

#define FC_HOST_MIN_MAX(T)                                      \
    inline T min(T x, T y) { return y < x ? y : x; }            \
    inline T max(T x, T y) { return x < y ? y : x; }
FC_HOST_MIN_MAX(int)
FC_HOST_MIN_MAX(unsigned)
FC_HOST_MIN_MAX(long)
FC_HOST_MIN_MAX(unsigned long)
FC_HOST_MIN_MAX(long long)
FC_HOST_MIN_MAX(unsigned long long)
inline float min(float x, float y) { return fminf(x, y); }
inline float max(float x, float y) { return fmaxf(x, y); }
inline double min(double x, double y) { return fmin(x, y); }
inline double max(double x, double y) { return fmax(x, y); }

// --- from an argument list in memory to a call ------------------------------------------------------------------------

namespace fc_host {

// 'p' pointer, 'f' floating, 'i' integer, 's' struct.
template <class T>
constexpr char kind_of() {
    return __is_class(T) || __is_union(T) ? 's' : 'i';
}
template <>
constexpr char kind_of<float>() { return 'f'; }
template <>
constexpr char kind_of<double>() { return 'f'; }

template <class T>
struct Parameter {
    static constexpr char kind = kind_of<T>();
};
template <class T>
struct Parameter<T *> {
    static constexpr char kind = 'p';
};

template <int... I>
struct Indices {};
template <int N, int... I>
struct Count : Count<N - 1, N - 1, I...> {};
template <int... I>
struct Count<0, I...> {
    typedef Indices<I...> type;
};

template <class F>
struct Kernel;
template <class... A>
struct Kernel<void (*)(A...)> {
    static constexpr int count = (int)sizeof...(A);
    static constexpr unsigned sizes[] = {(unsigned)sizeof(A)..., 0};
    static constexpr char kinds[] = {Parameter<A>::kind..., 0};

    template <int... I>
    static __forceinline__ void call(void (*kernel)(A...), void *const *arguments, Indices<I...>) {
        kernel(*static_cast<A *>(arguments[I])...);
    }
    static __forceinline__ void call(void (*kernel)(A...), void *const *arguments) {
        call(kernel, arguments, typename Count<sizeof...(A)>::type());
    }
};

}  // namespace fc_host

#define FC_HOST_EXPORT(k, ...)                                                                                \
    typedef fc_host::Kernel<decltype(&__VA_ARGS__)> fc_host_kernel_##k;                                       \
    extern "C" {                                                                                              \
    extern const int fc_host_count_##k = fc_host_kernel_##k::count;                                           \
    extern const unsigned *const fc_host_sizes_##k = fc_host_kernel_##k::sizes;                               \
    extern const char *const fc_host_kinds_##k = fc_host_kernel_##k::kinds;                                   \
    void fc_host_call_##k(void *const *arguments) { fc_host_kernel_##k::call(&__VA_ARGS__, arguments); }      \
    }
