/*
What CUDA's compiler knows and g++ does not, so that the source of the kernels runs on a CPU.

A launch is a loop over the blocks of the grid. The threads of a block are fibers: one runs until it waits at a barrier,
then another, in an order that is drawn anew after every barrier. So a barrier that is missing shows: some thread reads
what another has not written yet, or writes what another has still to read. Shared memory is filled with NaN before each
block, and AddressSanitizer guards what lies behind the bytes that the launch asked for.
*/
#pragma once

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <ucontext.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#define __global__
#define __device__
#define __shared__
#define __restrict__
#define __forceinline__ inline
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

typedef _Float16 __half;
struct dim3 { unsigned x = 1, y = 1, z = 1; };

dim3 threadIdx, blockIdx, blockDim, gridDim;
__align__(16) unsigned char shared_memory[48 << 10];  // the kernels declare it extern

namespace emulation {

constexpr std::size_t SHARED = sizeof shared_memory, STACK = 64 << 10;

struct Fiber {
    ucontext_t context;
    void* stack = nullptr;
    void* fake_stack = nullptr;
    dim3 index;
    bool done = false;
};

std::vector<Fiber> fibers(1024);
Fiber* running = nullptr;
ucontext_t scheduler;
void* scheduler_fake_stack = nullptr;
const void* scheduler_stack = nullptr;
std::size_t scheduler_size = 0;
std::function<void()> body;
std::mt19937 order(1);

// From the running thread back to the loop over threads: at a barrier, or for good.
inline void leave(bool for_good)
{
    Fiber* const me = running;
    me->done = for_good;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &me->fake_stack, scheduler_stack, scheduler_size);
    swapcontext(&me->context, &scheduler);
    __sanitizer_finish_switch_fiber(me->fake_stack, nullptr, nullptr);
}

inline void main_of_fiber()
{
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
    body();
    leave(true);
}

inline void resume(Fiber& fiber)
{
    running = &fiber;
    threadIdx = fiber.index;
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber.stack, STACK);
    swapcontext(&scheduler, &fiber.context);
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
}

// All threads of one block, from barrier to barrier. Every thread must come to the same number of barriers.
inline void run_block(bool has_barriers)
{
    const unsigned count = blockDim.x * blockDim.y;
    if (!has_barriers) {
        for (unsigned i = 0; i < count; ++i) {
            threadIdx = {i % blockDim.x, i / blockDim.x, 0};
            body();
        }
        return;
    }
    for (unsigned i = 0; i < count; ++i) {
        Fiber& fiber = fibers[i];
        if (!fiber.stack) fiber.stack = std::malloc(STACK);
        __asan_unpoison_memory_region(fiber.stack, STACK);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack;
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, main_of_fiber, 0);
        fiber.index = {i % blockDim.x, i / blockDim.x, 0};
        fiber.done = false;
    }
    std::vector<unsigned> turn(count);
    std::iota(turn.begin(), turn.end(), 0u);
    while (!fibers[0].done) {
        std::shuffle(turn.begin(), turn.end(), order);
        for (unsigned i : turn) resume(fibers[i]);
        for (unsigned i : turn)
            if (fibers[i].done != fibers[0].done) {
                std::fprintf(stderr, "a barrier was not reached by all threads of a block\n");
                std::abort();
            }
    }
}

inline void launch(dim3 grid, dim3 block, std::size_t bytes, const std::function<void()>& kernel)
{
    if (bytes > SHARED || block.x * block.y > fibers.size()) {
        std::fprintf(stderr, "a launch with too many threads or too much shared memory\n");
        std::abort();
    }
    gridDim = grid, blockDim = block, body = kernel;
    __asan_unpoison_memory_region(shared_memory, SHARED);
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
            std::memset(shared_memory, 0xff, bytes);  // NaN as a float and as a double
            __asan_poison_memory_region(shared_memory + bytes, SHARED - bytes);
            run_block(bytes > 0);
            __asan_unpoison_memory_region(shared_memory, SHARED);
        }
}

}  // namespace emulation

inline void __syncthreads() { emulation::leave(false); }
