// What a test says to the harness: the seed, the pretended GPU, simulated failures, and what happened.
// Host code only; needs no CUDA header but the runtime's error codes.
#pragma once

#include <driver_types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace simt {

enum class Order {
  kBySeed,          // the seed draws one of the others
  kAnyThread,       // uniformly among all threads that can run
  kLastReadyFirst,  // a stack: a warp runs far ahead of the others
  kFirstReadyFirst  // a queue: lanes of a warp run one after the other
};

struct Options {
  int devices = 1;        // 0: cudaGetDeviceCount reports that there is none
  int sms = 4;            // SIMT_SMS
  int blocks_per_sm = 2;  // SIMT_BLOCKS_PER_SM; at most sms * blocks_per_sm blocks run at a time
  int compute_capability = 90;
  int compiled_for = 0;            // what kernels say that they were compiled for; 0: the compute capability
  bool cooperative_launch = true;  // what the device attribute says
  bool capturing = false;  // streams are being captured: a cooperative launch that is too large is accepted, and then fatal
  Order order = Order::kBySeed;
  bool strict_exit = true;    // leaving a kernel while others wait at __syncthreads is an error
  std::int64_t patience = 0;  // steps without any thread meeting another before a livelock is reported; 0: default
  bool source_lines = true;   // in reports; finding them takes addr2line a moment
  std::size_t stack_bytes = 64 << 10;  // of one CUDA thread
};

Options& options();

// Every scheduling decision follows from the seed and the number of launches since it was set.
void set_seed(std::uint64_t seed);
std::uint64_t seed();

// for (std::uint64_t seed : simt::seeds(200)) ...   sets each seed as it reaches it.
// SIMT_SEED=n leaves only n, which is how a failure is repeated; SIMT_SEEDS=n replaces the count.
class Seeds {
 public:
  class Iterator {
   public:
    explicit Iterator(std::uint64_t at) : at_(at) {}
    std::uint64_t operator*() const {
      set_seed(at_);
      return at_;
    }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    std::uint64_t at_;
  };
  Seeds(std::uint64_t first, std::uint64_t last) : first_(first), last_(last) {}
  Iterator begin() const { return Iterator(first_); }
  Iterator end() const { return Iterator(last_); }
  std::uint64_t size() const { return last_ - first_; }

 private:
  std::uint64_t first_, last_;
};
Seeds seeds(std::uint64_t count);

// Text of the last failed launch (also on stderr); empty after a good one.
const std::string& last_report();

// From now on the call number `after` (0: the next one) of this runtime function fails with `code`,
// once. "launch" stands for every kind of kernel launch.
void fail_call(const char* function, cudaError_t code, int after = 0);

// How often a runtime function was called since reset(): a step must neither allocate nor synchronise.
int calls(const char* function);

// Device allocations not freed yet, streams and events not destroyed yet.
std::size_t live_allocations();
std::size_t live_handles();

// Options, simulated failures, call counts, the current device and the last error as in a new process.
// Allocations stay.
void reset();

// TSan's reports so far. Any makes the process fail in the end; ASan and UBSan end it at once.
int sanitizer_reports();

struct Statistics {
  std::uint64_t launches, threads, switches, preemptions, barriers, warp_operations, copies;
  double seconds;  // in launches
};
Statistics& statistics();

}  // namespace simt
