// The logits of 32 bins on their way to a thread: registers for planes, a tile of shared memory for rows.
namespace fc {

constexpr int WARP = 32;

// V neighbouring pixels of each of N planes: independent loads, as many in flight as there are planes.
template <class Logit, int N, int V>
struct Held {
    Pack<Logit, V> plane[N];
};

template <class Logit, int N, int V, class Index>
FC_DEVICE Held<Logit, N, V> hold(const Logit *from, Index count) {
    Held<Logit, N, V> held;
#pragma unroll
    for (int b = 0; b < N; ++b) held.plane[b] = load<Logit, V>(from + b * count);
    return held;
}

// Pixel `v` of what a thread holds.
template <class Logit, int N, int V>
struct HeldRow {
    const Held<Logit, N, V> &held;
    int v;
    FC_DEVICE static constexpr int size() { return N; }
    FC_DEVICE float operator[](int b) const { return to_float(held.plane[b].at[v]); }
};

// N neighbouring logits of one pixel in registers.
template <class Logit, int N>
struct Row {
    static constexpr int E = 16 / sizeof(Logit);
    Pack<Logit, E> part[N / E];
    FC_DEVICE static constexpr int size() { return N; }
    FC_DEVICE float operator[](int b) const { return to_float(part[b / E].at[b % E]); }
};

// A row that begins at a multiple of 16 bytes in shared memory.
template <class Logit, int N>
FC_DEVICE Row<Logit, N> row_of(const Logit *from) {
    Row<Logit, N> row;
#pragma unroll
    for (int k = 0; k < N / row.E; ++k) row.part[k] = reinterpret_cast<const Pack<Logit, Row<Logit, N>::E> *>(from)[k];
    return row;
}

// The rows of `pixels` neighbouring pixels, n = N elements each, to a tile of rows `stride` elements apart. Loads go out in
// batches without a condition in between, which would have each of them wait for the one before.
template <class Logit, int N>
FC_DEVICE void fill_rows(Logit *tile, const Logit *from, int n, int stride, int pixels) {
    constexpr int E = 16 / sizeof(Logit), BATCH = N / E;
    const int total = pixels * n, threads = blockDim.x;
    const int packs = ((u64)from & 15) == 0 ? total / E : 0;
    const auto put = [&](const Pack<Logit, E> &pack, int at) {
        *reinterpret_cast<Pack<Logit, E> *>(tile + at / N * stride + at % N) = pack;
    };
    int at = threadIdx.x;
    for (; at + (BATCH - 1) * threads < packs; at += BATCH * threads) {
        Pack<Logit, E> got[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; ++k) got[k] = load<Logit, E>(from + (at + k * threads) * E);
#pragma unroll
        for (int k = 0; k < BATCH; ++k) put(got[k], (at + k * threads) * E);
    }
    for (; at < packs; at += threads) put(load<Logit, E>(from + at * E), at * E);
    for (at = packs * E + threadIdx.x; at < total; at += threads) tile[at / n * stride + at % n] = load(from + at);
    __syncthreads();
}

// Rows of N logits, which lie together, in a tile of shared memory, `stride` elements apart: a pixel a thread.
// All threads of the block come here together.
template <class Logit, int N, class Index>
struct Tiled {
    Logit *tile;
    int n, stride, valid;
    Index first, pixel;

    FC_DEVICE Tiled(const Logit *x, int n, int stride, Index pixels) : n(n), stride(stride) {
        extern __shared__ uint4 shared[];
        tile = reinterpret_cast<Logit *>(shared);
        first = (Index)blockIdx.x * blockDim.x;
        pixel = first + threadIdx.x;
        valid = (int)min_of<Index>(pixels - first, blockDim.x);
        fill_rows<Logit, N>(tile, x + first * n, n, stride, valid);
    }

    // The logits of the thread's pixel.
    FC_DEVICE Row<Logit, N> row() const { return row_of<Logit, N>(tile + threadIdx.x * stride); }
};

// What the other lane of a pair gives.
FC_DEVICE uint4 swapped(uint4 give) {
    return {__shfl_xor_sync(~0u, give.x, 1), __shfl_xor_sync(~0u, give.y, 1), __shfl_xor_sync(~0u, give.z, 1),
            __shfl_xor_sync(~0u, give.w, 1)};
}

// Store where every lane of the warp does, next to its neighbour. Of 32 bytes a lane, halves are swapped between pairs of
// lanes first: a request then fills whole sectors, not every other half of one.
template <class T, int V>
FC_DEVICE void store_warp(T *to, const Pack<T, V> &pack) {
    if constexpr (V * sizeof(T) == 32) {
        Words<T, V> words;
        words.pack = pack;
        const bool odd = threadIdx.x & 1;
        const uint4 got = swapped(odd ? words.at[0] : words.at[1]);
        uint4 *at = reinterpret_cast<uint4 *>(to) - odd;
        store(at, odd ? got : words.at[0]);
        store(at + 2, odd ? words.at[1] : got);
    } else {
        store(to, pack);
    }
}

// Load what store_warp stores.
template <class T, int V>
FC_DEVICE Pack<T, V> load_warp(const T *from) {
    if constexpr (V * sizeof(T) == 32) {
        Words<T, V> words;
        const bool odd = threadIdx.x & 1;
        const uint4 *at = reinterpret_cast<const uint4 *>(from) - odd;
        const uint4 first = load(at), second = load(at + 2), got = swapped(odd ? first : second);
        words.at[0] = odd ? got : first;
        words.at[1] = odd ? second : got;
        return words.pack;
    } else {
        return load<T, V>(from);
    }
}

// RGB of 32 V pixels on its way out.
template <int V>
struct Stage {
    uint4 words[WARP * V * 3 / 16];
};

// R, G, B of V neighbouring pixels in turn.
template <int V>
struct Interleaved {
    u32 words[3 * V / 4];
};

template <int V>
FC_DEVICE Interleaved<V> interleave(const u32 (&bytes)[3 * V]) {
    Interleaved<V> rgb;
#pragma unroll
    for (int k = 0; k < 3 * V / 4; ++k)
        rgb.words[k] = __byte_perm(__byte_perm(bytes[4 * k], bytes[4 * k + 1], 0x40),
                                   __byte_perm(bytes[4 * k + 2], bytes[4 * k + 3], 0x40), 0x5410);
    return rgb;
}

// What a warp has staged, sent on as 16-byte words; `first` is the warp's first pixel.
template <int V, class Index>
FC_DEVICE void send_staged(const Stage<V> &stage, u8 *rgb, Index first, Index pixels) {
    __syncwarp();
    if (first >= pixels) return;
    const int lane = threadIdx.x % WARP;
    const u8 *bytes = reinterpret_cast<const u8 *>(stage.words);
    u8 *to = rgb + 3 * first;
    const Index left = pixels - first;
    const int valid = 3 * (left < WARP * V ? (int)left : WARP * V);
    const int whole = ((u64)to & 15) == 0 ? valid / 16 : 0;
#pragma unroll 1
    for (int k = lane; k < whole; k += WARP) store(reinterpret_cast<uint4 *>(to) + k, stage.words[k]);
#pragma unroll 1
    for (int k = 16 * whole + lane; k < valid; k += WARP) store(to + k, bytes[k]);
}

template <int V, class Index>
FC_DEVICE void send(Stage<V> &stage, const Interleaved<V> &colors, u8 *rgb, Index first, Index pixels) {
    // Wider words meet in fewer banks.
    constexpr int WORDS = 3 * V / 4, W = WORDS % 4 == 0 ? 4 : WORDS % 2 == 0 ? 2 : 1;
    u32 *words = reinterpret_cast<u32 *>(stage.words) + threadIdx.x % WARP * WORDS;
#pragma unroll
    for (int k = 0; k < WORDS; k += W) {
        Pack<u32, W> pack;
#pragma unroll
        for (int w = 0; w < W; ++w) pack.at[w] = colors.words[k + w];
        put_shared(words + k, pack);
    }
    send_staged(stage, rgb, first, pixels);
}

// The same from three packs, of any number of pixels.
template <int V, class Index>
FC_DEVICE void send(Stage<V> &stage, const Pack<u8, V> &r, const Pack<u8, V> &g, const Pack<u8, V> &b, u8 *rgb,
                    Index first, Index pixels) {
    u32 mine[3 * V];
#pragma unroll
    for (int k = 0; k < V; ++k) {
        mine[3 * k] = r.at[k];
        mine[3 * k + 1] = g.at[k];
        mine[3 * k + 2] = b.at[k];
    }
    if constexpr (V % 4 == 0) {
        send(stage, interleave<V>(mine), rgb, first, pixels);
    } else {
        u8 *bytes = reinterpret_cast<u8 *>(stage.words) + 3 * V * (threadIdx.x % WARP);
#pragma unroll
        for (int k = 0; k < 3 * V; ++k) bytes[k] = (u8)mine[k];
        send_staged(stage, rgb, first, pixels);
    }
}

// RGB of V neighbouring pixels, kept until all are known.
template <int V>
struct Colors {
    Pack<u8, V> r, g, b;

    FC_DEVICE void set(int k, const Rgb &color) {
        r.at[k] = (u8)color.r;
        g.at[k] = (u8)color.g;
        b.at[k] = (u8)color.b;
    }
};

// What all threads of a block of THREADS have, interleaved; `pixel` is the thread's first.
template <int THREADS, int V, class Index>
FC_DEVICE void send(const Colors<V> &colors, u8 *rgb, Index pixel, Index pixels) {
    __shared__ Stage<V> stages[THREADS / WARP];
    send(stages[threadIdx.x / WARP], colors.r, colors.g, colors.b, rgb, pixel - threadIdx.x % WARP * V, pixels);
}

}  // namespace fc
