// Runs the blocks of a launch one after another. The threads of a block are fibers (or real threads with
// FC_HOST_THREADS, for ThreadSanitizer, which cannot follow fibers): each runs until it must wait for others.
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "shim.h"

#ifdef FC_HOST_TRACE
#include "trace.h"
#endif
#ifdef FC_HOST_THREADS
#include <pthread.h>

#include <condition_variable>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

FC_HOST_LOCAL uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace fc_host {
namespace {

typedef void (*Call)(void *const *);

enum class State { ready, at_barrier, meeting, done };

// One CUDA thread of the running block.
struct Thread {
    State state;
    uint3 index;
    unsigned number;
    void *fiber;
    const char *name;  // of what it waits in
    int line;
    unsigned mask;
    uint64_t mine, all[32];
};

struct Failure {
    std::string text;
};

constexpr size_t STACK = 256 << 10;
std::vector<Thread> threads;  // of the running block
void *shared;
Call kernel;
void *const *arguments;
FC_HOST_LOCAL Thread *self;

std::string describe(const Thread &thread) {
    char text[160];
    const uint3 &t = thread.index;
    if (thread.state == State::done)
        snprintf(text, sizeof text, "thread (%u, %u, %u) has returned", t.x, t.y, t.z);
    else
        snprintf(text, sizeof text, "thread (%u, %u, %u) waits in %s, line %d", t.x, t.y, t.z, thread.name, thread.line);
    return text;
}

void begin(Thread &thread, unsigned number, State state) {
    thread.state = state;
    thread.number = number;
    thread.index = {number % blockDim.x, number / blockDim.x % blockDim.y, number / blockDim.x / blockDim.y};
}

void enter(Thread &thread, uint3 block) {
    self = &thread;
    threadIdx = thread.index;
    blockIdx = block;
}

std::string failure;  // of the running block; empty: none
std::mutex failing;

// The kernel for the current thread; its error, if any, goes to `failure`.
void run_kernel() {
    try {
        kernel(arguments);
    } catch (const Failure &error) {
        const std::lock_guard<std::mutex> guard(failing);
        if (failure.empty()) {
            char where[120];
            snprintf(where, sizeof where, " [block (%u, %u, %u), thread (%u, %u, %u)]", blockIdx.x, blockIdx.y, blockIdx.z,
                     threadIdx.x, threadIdx.y, threadIdx.z);
            failure = error.text + where;
        }
    }
}

unsigned existing_lanes(unsigned number) {
    const unsigned first = number / 32 * 32, count = std::min<size_t>(32, threads.size() - first);
    return WHOLE_WARP >> (32 - count);
}

#ifndef FC_HOST_THREADS

// --- fibers -----------------------------------------------------------------------------------------------------------

constexpr size_t GUARD = 4096;

#if defined(__x86_64__)
// Saves what a call preserves, and the stack pointer in *from; goes on where `to` was saved.
extern "C" void fc_host_switch(void **from, void *to);
asm(R"(
    .text
    .type fc_host_switch, @function
fc_host_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size fc_host_switch, .-fc_host_switch
)");

struct Context {
    void *top = nullptr;
    void start(char *stack, void (*entry)()) {
        void **at = reinterpret_cast<void **>(stack + STACK);
        *--at = nullptr;  // the stack is 16 bytes aligned + 8 on entry, as after a call
        *--at = reinterpret_cast<void *>(entry);
        top = at - 6;
    }
    void go(Context &to) { fc_host_switch(&top, to.top); }
};
#else
struct Context {
    ucontext_t saved;
    void start(char *stack, void (*entry)()) {
        getcontext(&saved);
        saved.uc_stack.ss_sp = stack;
        saved.uc_stack.ss_size = STACK;
        makecontext(&saved, entry, 0);
    }
    void go(Context &to) { swapcontext(&saved, &to.saved); }
};
#endif

Context scheduler;
const void *scheduler_stack;
size_t scheduler_size;

// A stack and what runs on it: threads one after another, so that one that never waits costs two switches.
struct Fiber {
    char *stack;
    Context context;
    bool fresh = true;

    Fiber() {
        void *memory = mmap(nullptr, GUARD + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) fail("no memory for the stack of a thread");
        mprotect(memory, GUARD, PROT_NONE);
        stack = static_cast<char *>(memory) + GUARD;
    }

    void resume() {
        if (fresh) {
            fresh = false;
#ifdef __SANITIZE_ADDRESS__
            __asan_unpoison_memory_region(stack, STACK);
#endif
            context.start(stack, loop);
        }
#ifdef __SANITIZE_ADDRESS__
        void *save;
        __sanitizer_start_switch_fiber(&save, stack, STACK);
#endif
        scheduler.go(context);
#ifdef __SANITIZE_ADDRESS__
        __sanitizer_finish_switch_fiber(save, nullptr, nullptr);
#endif
    }

    // Back to the scheduler, until resumed.
    void leave() {
#ifdef __SANITIZE_ADDRESS__
        void *save;
        __sanitizer_start_switch_fiber(&save, scheduler_stack, scheduler_size);
#endif
        context.go(scheduler);
        arrived();
    }

    static void arrived() {
#ifdef __SANITIZE_ADDRESS__
        __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    }

    static void loop() {
        arrived();
        for (;;) {
            run_kernel();
            self->state = State::done;
            static_cast<Fiber *>(self->fiber)->leave();
        }
    }
};

std::vector<Fiber *> idle;
bool serial;

void wait(State state, const char *name, int line) {
    if (serial) fail("%s in serial mode (line %d)", name, line);
    self->state = state;
    self->name = name;
    self->line = line;
    static_cast<Fiber *>(self->fiber)->leave();
}

// Runs a thread until it waits or is done.
void advance(Thread &thread, uint3 block) {
    enter(thread, block);
    if (serial) {
        run_kernel();
        thread.state = State::done;
        return;
    }
    if (!thread.fiber) {
        if (idle.empty()) idle.push_back(new Fiber);
        thread.fiber = idle.back();
        idle.pop_back();
    }
    Fiber *fiber = static_cast<Fiber *>(thread.fiber);
    fiber->resume();
    if (thread.state == State::done) {
        idle.push_back(fiber);
        thread.fiber = nullptr;
    }
}

// Lets every group of lanes go on whose members all wait in the same call.
bool release_lanes(unsigned first) {
    Thread *lanes = &threads[first];
    const unsigned existing = existing_lanes(first);
    bool released = false;
    for (unsigned lead = 0; lead < 32; ++lead) {
        if (!(existing >> lead & 1) || lanes[lead].state != State::meeting) continue;
        const unsigned mask = lanes[lead].mask & existing;
        bool complete = true;
        for (unsigned b = 0; b < 32 && complete; ++b)
            complete = !(mask >> b & 1) || (lanes[b].state == State::meeting && lanes[b].line == lanes[lead].line &&
                                            lanes[b].name == lanes[lead].name && (lanes[b].mask & existing) == mask);
        if (!complete) continue;
        for (unsigned b = 0; b < 32; ++b) {
            if (!(mask >> b & 1)) continue;
            for (unsigned from = 0; from < 32; ++from)
                if (mask >> from & 1) lanes[b].all[from] = lanes[from].mine;
        }
        for (unsigned b = 0; b < 32; ++b)
            if (mask >> b & 1) lanes[b].state = State::ready;
        released = true;
    }
    return released;
}

// Lets the block go on if all its threads wait at one barrier; false if all are done.
bool release_block() {
    const Thread &first = threads.front();
    for (const Thread &thread : threads) {
        const bool same = thread.state == first.state && thread.state != State::meeting &&
                          (thread.state == State::done || thread.line == first.line);
        if (!same) throw Failure{"threads wait for each other in vain: " + describe(first) + ", " + describe(thread)};
    }
    if (first.state == State::done) return false;
    for (Thread &thread : threads) thread.state = State::ready;
    return true;
}

void abandon() {
    for (Thread &thread : threads)
        if (thread.fiber) {
            Fiber *fiber = static_cast<Fiber *>(thread.fiber);
            fiber->fresh = true;
            idle.push_back(fiber);
            thread.fiber = nullptr;
        }
}

// `order`: warps in this order, lanes in this order.
void run_block(uint3 block, const std::vector<unsigned> &warps, const std::vector<unsigned> &lanes) {
    for (unsigned number = 0; number < threads.size(); ++number) begin(threads[number], number, State::ready);
    do {
        for (const unsigned warp : warps) {
            do {
                for (const unsigned lane : lanes) {
                    const size_t number = 32 * warp + lane;
                    if (number >= threads.size() || threads[number].state != State::ready) continue;
                    advance(threads[number], block);
                    if (!failure.empty()) throw Failure{failure};
                }
            } while (release_lanes(32 * warp));
        }
    } while (release_block());
}

#ifdef FC_HOST_TRACE
Range running_stack() {
    const uint64_t first = reinterpret_cast<uint64_t>(static_cast<Fiber *>(self->fiber)->stack);
    return {first, first + STACK};
}
uint32_t running_block() { return blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z); }
uint32_t running_thread() { return self->number; }
#endif

#else

// --- real threads -----------------------------------------------------------------------------------------------------

// std::barrier would not do: its waiters share atomic counters with those of other barriers, which ThreadSanitizer takes
// for an order between threads that have none.
class Meeting {
public:
    uint64_t given[32];

    explicit Meeting(size_t expected) : expected(expected) {}

    void wait() {
        std::unique_lock<std::mutex> lock(mutex);
        const size_t before = turn;
        if (++arrived == expected) {
            next();
            return;
        }
        while (turn == before) changed.wait(lock);
    }

    // One that comes no more.
    void leave() {
        const std::lock_guard<std::mutex> lock(mutex);
        if (--expected == arrived) next();
    }

private:
    void next() {
        arrived = 0;
        ++turn;
        changed.notify_all();
    }

    std::mutex mutex;
    std::condition_variable changed;
    size_t expected, arrived = 0, turn = 0;
};

std::unique_ptr<Meeting> block_meeting;
std::vector<std::unique_ptr<Meeting>> warp_meetings;
uint3 running_block;

void *run_thread(void *given) {
    Thread &thread = *static_cast<Thread *>(given);
    enter(thread, running_block);
    run_kernel();
    block_meeting->leave();
    warp_meetings[thread.number / 32]->leave();
    return nullptr;
}

void run_block(uint3 block, const std::vector<unsigned> &warps, const std::vector<unsigned> &) {
    const size_t count = threads.size();
    block_meeting.reset(new Meeting(count));
    warp_meetings.clear();
    for (size_t warp = 0; warp < warps.size(); ++warp)
        warp_meetings.emplace_back(new Meeting(std::min<size_t>(32, count - 32 * warp)));
    running_block = block;
    pthread_attr_t small;  // std::thread takes stacks of megabytes, each of which ThreadSanitizer would watch
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK);
    std::vector<pthread_t> running(count);
    for (unsigned number = 0; number < count; ++number) {
        begin(threads[number], number, State::ready);
        if (pthread_create(&running[number], &small, run_thread, &threads[number])) fail("no more threads to be had");
    }
    for (const pthread_t thread : running) pthread_join(thread, nullptr);
    pthread_attr_destroy(&small);
    if (!failure.empty()) throw Failure{failure};
}

void abandon() {}

#endif

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

#ifndef FC_HOST_THREADS

void block_barrier(const char *name, int line) { wait(State::at_barrier, name, line); }

const uint64_t *meet(unsigned mask, uint64_t mine, const char *name, int line) {
    if (!(mask >> lane() & 1)) fail("%s: the calling lane %u is not in the mask %#x (line %d)", name, lane(), mask, line);
    self->mask = mask;
    self->mine = mine;
    wait(State::meeting, name, line);
    return self->all;
}

#else

void block_barrier(const char *, int) { block_meeting->wait(); }

const uint64_t *meet(unsigned mask, uint64_t mine, const char *name, int line) {
    const unsigned existing = existing_lanes(self->number);
    if ((mask & existing) != existing) fail("%s with a part of a warp, in threads mode (line %d)", name, line);
    Meeting &meeting = *warp_meetings[self->number / 32];
    meeting.given[lane()] = mine;
    meeting.wait();
    std::copy(meeting.given, meeting.given + 32, self->all);
    meeting.wait();
    return self->all;
}

#endif

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
