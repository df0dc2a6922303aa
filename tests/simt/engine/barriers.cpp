// Barriers of a block: __syncthreads is number 0; 1 to 15 have a number of threads of their own.
#include "engine.h"

#include "../device/barriers.h"

#include <cstring>

namespace simt::engine {

bool same_place(const Location& a, const Location& b) {
  if (a.line() != b.line() || a.column() != b.column()) return false;
  return a.file_name() == b.file_name() || !std::strcmp(a.file_name(), b.file_name());
}

namespace {

void open_for_next(Barrier& barrier) {
  for (Fiber* fiber : barrier.waiting) {
    fiber->result = std::uint64_t(barrier.result);
    make_ready(fiber);
  }
  barrier.waiting.clear();
  barrier.arrived = 0;
  barrier.turn ^= 1;
  ++statistics().barriers;
  progressed();
}

void arrive(Barrier& barrier) {
  release(&barrier.sync[barrier.turn]);
  if (++barrier.arrived == barrier.expected) open_for_next(barrier);
}

std::uint64_t arrive_and_wait(Barrier& barrier) {
  Fiber* fiber = current();
  char* sync = &barrier.sync[barrier.turn];
  fiber->state = State::kAtBarrier;
  barrier.waiting.push_back(fiber);
  arrive(barrier);
  wait_for_turn();
  acquire(sync);
  return fiber->result;
}

Barrier& named(unsigned id, unsigned threads) {
  Block& block = *current()->block;
  if (id == 0 || id >= kBarriersPerBlock || threads == 0 || threads % 32 || threads > block.fibers.size())
    fail("ERROR", "barrier " + std::to_string(id) + " of " + std::to_string(threads) +
                      " threads: the id is 1 to 15, the count a multiple of 32 within the block");
  Barrier& barrier = block.barriers[id];
  if (!barrier.arrived) {
    HostScope host;
    barrier.expected = threads;
    barrier.waiting.reserve(threads);
  } else if (barrier.expected != threads) {
    fail("ERROR", "barrier " + std::to_string(id) + " is used with " + std::to_string(threads) + " and with " +
                      std::to_string(barrier.expected) + " threads");
  }
  return barrier;
}

}  // namespace

void check_exit_barrier(Block& block) {
  Barrier& barrier = block.barriers[0];
  if (!barrier.arrived) return;
  if (options().strict_exit)
    fail("ERROR", name_of(*current()) + " exits while " + std::to_string(barrier.arrived) +
                      " threads of its block wait at __syncthreads");
  --barrier.expected;
  if (barrier.arrived == barrier.expected) open_for_next(barrier);
}

}  // namespace simt::engine

namespace simt {

using namespace engine;

int block_barrier(Combine combine, int predicate, Location where) {
  Block& block = *current()->block;
  Barrier& barrier = block.barriers[0];
  if (!barrier.arrived) {
    barrier.expected = block.live;
    barrier.where = where;
    barrier.combine = int(combine);
    barrier.count = 0;
    barrier.result = 0;
  } else if (!same_place(barrier.where, where) || barrier.combine != int(combine)) {
    fail("ERROR", "divergent barrier: " + name_of(*current()) + " and the threads that wait are at different ones");
  }
  barrier.count += predicate != 0;
  if (combine == Combine::kCount) barrier.result = barrier.count;
  if (combine == Combine::kAny) barrier.result = barrier.count > 0;
  if (combine == Combine::kAll) barrier.result = barrier.count == int(barrier.arrived + 1);
  return int(arrive_and_wait(barrier));
}

void named_barrier_sync(unsigned id, unsigned threads, Location) { arrive_and_wait(named(id, threads)); }

void named_barrier_arrive(unsigned id, unsigned threads, Location) { arrive(named(id, threads)); }

void fence() {
  static char sync;
  release(&sync);
  acquire(&sync);
}

}  // namespace simt
