// Barriers, shuffles and votes, all of them by way of fc_host::block_barrier and fc_host::meet.
#pragma once

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
