// From an argument list in memory to the call of a kernel.
#pragma once

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
