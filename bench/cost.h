// The cost model of a CUDA step: what each path moves, and how long that takes. What a one-pass step holds is the
// library's own work list; what an op reads and writes is traffic.h's.
#pragma once

#include <vector>

#include "dtypes.h"
#include "gpus.h"

namespace bench {

// Of the L2 cache, what a reversed second pass finds the first one's reads in. An A100's and an H100's L2 has two halves,
// each of which may keep a copy of what its SMs read. All else that a step loads and stores leaves the cache first.
inline constexpr double kCacheShare = 0.5;

// Assumed, for small models where they are all there is. A kernel's launch from a graph; and from a pass's first load to
// its last store some 3 round trips to memory or L2, 0.7 us each, which nothing hides.
inline constexpr double kLaunchMicroseconds = 2.5, kPassMicroseconds = 2;

// Bytes of all elements.
struct PathCost {
  int64_t bytes = 0;         // that the kernels ask for
  int64_t memory_bytes = 0;  // without those that L2 serves
  double us = 0;             // memory_bytes at the copy rate, launches and latencies
};

struct StepCost {
  PathCost two_pass;  // of half a step: its one launch
  PathCost one_pass;  // all 0 where the device has no room for a tile, and of half a step
  int64_t elements = 0;
  int64_t held_elements = 0;   // read from memory once by the one-pass step: their gradients,
  bool holds_weights = false;  // and where the norms read them their weights
  bool chooses_one_pass = false;
};

// path: as in layerwise_plan_options, 0 or LAYERWISE_PATH_ONE_PASS.
StepCost cost_of(Op op, const std::vector<int64_t>& sizes, const BufferDtypes& dtypes, const Gpu& gpu, int32_t path = 0);

}  // namespace bench
