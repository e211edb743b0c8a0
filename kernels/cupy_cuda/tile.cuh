// Logits on the way from global memory to a thread: registers for planes, a tile of shared memory for rows.
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

// n logits in shared memory, `stride` elements apart.
template <class Logit>
struct SharedRow {
    const Logit *first;
    int stride, n;
    FC_DEVICE int size() const { return n; }
    FC_DEVICE float operator[](int b) const { return to_float(first[b * stride]); }
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

// One thread's column of a planar tile: it alone reads it again.
template <class Logit, class Index>
FC_DEVICE void fill_column(Logit *column, const Logit *from, int n, int stride, Index count) {
    constexpr int AHEAD = 32 / sizeof(Logit);  // loads in flight
    int b = 0;
    for (; b + AHEAD <= n; b += AHEAD) {
        Logit got[AHEAD];
#pragma unroll
        for (int k = 0; k < AHEAD; ++k) got[k] = load(from + (b + k) * count);
#pragma unroll
        for (int k = 0; k < AHEAD; ++k) column[(b + k) * stride] = got[k];
    }
    for (; b < n; ++b) column[b * stride] = load(from + b * count);
}

// 16 bytes of a tile's rows, beginning at element `at` of the rows without padding.
template <int N, class Logit, int E>
FC_DEVICE void scatter(Logit *tile, const Pack<Logit, E> &pack, int at, int n, int stride) {
    if constexpr (N > 0) {
        *reinterpret_cast<Pack<Logit, E> *>(tile + at / N * stride + at % N) = pack;
    } else {
        int row = at / n, column = at % n;
#pragma unroll
        for (int k = 0; k < E; ++k) {
            tile[row * stride + column] = pack.at[k];
            if (++column == n) column = 0, ++row;
        }
    }
}

// The rows of `pixels` neighbouring pixels, n elements each, to a tile of rows `stride` elements apart. Loads go out in
// batches without a condition in between, which would have each of them wait for the one before.
template <class Logit, int N>
FC_DEVICE void fill_rows(Logit *tile, const Logit *from, int n, int stride, int pixels) {
    constexpr int E = 16 / sizeof(Logit), BATCH = N > 0 ? N / E : 4;
    const int total = pixels * n, threads = blockDim.x;
    const int packs = ((u64)from & 15) == 0 ? total / E : 0;
    int at = threadIdx.x;
    for (; at + (BATCH - 1) * threads < packs; at += BATCH * threads) {
        Pack<Logit, E> got[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; ++k) got[k] = load<Logit, E>(from + (at + k * threads) * E);
#pragma unroll
        for (int k = 0; k < BATCH; ++k) scatter<N>(tile, got[k], (at + k * threads) * E, n, stride);
    }
    for (; at < packs; at += threads) scatter<N>(tile, load<Logit, E>(from + at * E), at * E, n, stride);
    for (at = packs * E + threadIdx.x; at < total; at += threads) tile[at / n * stride + at % n] = load(from + at);
    __syncthreads();
}

// The inverse of scatter.
template <int N, int E, class Logit>
FC_DEVICE Pack<Logit, E> gather(const Logit *tile, int at, int n, int stride) {
    if constexpr (N > 0) {
        return *reinterpret_cast<const Pack<Logit, E> *>(tile + at / N * stride + at % N);
    } else {
        Pack<Logit, E> pack;
        int row = at / n, column = at % n;
#pragma unroll
        for (int k = 0; k < E; ++k) {
            pack.at[k] = tile[row * stride + column];
            if (++column == n) column = 0, ++row;
        }
        return pack;
    }
}

// The inverse of fill_rows.
template <class Logit, int N>
FC_DEVICE void drain_rows(const Logit *tile, Logit *to, int n, int stride, int pixels) {
    constexpr int E = 16 / sizeof(Logit);
    const int total = pixels * n, threads = blockDim.x;
    const int packs = ((u64)to & 15) == 0 ? total / E : 0;
    __syncthreads();
    for (int at = threadIdx.x; at < packs; at += threads) store(to + at * E, gather<N, E>(tile, at * E, n, stride));
    for (int at = packs * E + threadIdx.x; at < total; at += threads) store(to + at, tile[at / n * stride + at % n]);
}

// A block's logits in a tile of shared memory, whose rows lie `stride` elements apart: a row is a pixel (LAST), or a bin.
// All threads of the block come here together. Without IMAGES there is one, of `count` pixels.
template <class Logit, int N, bool LAST, class Index, bool IMAGES = true>
struct Tiled {
    Logit *tile;
    int n, stride, valid;
    Index first, pixel, base, count;

    FC_DEVICE Tiled(const Logit *x, int n, int stride, Index count, Index pixels) : n(n), stride(stride), count(count) {
        extern __shared__ uint4 shared[];
        tile = reinterpret_cast<Logit *>(shared);
        first = (Index)blockIdx.x * blockDim.x;
        pixel = first + threadIdx.x;
        base = pixel + (IMAGES ? pixel / count * (n - 1) * count : 0);
        valid = (int)min_of<Index>(pixels - first, blockDim.x);
        if (LAST)
            fill_rows<Logit, N>(tile, x + first * n, n, stride, valid);
        else if (pixel < pixels)
            fill_column(tile + threadIdx.x, x + base, n, stride, count);
    }

    FC_DEVICE Logit *mine() const { return LAST ? tile + threadIdx.x * stride : tile + threadIdx.x; }
    FC_DEVICE SharedRow<Logit> shared_row() const { return {mine(), LAST ? 1 : stride, n}; }

    // use(row) with the logits of the thread's pixel.
    template <class Use>
    FC_DEVICE void read(const Use &use) const {
        if constexpr (LAST && N > 0) use(row_of<Logit, N>(mine()));
        else use(shared_row());
    }

    // use(row, put), where put(b, value) replaces logit b: WRITTEN says whether it does. Bins that lie together are
    // replaced in the tile, for send(); others go to `to`, which lies as the logits do.
    template <bool WRITTEN, class Use>
    FC_DEVICE void replace(Logit *to, const Use &use) const {
        Logit *row = mine();
        if constexpr (LAST && N > 0) {
            Row<Logit, N> held = row_of<Logit, N>(row);
            use(held, [&](int b, float value) { held.part[b / held.E].at[b % held.E] = from_float<Logit>(value); });
            if (WRITTEN)
#pragma unroll
                for (int k = 0; k < N / held.E; ++k) reinterpret_cast<Pack<Logit, Row<Logit, N>::E> *>(row)[k] = held.part[k];
        } else {
            use(shared_row(), [&](int b, float value) {
                const Logit rounded = from_float<Logit>(value);
                if (LAST) row[b] = rounded;
                else store(to + base + b * count, rounded);
            });
        }
    }

    FC_DEVICE void send(Logit *to) const {
        if (LAST) drain_rows<Logit, N>(tile, to + first * n, n, stride, valid);
    }
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
    u32 *words = reinterpret_cast<u32 *>(stage.words) + threadIdx.x % WARP * (3 * V / 4);
#pragma unroll
    for (int k = 0; k < 3 * V / 4; ++k) words[k] = colors.words[k];
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
