// Runs the blocks of a launch one after another.
#include <stdarg.h>

#include <new>
#include <numeric>
#include <random>

#ifdef FC_HOST_THREADS
#include "threads.h"
#else
#include "fibers.h"
#endif

namespace fc_host {
namespace {

std::vector<unsigned> ordered(size_t count, int order) {
    std::vector<unsigned> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0u);
    if (order < 0) std::reverse(numbers.begin(), numbers.end());
    if (order > 0) std::shuffle(numbers.begin(), numbers.end(), std::mt19937((unsigned)order));
    return numbers;
}

std::mutex launching;

}  // namespace

void fail(const char *format, ...) {
    char text[400];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    throw Failure{text};
}

void *dynamic_shared() { return shared; }

}  // namespace fc_host

struct Region {
    void *address;
    unsigned bytes;
};

// mode: 0 fibers, 1 serial. order: 0 as numbered, -1 in reverse, else a seed. Writes what went wrong into `error`.
// arguments[count] is the end of what the arguments point to.
extern "C" int fc_host_launch(void (*call)(void *const *), void *const *arguments, int count, const unsigned *grid,
                              const unsigned *block, unsigned shared_bytes, const Region *shared_variables,
                              int variables, int mode, int order, char *error, unsigned error_size) {
    using namespace fc_host;
    const std::lock_guard<std::mutex> guard(launching);
    kernel = call;
    fc_host::arguments = arguments;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    failure.clear();
#ifndef FC_HOST_THREADS
    serial = mode == 1;
#endif
    threads.assign((size_t)block[0] * block[1] * block[2], Thread{});
    const auto warps = ordered((threads.size() + 31) / 32, order), lanes = ordered(32, order);
    std::string went_wrong;
    const std::align_val_t alignment{128};
    shared = ::operator new(shared_bytes, alignment);
#ifdef FC_HOST_TRACE
    const auto number_of = [](const void *pointer) { return reinterpret_cast<uint64_t>(pointer); };
    ++launches;
    private_ranges = {library_of(number_of(reinterpret_cast<const void *>(call))),
                      library_of(number_of(&threadIdx)),
                      {number_of(shared), number_of(shared) + shared_bytes},
                      {number_of(threads.data()), number_of(threads.data() + threads.size())},
                      {number_of(arguments), number_of(arguments + count + 1)},
                      {number_of(arguments[0]), number_of(arguments[count])}};
#endif
    try {
        const size_t blocks = (size_t)grid[0] * grid[1] * grid[2];
        std::vector<unsigned> across = order ? ordered(blocks, order) : std::vector<unsigned>();
        for (size_t k = 0; k < blocks; ++k) {
            const size_t number = order ? across[k] : k;
            // A kernel may find anything in shared memory: here NaN.
            memset(shared, 0xff, shared_bytes);
            for (int v = 0; v < variables; ++v) memset(shared_variables[v].address, 0xff, shared_variables[v].bytes);
            run_block({(unsigned)(number % grid[0]), (unsigned)(number / grid[0] % grid[1]),
                       (unsigned)(number / grid[0] / grid[1])},
                      warps, lanes);
        }
    } catch (const Failure &failed) {
        went_wrong = failed.text;
        abandon();
    }
    ::operator delete(shared, alignment);
    snprintf(error, error_size, "%s", went_wrong.c_str());
    return !went_wrong.empty();
}
