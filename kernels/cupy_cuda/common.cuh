// What every kernel uses: number types, one exp2, memory access by 16 bytes.
// No header is included, so that NVRTC needs none; constants (fc::R_V, ...) come before this text, from the reference.
namespace fc {

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define FC_DEVICE __device__ __forceinline__

// Returns what one PTX instruction makes of X; where there is no PTX, the value HOST.
#ifdef __CUDACC__
#define FC_PTX(INSTRUCTION, TYPE, TO, FROM, X, HOST) TYPE y; asm(INSTRUCTION : TO(y) : FROM(X)); return y;
#else
#define FC_PTX(INSTRUCTION, TYPE, TO, FROM, X, HOST) return HOST;
template <class To, class From>
To same_bits(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
#endif

// Half precision by its bits: arithmetic is float32 everywhere.
struct f16 {
    u16 bits;
};
struct bf16 {
    u16 bits;
};

FC_DEVICE float to_float(float x) { return x; }
FC_DEVICE float to_float(u8 x) { return (float)x; }
FC_DEVICE float to_float(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

FC_DEVICE float to_float(f16 x) {
    FC_PTX("cvt.f32.f16 %0, %1;", float, "=f", "h", x.bits, (float)same_bits<_Float16>(x.bits))
}

// Round to nearest even.
template <class T>
FC_DEVICE T from_float(float x);

template <>
FC_DEVICE float from_float<float>(float x) { return x; }

FC_DEVICE u16 half_bits(float x) {
    FC_PTX("cvt.rn.f16.f32 %0, %1;", u16, "=h", "f", x, same_bits<u16>((_Float16)x))
}

template <>
FC_DEVICE f16 from_float<f16>(float x) { return {half_bits(x)}; }

template <>
FC_DEVICE bf16 from_float<bf16>(float x) {
    bf16 y;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    const u32 bits = __float_as_uint(x);
    y.bits = x != x ? (u16)((bits >> 16) | 64) : (u16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
#endif
    return y;
}

// 2^x with a relative error of 2^-22, 0 where the result would be subnormal, NaN for NaN: one MUFU.EX2.
FC_DEVICE float exp2_fast(float x) {
    FC_PTX("ex2.approx.ftz.f32 %0, %1;", float, "=f", "f", x, x < -126.0f ? 0.0f : exp2f(x))
}

// log2 x with an absolute error of 2^-22 for x in [0.5, 2], else a relative one; -inf for 0 and for subnormal x, NaN below.
FC_DEVICE float log2_fast(float x) {
    FC_PTX("lg2.approx.ftz.f32 %0, %1;", float, "=f", "f", x, log2f(fabsf(x) < 1.17549435e-38f ? 0.0f : x))
}

// The same, of subnormal x too.
FC_DEVICE float log2_of_any(float x) { FC_PTX("lg2.approx.f32 %0, %1;", float, "=f", "f", x, log2f(x)) }

// 1 / x within 1 ulp, 0 for infinity and beyond 2^126, infinity for 0 and for subnormal x: one MUFU.RCP, where 1 / x and
// __frcp_rn have steps of Newton and a branch as well.
FC_DEVICE float reciprocal(float x) {
    FC_PTX("rcp.approx.ftz.f32 %0, %1;", float, "=f", "f", x, 1.0f / x)
}

template <class T>
FC_DEVICE T min_of(T a, T b) { return a < b ? a : b; }

constexpr float LARGEST = 3.40282347e38f;  // finite number

FC_DEVICE float infinity() { return __uint_as_float(0x7f800000u); }
FC_DEVICE float not_a_number() { return __uint_as_float(0x7fc00000u); }

// floor(x) of x clipped to [0, 255]; NaN gives 0.
FC_DEVICE u32 to_level(float x) {
    FC_PTX("cvt.rzi.u8.f32 %0, %1;", u32, "=r", "f", x, (u32)fminf(fmaxf(x, 0.0f), 255.0f))  // PTX clips by itself
}

// --- memory: V elements of T at once, which lie at a multiple of V * sizeof(T) -----------------------------------------

template <int BYTES>
struct Word;  // the machine word of that size
template <> struct Word<1> { typedef u8 type; };
template <> struct Word<2> { typedef u16 type; };
template <> struct Word<4> { typedef u32 type; };
template <> struct Word<8> { typedef uint2 type; };
template <> struct Word<16> { typedef uint4 type; };

template <class T, int V>
struct alignas(V * sizeof(T)) Pack {
    T at[V];
};

// Every access to global memory goes through these two: 16 bytes at a time, fewer only where V elements are fewer.
// What is streamed once is marked as such and stays out of the way of what is used again.
template <class T, int V>
union Words {
    static constexpr int BYTES = V * sizeof(T) < 16 ? V * sizeof(T) : 16;
    static constexpr int COUNT = V * sizeof(T) / BYTES;
    typedef typename Word<BYTES>::type type;
    Pack<T, V> pack;
    type at[COUNT];
};

template <class T, int V>
FC_DEVICE Pack<T, V> load(const T *from) {
    typedef Words<T, V> W;
    const typename W::type *at = reinterpret_cast<const typename W::type *>(from);
    W words;
#pragma unroll
    for (int k = 0; k < W::COUNT; ++k) words.at[k] = __ldcs(at + k);
    return words.pack;
}

template <class T, int V>
FC_DEVICE void store(T *to, const Pack<T, V> &pack) {
    typedef Words<T, V> W;
    typename W::type *at = reinterpret_cast<typename W::type *>(to);
    W words;
    words.pack = pack;
#pragma unroll
    for (int k = 0; k < W::COUNT; ++k) __stcs(at + k, words.at[k]);
}

// V elements of shared memory as machine words, which a copy of the array would not always be.
template <class T, int V>
FC_DEVICE Pack<T, V> get_shared(const T *from) {
    Words<T, V> words;
#pragma unroll
    for (int k = 0; k < words.COUNT; ++k) words.at[k] = reinterpret_cast<const typename Words<T, V>::type *>(from)[k];
    return words.pack;
}

template <class T, int V>
FC_DEVICE void put_shared(T *to, const Pack<T, V> &pack) {
    Words<T, V> words;
    words.pack = pack;
#pragma unroll
    for (int k = 0; k < words.COUNT; ++k) reinterpret_cast<typename Words<T, V>::type *>(to)[k] = words.at[k];
}

template <class T>
FC_DEVICE T load(const T *from) { return load<T, 1>(from).at[0]; }

template <class T>
FC_DEVICE void store(T *to, T value) { store<T, 1>(to, Pack<T, 1>{{value}}); }

// Luma as a level in 0..255.
FC_DEVICE float level(u8 luma) { return (float)luma; }
FC_DEVICE float level(float luma) { return luma * 255.0f; }

// R, G, B of luma in 0..255 and chroma: the exact inverse of the luma equation, rounded.
struct Rgb {
    u32 r, g, b;
};

// Luma plus one half and finite chroma; NaN luma gives black.
FC_DEVICE Rgb mix(float y, float u, float v) {
    return {to_level(fmaf(v, R_V, y)), to_level(fmaf(u, G_U, fmaf(v, G_V, y))), to_level(fmaf(u, B_U, y))};
}

FC_DEVICE Rgb join(float luma, float u, float v) {
    const bool broken = luma != luma || u != u || v != v;
    return mix(broken ? not_a_number() : luma + 0.5f, u, v);
}

}  // namespace fc
