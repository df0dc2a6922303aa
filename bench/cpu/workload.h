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
};

// Bytes of memory a case needs.
int64_t memory_bytes(const Case& row);

// Steps and plain loops in turn until the seconds are over.
Measurement measure(const Case& row, double seconds);

}  // namespace bench
