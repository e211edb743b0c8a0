// Decode, annealed mean and confidence: one pass over the logits, whatever is wanted written from registers.
//
// planar: a thread holds the 32 logits of V neighbouring pixels, one load a plane, all in flight at once.
// tiled: 32 bins, channels-last: a block brings its pixels' logits to shared memory, a thread reads one pixel's row.
// streamed: any n, planar: a thread takes the planes by the group, the next one in flight.
// rows: any other n, channels-last: LANES neighbouring lanes share a row.
// Interleaved RGB is staged in shared memory, so that a warp writes whole 16-byte words: 3 bytes a thread would touch
// each sector several times.
//
// What each rung should buy. The H200 ran planar and tiled at 55c22d5, planar with 1, 2, 4 and 8 pixels a thread.
// - All planes in flight before the first is used: 107 % of a copy for 8 MP of float32 (H200).
// - V by operation and type, widths.json: fewer pixels are fewer registers and more warps, which compute while others
//   load. 2 of float16 took 142 us where 8 took 163, with confidence 4 took 202 where 8 took 269 (H200, 8 MP).
// - 1 / x in one instruction, not measured: 8 % fewer of them in 2-byte types, no branch between two pixels. The compiler
//   then mixes pixels and takes more registers: 72 and 28 warps for 63 and 32 (float16, V = 2).
// - streamed, not measured: any n by 20 warps of 96 registers, 90 KiB in flight (float32) or 45 (2 bytes, 94 registers);
//   for n = 32 half of planar's loads at once and an exponential a group more, so that planar stays until it is timed.
namespace fc {

enum Want {
    RGB = 1,
    RGB_PLANES = 2,
    CHROMA = 4,
    CONFIDENCE = 8,
    MODE = 16,  // T = 0
    PROBABILITIES = 32,
    LAB = 64,
    FLOAT_CHROMA = 128,  // whatever the logits are
};

constexpr int THREADS = 128;
constexpr int COLORS = RGB | RGB_PLANES | CHROMA;

template <bool FLOAT, class Logit>
struct ChromaOf {
    typedef Logit type;
};
template <class Logit>
struct ChromaOf<true, Logit> {
    typedef float type;
};
template <int WANT, class Logit>
using ChromaType = typename ChromaOf<(WANT & FLOAT_CHROMA) != 0, Logit>::type;

// What is wanted of V neighbouring pixels, kept until all are known.
template <class Part, int V>
struct Results {
    Colors<V> rgb;
    Pack<Part, V> u, v;
    Pack<float, V> top, ratio;
};

// What is wanted of one pixel, whose bins come some at a time.
template <int WANT>
struct Running {
    static constexpr bool LOGITS = !(WANT & PROBABILITIES);
    RunningMean mean;
    RunningMode<LOGITS> mode;
    RunningConfidence<LOGITS> sure;

    // The bins of `x` are b, b + STEP, ...
    template <int STEP, class Row, class BinColors>
    FC_DEVICE void add(const Row &x, int b, float scale, const BinColors &colors) {
        if (WANT & CONFIDENCE) sure.add(x);
        if constexpr ((WANT & COLORS) != 0) {
            if constexpr ((WANT & MODE) != 0) mode.template add<STEP>(x, b);
            else if constexpr (LOGITS) mean.add<STEP>(x, b, scale, colors);
            else mean.add<STEP>(Logs<Row::size()>(x), b, scale, colors);
        }
    }

    // What LANES neighbouring lanes have seen, in each of them.
    template <int LANES>
    FC_DEVICE void join(float scale) {
        if (WANT & CONFIDENCE) sure.template join<LANES>();
        if constexpr ((WANT & COLORS) != 0) {
            if constexpr ((WANT & MODE) != 0) mode.template join<LANES>();
            else mean.join<LANES>(scale);
        }
    }

    template <class BinColors>
    FC_DEVICE Chroma chroma(const BinColors &colors) const {
        if constexpr ((WANT & MODE) != 0) return mode.chroma(colors);
        else return mean.chroma();
    }
};

template <int WANT, class Part, int V, class Luma>
FC_DEVICE void put_color(const Chroma &c, int k, Luma luma, Results<Part, V> &to) {
    if (WANT & CHROMA) {
        to.u.at[k] = from_float<Part>(c.u);
        to.v.at[k] = from_float<Part>(c.v);
    } else {
        to.rgb.set(k, join_in<(WANT & LAB) != 0>(luma, c.u, c.v));
    }
}

template <int WANT, class Part, int V, class Luma, class BinColors>
FC_DEVICE void finish(const Running<WANT> &pixel, int k, const BinColors &colors, Luma luma, Results<Part, V> &to) {
    if (WANT & CONFIDENCE) {
        const Confidence sure = pixel.sure.of();
        to.top.at[k] = sure.top;
        to.ratio.at[k] = sure.ratio;
    }
    if (WANT & COLORS) put_color<WANT>(pixel.chroma(colors), k, luma, to);
}

template <int WANT, class Row, class Part, int V, class Luma>
FC_DEVICE void compute(const Row &x, int k, float scale, const Palette &colors, Luma luma, Results<Part, V> &to) {
    if constexpr ((WANT & PROBABILITIES) != 0) {
        Running<WANT> pixel;
        pixel.template add<1>(x, 0, scale, colors);
        finish(pixel, k, colors, luma, to);
        return;
    }
    const float top = peak(x);
    if (WANT & CONFIDENCE) {
        const Confidence sure = confidence(x, top);
        to.top.at[k] = sure.top;
        to.ratio.at[k] = sure.ratio;
    }
    if (WANT & COLORS) {
        const Chroma c = (WANT & MODE) ? mode(x, top, colors) : annealed_mean(x, top, scale, colors);
        put_color<WANT>(c, k, luma, to);
    }
}

// Everything but interleaved RGB; `count` pixels lie between the planes of an output, `whole`: every lane writes.
template <int WANT, class Part, int V, class Index>
FC_DEVICE void write(const Results<Part, V> &from, Index pixel, Index count, bool whole, u8 *rgb, Part *chroma,
                     float *top, float *ratio) {
    if (WANT & (RGB_PLANES | CHROMA)) {
        const Index image = pixel / count;
        if (WANT & RGB_PLANES) {
            u8 *to = rgb + pixel + 2 * image * count;
            store(to, from.rgb.r);
            store(to + count, from.rgb.g);
            store(to + 2 * count, from.rgb.b);
        } else if (count == 1) {
            store(chroma + 2 * pixel, Pack<Part, 2>{{from.u.at[0], from.v.at[0]}});
        } else {
            Part *to = chroma + pixel + image * count;
            store(to, from.u);
            store(to + count, from.v);
        }
    }
    if (WANT & CONFIDENCE) {
        if (V * sizeof(float) > 16 && whole) {
            store_warp(top + pixel, from.top);
            store_warp(ratio + pixel, from.ratio);
        } else {
            store(top + pixel, from.top);
            store(ratio + pixel, from.ratio);
        }
    }
}

template <class Logit, int N, int V, class Luma, int WANT, class Index>
__global__ void __launch_bounds__(THREADS)
    decode_planar(const Logit *x, Index count, Index pixels, float scale, Palette colors, const Luma *luma, u8 *rgb,
                  ChromaType<WANT, Logit> *chroma, float *top, float *ratio) {
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    const Index first = pixel - threadIdx.x % WARP * V;  // of the warp
    Results<ChromaType<WANT, Logit>, V> results;
    if (pixel < pixels) {
        const Held<Logit, N, V> held = hold<Logit, N, V>(x + pixel + pixel / count * (N - 1) * count, count);
        Pack<Luma, V> y;
        if (WANT & (RGB | RGB_PLANES)) y = load<Luma, V>(luma + pixel);
#pragma unroll
        for (int v = 0; v < V; ++v)
            compute<WANT>(HeldRow<Logit, N, V>{held, v}, v, scale, colors, y.at[v], results);
        write<WANT>(results, pixel, count, first + WARP * V <= pixels, rgb, chroma, top, ratio);
    }
    if (WANT & RGB) {  // by the same `first`: to count it anew costs the compiler other registers
        __shared__ Stage<V> stages[THREADS / WARP];
        send(stages[threadIdx.x / WARP], results.rgb.r, results.rgb.g, results.rgb.b, rgb, first, pixels);
    }
}

// Blocks of up to THREADS pixels.
template <class Logit, int N, class Luma, int WANT, class Index>
__global__ void __launch_bounds__(THREADS)
    decode_tiled(const Logit *x, int n, int stride, Index count, Index pixels, float scale, Palette colors,
                 const Luma *luma, u8 *rgb, ChromaType<WANT, Logit> *chroma, float *top, float *ratio) {
    const Tiled<Logit, N, Index> tiled(x, n, stride, pixels);
    const Index pixel = tiled.pixel;
    Results<ChromaType<WANT, Logit>, 1> results;
    if (pixel < pixels) {
        Luma y = Luma();
        if (WANT & (RGB | RGB_PLANES)) y = load(luma + pixel);
        compute<WANT>(tiled.row(), 0, scale, colors, y, results);
        write<WANT>(results, pixel, count, false, rgb, chroma, top, ratio);
    }
    if (WANT & RGB) send<THREADS>(results.rgb, rgb, pixel, pixels);
}

// Blocks an SM that the registers must allow: left to itself the compiler spills, or does not keep the next group in flight,
// to fit in more.
template <int WANT>
constexpr int STREAMED_BLOCKS = (WANT & CONFIDENCE) && (WANT & COLORS) ? 4 : 5;

template <class Logit, int V, class BinColors, class Luma, int WANT, class Index>
__global__ void __launch_bounds__(THREADS, STREAMED_BLOCKS<WANT>)
    decode_streamed(const Logit *x, int n, Index count, Index pixels, float scale, BinColors colors, const Luma *luma,
                    u8 *rgb, ChromaType<WANT, Logit> *chroma, float *top, float *ratio) {
    const auto &palette = colors.staged();
    const Index pixel = ((Index)blockIdx.x * THREADS + threadIdx.x) * V;
    Results<ChromaType<WANT, Logit>, V> results;
    if (pixel < pixels) {
        Running<WANT> running[V];
        Pack<Luma, V> y;
        if (WANT & (RGB | RGB_PLANES)) y = load<Luma, V>(luma + pixel);
        const Logit none = nothing<Logit>(!(WANT & PROBABILITIES));
        stream<V>(x + pixel + pixel / count * (n - 1) * count, n, count, none, [&](int b, const auto &held) {
#pragma unroll
            for (int v = 0; v < V; ++v)
                running[v].template add<1>(HeldRow<Logit, GROUP, V>{held, v}, b, scale, palette);
        });
#pragma unroll
        for (int v = 0; v < V; ++v) finish(running[v], v, palette, y.at[v], results);
        write<WANT>(results, pixel, count, false, rgb, chroma, top, ratio);
    }
    if (WANT & RGB) send<THREADS>(results.rgb, rgb, pixel, pixels);
}

template <class Logit, int LANES, class Luma, int WANT, class Index>
__global__ void __launch_bounds__(THREADS)
    decode_rows(const Logit *x, int n, Index count, Index pixels, float scale, Table colors, const Luma *luma, u8 *rgb,
                ChromaType<WANT, Logit> *chroma, float *top, float *ratio) {
    const Staged palette = colors.staged();
    const Index pixel = (Index)blockIdx.x * THREADS + threadIdx.x;
    Running<WANT> mine;
    Results<ChromaType<WANT, Logit>, 1> results;
    const Logit none = nothing<Logit>(!(WANT & PROBABILITIES));
    each_row<LANES>(x, n, pixels, none, [&](Index at, const auto &bins) {
        Running<WANT> running;
        bins([&](int b, const auto &held) { running.template add<LANES>(held, b, scale, palette); });
        running.template join<LANES>(scale);
        if (at == pixel) mine = running;
    });
    if (pixel < pixels) {
        Luma y = Luma();
        if (WANT & (RGB | RGB_PLANES)) y = load(luma + pixel);
        finish(mine, 0, palette, y, results);
        write<WANT>(results, pixel, count, false, rgb, chroma, top, ratio);
    }
    if (WANT & RGB) send<THREADS>(results.rgb, rgb, pixel, pixels);
}

}  // namespace fc
