// Transaction barriers (PTX mbarrier). The whole state is in the kernel's own 64 bits, so that a barrier
// that was never initialised, or was overwritten, shows.
#include "mbarrier.h"
#include "engine.h"

#include "../device/async.h"
#include "../device/builtins.h"

#include <bit>
#include <cstring>

namespace simt::engine {

namespace {

constexpr unsigned kMostArrivals = (1u << 20) - 1;
constexpr int kMostBytes = (1 << 20) - 1;

struct Word {
  std::uint64_t mark : 2;  // 1 in a live barrier; neither zeroed nor poisoned memory has it
  std::uint64_t phase : 1;
  std::uint64_t expected : 20;  // arrivals of each phase
  std::uint64_t pending : 20;   // arrivals this phase still waits for
  std::int64_t bytes : 21;      // announced and not yet copied: below zero when the copy came first
};
static_assert(sizeof(Word) == sizeof(std::uint64_t));

Word load(const std::uint64_t* barrier, const char* operation) {
  const Fiber* fiber = current();
  if (fiber) {
    if (reinterpret_cast<std::uintptr_t>(barrier) % 8 || !in_shared_memory(*fiber->block, barrier, 8))
      fail("ERROR", name_of(*fiber) + ": " + operation + " on a barrier that is not in its block's shared memory");
  }
  const Word word = std::bit_cast<Word>(*barrier);
  if (word.mark != 1) {
    if (fiber)
      fail("ERROR",
           name_of(*fiber) + ": " + operation + " on an mbarrier that was not initialised (or was overwritten)");
    return Word{};  // a copy landed on it: the waiting threads will say so
  }
  return word;
}

void store(std::uint64_t* barrier, Word word) {
  if (!word.pending && !word.bytes) {
    word.phase ^= 1;
    word.pending = word.expected;
    progressed();
  }
  *barrier = std::bit_cast<std::uint64_t>(word);
}

// TSan's handle of a phase: those who wait for it see what its arrivals have done.
void* sync_of(std::uint64_t* barrier, unsigned phase) { return reinterpret_cast<char*>(barrier) + phase; }

bool phase_over(std::uint64_t* barrier, unsigned parity, const char* operation) {
  if (load(barrier, operation).phase == (parity & 1)) return false;
  acquire(sync_of(barrier, parity & 1));
  return true;
}

}  // namespace

void arrive_on(std::uint64_t* barrier, unsigned count, unsigned bytes, const char* operation) {
  Word word = load(barrier, operation);
  if (count > word.pending)
    fail("ERROR", std::string(operation) + ": one arrival too many in this phase of an mbarrier that expects " +
                      std::to_string(unsigned(word.expected)));
  if (word.bytes + std::int64_t(bytes) > kMostBytes)
    fail("ERROR", std::string(operation) + ": more than 2^20 - 1 bytes are pending");
  release(sync_of(barrier, word.phase));
  word.bytes += bytes;
  word.pending -= count;
  store(barrier, word);
}

void expect_one_more(std::uint64_t* barrier) {
  Word word = load(barrier, "cp.async.mbarrier.arrive");
  word.pending += 1;
  *barrier = std::bit_cast<std::uint64_t>(word);
}

void bytes_copied(std::uint64_t* barrier, unsigned bytes) {
  Word word = std::bit_cast<Word>(*barrier);
  if (word.mark != 1) return;  // overwritten since: whoever waits on it says so
  release(sync_of(barrier, word.phase));
  word.bytes -= bytes;
  store(barrier, word);
}

}  // namespace simt::engine

namespace simt {

using namespace engine;

void mbarrier_init(std::uint64_t* barrier, unsigned arrivals, Location) {
  if (reinterpret_cast<std::uintptr_t>(barrier) % 8 || !in_shared_memory(*current()->block, barrier, 8))
    fail("ERROR", name_of(*current()) + ": mbarrier.init outside its block's shared memory");
  if (!arrivals || arrivals > kMostArrivals)
    fail("ERROR", "mbarrier.init with " + std::to_string(arrivals) + " arrivals");
  Word word{};
  word.mark = 1;
  word.expected = word.pending = arrivals;
  *barrier = std::bit_cast<std::uint64_t>(word);
}

void mbarrier_invalidate(std::uint64_t* barrier, Location) {
  load(barrier, "mbarrier.inval");
  *barrier = ~std::uint64_t(0);
}

void mbarrier_arrive(std::uint64_t* barrier, unsigned count, Location) {
  arrive_on(barrier, count, 0, "mbarrier.arrive");
}

void mbarrier_expect_tx(std::uint64_t* barrier, unsigned bytes, Location) {
  arrive_on(barrier, 0, bytes, "mbarrier.expect_tx");
}

void mbarrier_arrive_expect_tx(std::uint64_t* barrier, unsigned bytes, Location) {
  arrive_on(barrier, 1, bytes, "mbarrier.arrive.expect_tx");
}

bool mbarrier_test_wait(std::uint64_t* barrier, unsigned parity, Location) {
  return phase_over(barrier, parity, "mbarrier.test_wait");
}

bool mbarrier_try_wait(std::uint64_t* barrier, unsigned parity, Location) {
  if (phase_over(barrier, parity, "mbarrier.try_wait")) return true;
  yield();
  return phase_over(barrier, parity, "mbarrier.try_wait");
}

}  // namespace simt
