// Loads, stores and atomic functions: alignment is checked, and what they touch is recorded where that is wanted.
#pragma once

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

FC_HOST_ACCESS void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
FC_HOST_ACCESS void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
