// Asynchronous copies: issued by a thread, completed when the scheduler likes, or at last when somebody
// waits. The source is read at a moment between the two that the seed chooses.
#include "copies.h"
#include "bytes.h"
#include "engine.h"
#include "mbarrier.h"

#include "../device/async.h"
#include "../device/builtins.h"

#include <algorithm>
#include <cstdlib>

namespace simt::engine {

namespace {

std::size_t pending_count = 0;

void move_bytes(const Copy& copy) {
  {
    [[maybe_unused]] CopyScope engine(*copy.block);
#if SIMT_TSAN
    acquire(&copy.block->copies_issued);
    if (copy.filled && !copy.snapshot) __tsan_read_range(const_cast<unsigned char*>(copy.from), copy.filled);
    __tsan_write_range(copy.to, copy.bytes);
#endif
    permit(copy.to, copy.bytes);
    copy_bytes(copy.to, copy.snapshot ? copy.snapshot : copy.from, copy.filled);
    fill_bytes(copy.to + copy.filled, 0, copy.bytes - copy.filled);
  }
  HostScope host;
  std::free(copy.snapshot);
  ++statistics().copies;
}

void complete(Block& block, std::size_t at);

// An arrival follows the copies that its thread issued before it.
void complete_earlier(Block& block, const Copy& arrival) {
  for (std::size_t i = block.copies.size(); i-- > 0;)
    if (const Copy& copy = block.copies[i];
        copy.owner == arrival.owner && copy.kind == Copy::kElement && copy.serial < arrival.serial)
      complete(block, i);
}

void complete(Block& block, std::size_t at) {
  const Copy copy = block.copies[at];
  block.copies[at] = block.copies.back();
  block.copies.pop_back();
  --pending_count;
  if (copy.kind == Copy::kArrival) {
    complete_earlier(block, copy);
    CopyScope engine(block);
    arrive_on(copy.barrier, 1, 0, "cp.async.mbarrier.arrive");
  } else {
    move_bytes(copy);
    CopyScope engine(block);
    if (copy.kind == Copy::kBulkLoad) {
      --block.bulk_in_flight;
      bytes_copied(copy.barrier, copy.bytes);
    } else {
      release(&block.copies_done);
    }
  }
  progressed();
}

template <class Chosen>
void complete_where(Block& block, Chosen chosen) {
  for (std::size_t i = block.copies.size(); i-- > 0;)
    if (i < block.copies.size() && chosen(block.copies[i])) complete(block, i);
}

void issue(Copy copy) {
  Fiber& fiber = *current();
  Block& block = *fiber.block;
  copy.owner = &fiber;
  copy.block = &block;
  copy.serial = block.copies_serial++;
  if (copy.bytes) {
    release(&block.copies_issued);
    HostScope host;
    if (random().one_in(2)) {  // read now, written later
      copy.snapshot = static_cast<unsigned char*>(std::malloc(copy.bytes));
      copy_bytes(copy.snapshot, copy.from, copy.filled);
    }
  }
  if (copy.bytes) {
    [[maybe_unused]] CopyScope engine(block);
#if SIMT_TSAN
    acquire(&block.copies_issued);
    if (copy.filled) __tsan_read_range(const_cast<unsigned char*>(copy.from), copy.filled);
    __tsan_write_range(copy.to, copy.bytes);
#endif
    fill_bytes(copy.to, 0xFF, copy.bytes);
    if (copy.kind != Copy::kBulkStore && reinterpret_cast<std::uintptr_t>(copy.to) % 8 == 0 && copy.bytes % 8 == 0)
      forbid(copy.to, copy.bytes);
  }
  HostScope host;
  block.copies.push_back(copy);
  ++pending_count;
}

void require(bool holds, const char* operation, const char* rule) {
  if (!holds) fail("ERROR", name_of(*current()) + ": " + operation + ": " + rule);
}

bool aligned(const void* address, unsigned to) { return reinterpret_cast<std::uintptr_t>(address) % to == 0; }

void issue_element(void* shared, const void* global, unsigned bytes, unsigned filled) {
  const char* operation = "cp.async";
  const Block& block = *current()->block;
  require(bytes == 4 || bytes == 8 || bytes == 16, operation, "copies 4, 8 or 16 bytes");
  require(filled <= bytes, operation, "reads at most as much as it writes");
  require(aligned(shared, bytes) && aligned(global, bytes), operation, "both addresses are aligned to the size");
  require(in_shared_memory(block, shared, bytes), operation, "the destination lies in the block's shared memory");
  Copy copy{};
  copy.kind = Copy::kElement;
  copy.to = static_cast<unsigned char*>(shared);
  copy.from = static_cast<const unsigned char*>(global);
  copy.bytes = bytes;
  copy.filled = filled;
  copy.group = current()->copy_groups;
  issue(copy);
}

void issue_bulk(Copy::Kind kind, void* to, const void* from, unsigned bytes, std::uint64_t* barrier) {
  const char* operation = "cp.async.bulk";
  const Block& block = *current()->block;
  require(bytes && bytes % 16 == 0, operation, "the size is a multiple of 16 bytes, and not 0");
  require(aligned(to, 16) && aligned(from, 16), operation, "both addresses are aligned to 16 bytes");
  require(in_shared_memory(block, kind == Copy::kBulkLoad ? to : from, bytes), operation,
          "the shared side lies in the block's shared memory");
  Copy copy{};
  copy.kind = kind;
  copy.to = static_cast<unsigned char*>(to);
  copy.from = static_cast<const unsigned char*>(from);
  copy.bytes = copy.filled = bytes;
  copy.barrier = barrier;
  copy.group = current()->bulk_groups;
  issue(copy);
}

void issue_arrival(std::uint64_t* barrier) {
  Copy copy{};
  copy.kind = Copy::kArrival;
  copy.barrier = barrier;
  issue(copy);
}

// Others run first: they may be the ones who look at the destination too early.
void wait_for(Copy::Kind kind, unsigned groups_done) {
  yield();
  Fiber* fiber = current();
  Block& block = *fiber->block;
  complete_where(
      block, [&](const Copy& copy) { return copy.owner == fiber && copy.kind == kind && copy.group < groups_done; });
  acquire(&block.copies_done);
}

unsigned all_but(unsigned groups, unsigned newest) { return groups > newest ? groups - newest : 0; }

}  // namespace

bool copies_pending() { return pending_count != 0; }

void complete_some_copy() {
  auto& blocks = resident_blocks();
  std::size_t slot = random().below(blocks.size());
  while (blocks[slot]->copies.empty()) slot = (slot + 1) % blocks.size();
  Block& block = *blocks[slot];
  // In runs: a warp issues hundreds of small ones.
  for (std::size_t n = 1 + random().below(8); n-- && !block.copies.empty();)
    complete(block, random().below(block.copies.size()));
}

void flush_copies(Fiber& fiber) {
  Block& block = *fiber.block;
  complete_where(block, [&](const Copy& copy) { return copy.owner == &fiber && copy.kind != Copy::kBulkLoad; });
  if (block.live == 1 && block.bulk_in_flight)
    fail("ERROR", "the block's last thread exits while " + std::to_string(block.bulk_in_flight) +
                      " bulk copies into its shared memory are in flight");
}

void drop_copies() {
  for (auto& block : resident_blocks()) {
    for (const Copy& copy : block->copies) {
      permit(copy.to, copy.bytes);
      std::free(copy.snapshot);
    }
    block->copies.clear();
  }
  pending_count = 0;
}

}  // namespace simt::engine

namespace simt {

using namespace engine;

void copy_async(void* shared, const void* global, unsigned bytes, Location) {
  issue_element(shared, global, bytes, bytes);
}

void copy_async_zfill(void* shared, const void* global, unsigned bytes, unsigned filled, Location) {
  issue_element(shared, global, bytes, filled);
}

void copy_async_commit(Location) { ++current()->copy_groups; }

void copy_async_wait_group(unsigned newest, Location) {
  wait_for(Copy::kElement, all_but(current()->copy_groups, newest));
}

void copy_async_wait_all(Location) { wait_for(Copy::kElement, ++current()->copy_groups); }

void copy_async_arrive(std::uint64_t* barrier, Location) { issue_arrival(barrier); }

void copy_async_arrive_inc(std::uint64_t* barrier, Location) {
  expect_one_more(barrier);
  issue_arrival(barrier);
}

void bulk_load(void* shared, const void* global, unsigned bytes, std::uint64_t* barrier, Location) {
  require(in_shared_memory(*current()->block, barrier, 8), "cp.async.bulk",
          "the mbarrier lies in the block's shared memory");
  ++current()->block->bulk_in_flight;
  issue_bulk(Copy::kBulkLoad, shared, global, bytes, barrier);
}

void bulk_store(void* global, const void* shared, unsigned bytes, Location) {
  issue_bulk(Copy::kBulkStore, global, shared, bytes, nullptr);
}

void bulk_commit(Location) { ++current()->bulk_groups; }

void bulk_wait_group(unsigned newest, Location) { wait_for(Copy::kBulkStore, all_but(current()->bulk_groups, newest)); }

}  // namespace simt
