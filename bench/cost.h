// The cost model of a CUDA step: what each path moves, and how long it takes (prediction.h). What a one-pass step holds
// is the library's own work list; what an op reads and writes is traffic.h's.
#pragma once

#include <vector>

#include "backend.h"
#include "dtypes.h"
#include "kernels.h"

namespace bench {

// Bytes of all elements.
struct PathCost {
  int64_t bytes = 0;         // that the kernels ask for
  int64_t memory_bytes = 0;  // without those that L2 serves
};

struct StepCost {
  PathCost two_pass;  // of half a step: its one launch
  PathCost one_pass;  // all 0 where the device has no room for a tile, and of half a step
  int64_t elements = 0;
  int64_t held_elements = 0;   // read from memory once by the one-pass step: their gradients,
  bool holds_weights = false;  // and where the norms read them their weights
  bool chooses_one_pass = false;
};

// Of layers one behind the other.
layerwise::Layout packed(const std::vector<int64_t>& sizes);

// path: as in layerwise_plan_options, 0 or LAYERWISE_PATH_ONE_PASS.
StepCost cost_of(Op op, const std::vector<int64_t>& sizes, const BufferDtypes& dtypes, const Gpu& gpu, int32_t path = 0);

// Predicted microseconds of a step; of half a step, its one launch, as two passes.
struct StepTime {
  double two_pass = 0;
  double one_pass = 0;  // 0 where StepCost has none
};

// times: how much longer everything but the launches takes than the tables say, 1 to kLatest.
StepTime time_of(Op op, const std::vector<int64_t>& sizes, const BufferDtypes& dtypes, const Gpu& gpu, int32_t path = 0,
                 const Kernels& kernels = kKernels, double times = 1);
StepTime time_of(Op op, const std::vector<int64_t>& sizes, const BufferDtypes& dtypes, const Gpu& gpu, int32_t path,
                 const Kernels& kernels, const Latencies& latencies);

// All bytes that a step must move, once, at the rate of a copy.
double floor_us(Op op, const std::vector<int64_t>& sizes, const BufferDtypes& dtypes, const Gpu& gpu);

}  // namespace bench
