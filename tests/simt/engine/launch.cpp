// A launch from its first block to its last.
#include <sys/mman.h>
#include <xmmintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "../device/builtins.h"
#include "../device/dependent.h"
#include "memory.h"
#include "scheduler.h"
#include "slice.h"

namespace simt::engine {

namespace {

constexpr unsigned kDefaultModes = 0x1F80;  // of MXCSR: round to nearest, no flush to zero

std::uint64_t current_seed = 1, launches_since_seed = 0;

struct Stack {
  char* memory;
};
std::vector<Stack> stacks;
std::size_t stack_bytes = 0;

// Huge pages: the fibers of a launch touch the tops of thousands of stacks in turn.
char* new_stacks(std::size_t count) {
  constexpr std::size_t kHuge = 2 << 20;
  const std::size_t size = count * stack_bytes;
  void* memory =
      mmap(nullptr, size + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + kHuge - 1) / kHuge * kHuge;
  madvise(reinterpret_cast<void*>(begin), size, MADV_HUGEPAGE);
  return reinterpret_cast<char*>(begin);
}

void provide_stacks(std::size_t count) {
  if (stack_bytes != options().stack_bytes) stacks.clear();  // a test changed it: the old ones are left behind
  stack_bytes = options().stack_bytes;
  if (stacks.size() >= count) return;
  const std::size_t missing = std::max<std::size_t>(count - stacks.size(), 256);
  char* memory = new_stacks(missing);
  for (std::size_t i = 0; i < missing; ++i) stacks.push_back({memory + i * stack_bytes});
}

void provide_blocks(std::size_t resident, unsigned threads) {
  provide_stacks(resident * threads);
  while (scheduler.resident.size() < resident) scheduler.resident.push_back(std::make_unique<Block>());
  for (std::size_t slot = 0; slot < scheduler.resident.size(); ++slot) {
    Block& block = *scheduler.resident[slot];
    block.slot = unsigned(slot);
    block.running = false;
    if (slot >= resident) continue;
    block.fibers.assign(threads, Fiber{});
    for (unsigned t = 0; t < threads; ++t) block.fibers[t].stack = stacks[slot * threads + t].memory;
  }
  for (Queue* queue : {&scheduler.ready, &scheduler.next_round, &scheduler.held_back})
    queue->prepare(resident * threads);
}

void hold_some_back(Block& block) {
  Random& random = scheduler.random;
  const std::size_t threads = block.fibers.size();
  const std::size_t warp = random.below((threads + 31) / 32), thread = random.below(threads);
  const bool this_block = random.one_in(2);
  for (Fiber& fiber : block.fibers) {
    switch (scheduler.policy.held_back) {
      case HeldBack::kNobody:
        fiber.held_back = false;
        break;
      case HeldBack::kOneWarp:
        fiber.held_back = fiber.thread / 32 == warp;
        break;
      case HeldBack::kOneThread:
        fiber.held_back = fiber.thread == thread;
        break;
      case HeldBack::kOneBlockInTwo:
        fiber.held_back = this_block;
        break;
      case HeldBack::kOneThreadInTwo:
        fiber.held_back = random.one_in(2);
        break;
    }
  }
}

void start_next_block(Block& slot) {
  const dim3& grid = scheduler.launch.grid;
  const std::uint64_t i = scheduler.next_block++;
  for (std::size_t t = 0; t < slot.fibers.size(); ++t) slot.fibers[t].thread = unsigned(t);
  hold_some_back(slot);
  start_block(slot, {unsigned(i % grid.x), unsigned(i / grid.x % grid.y), unsigned(i / grid.x / grid.y)});
  ++scheduler.running_blocks;
  for (Fiber& fiber : slot.fibers) make_ready(&fiber);
  statistics().threads += slot.fibers.size();
  release(&scheduler.launch_sync);  // it sees what the host has done, not what other blocks did
}

void run_all_blocks(std::size_t resident) {
  for (std::size_t slot = 0; slot < resident; ++slot) start_next_block(*scheduler.resident[slot]);
  for (;;) {
    Fiber* first = pick();
    new_slice();
    run(first);
    slice_left = kEndless;
    if (scheduler.failure.kind || scheduler.next_block == scheduler.block_count) return;
    finish_block(*scheduler.refill);
    start_next_block(*scheduler.refill);
  }
}

void order_host_after_all_threads([[maybe_unused]] std::size_t resident) {
#if SIMT_TSAN
  for (std::size_t slot = 0; slot < resident; ++slot) {
    Block& block = *scheduler.resident[slot];
    void* host = __tsan_get_current_fiber();
    const auto release_as = [&](void* thread) {
      __tsan_switch_to_fiber(thread, __tsan_switch_to_fiber_no_sync);
      release(&scheduler.end_sync);
      __tsan_switch_to_fiber(host, __tsan_switch_to_fiber_no_sync);
    };
    release_as(block.copy_thread);
    // After a failure most threads never reached their end, where they would have released.
    if (scheduler.failure.kind)
      for (Fiber& fiber : block.fibers) release_as(fiber.sanitizer_thread);
  }
#endif
  acquire(&scheduler.end_sync);
}

void begin(const Launch& launch) {
  scheduler.launch = launch;
  scheduler.random = Random(current_seed * 0x9E3779B97F4A7C15ull + launches_since_seed++);
  scheduler.policy = Policy::draw(scheduler.random, options().order);
  scheduler.next_block = 0;
  scheduler.block_count = std::uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z;
  scheduler.running_blocks = 0;
  scheduler.failure = {};
  scheduler.steps = scheduler.last_meeting = scheduler.last_progress = 0;
  blockDim = launch.block;
  gridDim = launch.grid;
  ++statistics().launches;
  forget_report();
}

}  // namespace

const Launch& launched() { return scheduler.launch; }
std::vector<std::unique_ptr<Block>>& resident_blocks() { return scheduler.resident; }
std::uint64_t blocks_not_started() { return scheduler.block_count - scheduler.next_block; }
std::uint64_t launch_number() { return launches_since_seed; }

void fiber_body() {
  acquire(&scheduler.launch_sync);
  scheduler.launch.invoke(scheduler.launch.kernel, scheduler.launch.arguments);
  account();
  Fiber& fiber = *current();
  if (scheduler.launch.dependent && !fiber.has_waited)
    fail("ERROR", name_of(fiber) + " ends without having waited for the launch that its own depends on");
  Block& block = *fiber.block;
  flush_copies(fiber);
  release(&scheduler.end_sync);
  progressed();
  check_exit_warp(fiber);
  if (--block.live) check_exit_barrier(block);
  fiber.state = State::kFinished;
  if (!block.live) {
    check_shared(block);
    block.running = false;
    --scheduler.running_blocks;
    scheduler.refill = &block;
    // Its stacks are used again, so not from one of them.
    if (scheduler.next_block < scheduler.block_count || !scheduler.running_blocks) return_to_host();
  }
  wait_for_turn();
  std::abort();  // a finished fiber is never queued
}

cudaError_t execute(const Launch& launch, bool (*end_earlier)()) {
  std::lock_guard lock(scheduler.one_launch_at_a_time);
  const unsigned modes_of_caller = _mm_getcsr();
  _mm_setcsr(kDefaultModes);  // the GPU knows none of the caller's
  begin(launch);
  scheduler.end_earlier = launch.dependent ? end_earlier : nullptr;
  const auto capacity = std::uint64_t(options().sms) * unsigned(options().blocks_per_sm);
  const auto resident = std::size_t(std::min(capacity, scheduler.block_count));
  provide_blocks(resident, launch.block.x * launch.block.y * launch.block.z);
  remember_host();
  const auto start = std::chrono::steady_clock::now();
  run_all_blocks(resident);
  statistics().seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  order_host_after_all_threads(resident);
  if (scheduler.end_earlier) scheduler.end_earlier();  // the launch has failed before any thread waited
  if (scheduler.failure.kind) report_failure();
  drop_copies();
  for (std::size_t slot = 0; slot < resident; ++slot) finish_block(*scheduler.resident[slot]);
  bury_freed_memory();
  _mm_setcsr(modes_of_caller);
  return scheduler.failure.code;
}

}  // namespace simt::engine

namespace simt {

void set_seed(std::uint64_t seed) {
  engine::current_seed = seed;
  engine::launches_since_seed = 0;
}

std::uint64_t seed() { return engine::current_seed; }

void dependency_wait() {
  using namespace engine;
  current()->has_waited = true;
  if (!scheduler.end_earlier) return;
  yield();  // the others get on as far as they do without waiting
  if (!scheduler.end_earlier) return;
  const auto end_earlier = scheduler.end_earlier;
  scheduler.end_earlier = nullptr;
  if (!end_earlier()) fail("ERROR", "the launch has written before it waited for the launch that it depends on");
  progressed();
}

}  // namespace simt
