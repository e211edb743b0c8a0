// The threads of a block as threads of the system, for ThreadSanitizer, which cannot follow fibers.
#pragma once
#include <pthread.h>

#include <condition_variable>
#include <memory>

#include "block.h"

namespace fc_host {
namespace {

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

// A thread of the system, kept from block to block: to start one under ThreadSanitizer takes longer than what it runs.
// It waits for and tells the launching thread alone, so that no two of a block are put in an order by it.
class Runner {
public:
    Runner() {
        pthread_attr_t small;  // std::thread takes stacks of megabytes, each of which ThreadSanitizer would watch
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, STACK);
        pthread_t thread;
        if (pthread_create(&thread, &small, loop, this)) fail("no more threads to be had");
        pthread_detach(thread);
        pthread_attr_destroy(&small);
    }

    void start(Thread &thread) {
        const std::lock_guard<std::mutex> lock(mutex);
        given = &thread;
        changed.notify_all();
    }

    void wait() {
        std::unique_lock<std::mutex> lock(mutex);
        while (given) changed.wait(lock);
    }

private:
    static void *loop(void *runner) {
        for (;;) static_cast<Runner *>(runner)->run();
        return nullptr;
    }

    void run() {
        std::unique_lock<std::mutex> lock(mutex);
        while (!given) changed.wait(lock);
        Thread &thread = *given;
        lock.unlock();
        enter(thread, running_block);
        run_kernel();
        block_meeting->leave();
        warp_meetings[thread.number / 32]->leave();
        lock.lock();
        given = nullptr;
        changed.notify_all();
    }

    std::mutex mutex;
    std::condition_variable changed;
    Thread *given = nullptr;
};

std::vector<Runner *> runners;  // for ever

void run_block(uint3 block, const std::vector<unsigned> &warps, const std::vector<unsigned> &) {
    const size_t count = threads.size();
    block_meeting.reset(new Meeting(count));
    warp_meetings.clear();
    for (size_t warp = 0; warp < warps.size(); ++warp)
        warp_meetings.emplace_back(new Meeting(std::min<size_t>(32, count - 32 * warp)));
    running_block = block;
    while (runners.size() < count) runners.push_back(new Runner);
    for (unsigned number = 0; number < count; ++number) {
        begin(threads[number], number, State::ready);
        runners[number]->start(threads[number]);
    }
    for (size_t number = 0; number < count; ++number) runners[number]->wait();
    if (!failure.empty()) throw Failure{failure};
}

void abandon() {}

}  // namespace

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

}  // namespace fc_host
