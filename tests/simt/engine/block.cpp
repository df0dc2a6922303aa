// A block from its start to its end, and its shared memory.
#include "engine.h"
#include "memory.h"
#include "slice.h"

#include "../device/memory.h"

#include <algorithm>

namespace simt::engine {

namespace {

constexpr std::size_t kMostSharedMemory = 227 << 10;

#if SIMT_TSAN
// One sanitizer thread for each place a CUDA thread can have, kept for the process: making one is slow.
struct SanitizerThreads {
  std::vector<Fiber*> unused;
  struct Entry {
    void* thread = nullptr;
  };
  struct Slot {
    std::vector<Entry> threads;
  };
  std::vector<Slot> slots;
};

void* sanitizer_thread(unsigned slot, std::size_t thread) {
  static SanitizerThreads pool;
  if (pool.slots.size() <= slot) pool.slots.resize(slot + 1);
  auto& threads = pool.slots[slot].threads;
  if (threads.size() <= thread) threads.resize(thread + 1);
  if (!threads[thread].thread) threads[thread].thread = __tsan_create_fiber(0);
  return threads[thread].thread;
}
#endif

void attach_sanitizer([[maybe_unused]] Block& block) {
#if SIMT_TSAN
  block.copy_thread = sanitizer_thread(block.slot, 0);
  for (Fiber& fiber : block.fibers) fiber.sanitizer_thread = sanitizer_thread(block.slot, fiber.thread + 1);
#endif
}

void add_shared(Block& block, const void* key, std::size_t size, std::size_t alignment, const char* name) {
  block.shared.push_back({key, allocate_poisoned(size, alignment), size, name});
  block.shared_bytes += size;
}

// The vectors stay from block to block: only the first on a slot allocates.
void clear_meetings(Block& block) {
  const std::size_t threads = block.fibers.size();
  block.warps.resize((threads + 31) / 32);
  for (Warp& warp : block.warps) {
    warp.meetings.reserve(32);
    for (WarpMeeting& meeting : warp.meetings) meeting.open = false;
    warp.gone = 0;
  }
  if (threads % 32) block.warps.back().gone = ~0u << threads % 32;
  block.barriers.resize(kBarriersPerBlock);
  for (Barrier& barrier : block.barriers) {
    barrier.arrived = 0;
    barrier.waiting.clear();
  }
  block.barriers[0].waiting.reserve(threads);
}

}  // namespace

void start_block(Block& block, uint3 index) {
  const auto threads = unsigned(block.fibers.size());
  const dim3& shape = launched().block;
  block.index = index;
  block.live = threads;
  block.running = true;
  block.bulk_in_flight = 0;
  clear_meetings(block);
  block.shared.clear();
  block.shared.reserve(64);
  block.shared_bytes = 0;
  if (launched().dynamic_shared) add_shared(block, nullptr, launched().dynamic_shared, 128, "dynamic shared memory");
  attach_sanitizer(block);
  for (Fiber& fiber : block.fibers) {
    fiber.block = &block;
    const unsigned t = fiber.thread;
    fiber.index = {t % shape.x, t / shape.x % shape.y, t / shape.x / shape.y};
    fiber.copy_groups = fiber.bulk_groups = 0;
    prepare(fiber);
  }
}

void check_shared(const Block& block) {
  for (const SharedVariable& variable : block.shared) {
    std::ptrdiff_t offset;
    if (!margins_intact(variable.memory, variable.size, &offset))
      fail("ERROR", std::string("a write outside shared memory: byte ") + std::to_string(offset) + " of " +
                        variable.name + ", which has " + std::to_string(variable.size) + " (found at the block's end)");
  }
}

void finish_block(Block& block) {
  for (const SharedVariable& variable : block.shared) {
    permit(variable.memory, variable.size);  // a failed launch can leave copies pending
    bury(variable.memory);
  }
  block.shared.clear();
}

bool in_shared_memory(const Block& block, const void* begin, std::size_t size) {
  const auto* first = static_cast<const unsigned char*>(begin);
  return std::any_of(block.shared.begin(), block.shared.end(), [&](const SharedVariable& variable) {
    return first >= variable.memory && first + size <= variable.memory + variable.size;
  });
}

}  // namespace simt::engine

namespace simt {

using namespace engine;

void* shared_variable(const void* key, std::size_t size, std::size_t alignment, const char* name) {
  Block& block = *current()->block;
  for (const SharedVariable& variable : block.shared)
    if (variable.key == key) {
      acquire(&block.shared_sync);
      return variable.memory;
    }
  if (block.shared_bytes + size > kMostSharedMemory)
    fail("ERROR", std::string("more than 227 KiB of shared memory with ") + name);
  {
    HostScope host;
    add_shared(block, key, size, alignment, name);
    release(&block.shared_sync);
  }
  acquire(&block.shared_sync);
  return block.shared.back().memory;
}

unsigned char* dynamic_shared() {
  const Block& block = *current()->block;
  if (block.shared.empty() || block.shared[0].key)
    fail("ERROR", "the kernel uses dynamic shared memory but was launched with none");
  return block.shared[0].memory;
}

}  // namespace simt
