// Every access of a kernel to global memory, for builds with FC_HOST_TRACE. The intrinsics of shim.h come to record() by
// themselves; the rest comes because the kernel text is compiled with -fsanitize=thread, whose hooks are defined here.
// What is not global memory (the stack, shared memory, arguments, variables of the libraries) does not count.
#pragma once
#include <link.h>

#include <vector>

namespace fc_host {

struct Access {
    uint64_t address, site;
    uint32_t bytes, launch, block, thread;
    uint32_t writes, ordinal;
};

struct Range {
    uint64_t first, end;
    bool holds(uint64_t address) const { return address >= first && address < end; }
};

namespace {
std::vector<Access> accesses;
std::vector<Range> private_ranges;  // apart from the stack of the running thread
uint32_t launches;
bool recording;

// The library that holds the code or data at `wanted`.
Range library_of(uint64_t wanted) {
    Range range{wanted, 0};
    dl_iterate_phdr(
        [](dl_phdr_info *info, size_t, void *out) {
            Range *result = static_cast<Range *>(out), whole{~0ull, 0};
            for (int k = 0; k < info->dlpi_phnum; ++k) {
                const ElfW(Phdr) &part = info->dlpi_phdr[k];
                if (part.p_type != PT_LOAD) continue;
                const uint64_t first = info->dlpi_addr + part.p_vaddr;
                if (first < whole.first) whole.first = first;
                if (first + part.p_memsz > whole.end) whole.end = first + part.p_memsz;
            }
            if (!whole.holds(result->first)) return 0;
            *result = whole;
            return 1;
        },
        &range);
    return range;
}

Range running_stack();
uint32_t running_block(), running_thread();
}  // namespace

void record(const void *pointer, unsigned bytes, bool writes, const void *site) {
    const uint64_t address = reinterpret_cast<uint64_t>(pointer);
    if (!recording || running_stack().holds(address)) return;
    for (const Range &range : private_ranges)
        if (range.holds(address)) return;
    accesses.push_back({address, reinterpret_cast<uint64_t>(site), bytes, launches, running_block(), running_thread(),
                        writes, (uint32_t)accesses.size()});
}

}  // namespace fc_host

extern "C" {
void fc_host_trace_start() {
    fc_host::accesses.clear();
    fc_host::launches = 0;
    fc_host::recording = true;
}

// Where the accesses lie until the next start, and how many there are.
const fc_host::Access *fc_host_trace_stop(uint64_t *count) {
    fc_host::recording = false;
    *count = fc_host::accesses.size();
    return fc_host::accesses.data();
}

#define FC_HOST_HOOK(name, bytes, writes) \
    void name(void *address) { fc_host::record(address, bytes, writes, __builtin_return_address(0)); }
#define FC_HOST_HOOKS(bytes)                                     \
    FC_HOST_HOOK(__tsan_read##bytes, bytes, false)               \
    FC_HOST_HOOK(__tsan_write##bytes, bytes, true)               \
    FC_HOST_HOOK(__tsan_unaligned_read##bytes, bytes, false)     \
    FC_HOST_HOOK(__tsan_unaligned_write##bytes, bytes, true)
FC_HOST_HOOK(__tsan_read1, 1, false)
FC_HOST_HOOK(__tsan_write1, 1, true)
FC_HOST_HOOKS(2)
FC_HOST_HOOKS(4)
FC_HOST_HOOKS(8)
FC_HOST_HOOKS(16)
void __tsan_read_range(void *address, uint64_t bytes) {
    fc_host::record(address, (unsigned)bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(void *address, uint64_t bytes) {
    fc_host::record(address, (unsigned)bytes, true, __builtin_return_address(0));
}
void __tsan_init() {}
void __tsan_atomic_thread_fence(int) {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
}
