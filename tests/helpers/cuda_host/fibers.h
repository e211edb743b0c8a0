// The threads of a block as fibers: each runs on a stack of its own until it must wait for others.
#pragma once
#include <sys/mman.h>
#include <ucontext.h>

#include "block.h"

#ifdef FC_HOST_TRACE
#include "trace.h"
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fc_host {
namespace {

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

}  // namespace

void block_barrier(const char *name, int line) { wait(State::at_barrier, name, line); }

const uint64_t *meet(unsigned mask, uint64_t mine, const char *name, int line) {
    if (!(mask >> lane() & 1)) fail("%s: the calling lane %u is not in the mask %#x (line %d)", name, lane(), mask, line);
    self->mask = mask;
    self->mine = mine;
    wait(State::meeting, name, line);
    return self->all;
}

}  // namespace fc_host
