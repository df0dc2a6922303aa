// One row of the CPU benchmark: a step of one op on one model, timed in turn with the plain loop on the same arrays.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cpu/threads.h"
#include "step.h"

namespace bench {

struct Case {
  std::string suite;
  Op op = Op::kNovograd;
  std::string model;
  BufferDtypes dtypes{kF32, kF32, kF32};
  int32_t threads = 0;  // 0: one per core
  int32_t isa = LAYERWISE_ISA_AUTO;
  bool zero_grads = false;
};

struct Measurement {
  int64_t layers, elements, pairs;
  int32_t threads, isa;
  double step_us, plain_us;                  // medians
  double fastest_step_us, fastest_plain_us;  // what a machine busy with other things disturbed least
  double ratio, ratio_q1, ratio_q3;          // the plain loop's time over the step's, pair by pair: median, quartiles
  double share_of_allowance;                 // pair by pair: median; 0 without an allowance
};

// Bytes of memory a case needs.
int64_t memory_bytes(const Case& row);

// What a model of small layers may cost: its bytes at the rate that the plain loop reaches on a large model, and 100 ns a
// layer over the threads. The rate is taken again and again beside what it judges: the memory's share that a machine
// gets changes within seconds.
class Allowance {
 public:
  Allowance();
  ~Allowance();
  void measure_rate();
  double gb_per_s() const { return bytes_per_us_ / 1e3; }
  double us(int64_t bytes, int64_t layers, int threads) const;

 private:
  const std::unique_ptr<class Workload> large_;
  double bytes_per_us_ = 0;
};

// Steps and plain loops in turn until the seconds are over.
Measurement measure(const Case& row, double seconds, Allowance* allowance = nullptr);

}  // namespace bench
