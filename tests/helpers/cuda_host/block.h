// The running block: its threads, what they wait for, and what went wrong.
#pragma once
#include <stdio.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "shim.h"

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

}  // namespace
}  // namespace fc_host
