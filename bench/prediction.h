// How long a CUDA step takes: its blocks and warps on their SMs, event by event, with what they wait for (kernels.h)
// and a memory that serves them in turn at the copy's rate. Predicted: no GPU has said it.
#pragma once

#include <vector>

#include "cuda/worklist.h"
#include "dtypes.h"
#include "kernels.h"

namespace bench {

// What is stepped, on what.
struct Setting {
  Op op;
  const layerwise::Layout& layout;
  ElementBytes bytes;
  const Gpu& gpu;
  Kernels kernels;
  Latencies latencies;
};

// Blocks an SM holds of a one-pass kernel, room for tiles in each, and the work list that follows.
struct OnePassPlan {
  int blocks, slots;
  bool holds_weights;
  const layerwise::OnePassList& list;
};

// Microseconds of a step, its launches included; of half a step, its one launch.
double predict_two_passes(const Setting& setting);
double predict_one_pass(const Setting& setting, const OnePassPlan& plan);

// Of the L2 cache, what a reversed second pass finds the first one's reads in. An A100's and an H100's L2 has two
// halves, each of which may keep a copy of what its SMs read. All else that a step loads and stores leaves the cache
// first.
inline constexpr double kCacheShare = 0.5;
inline int64_t cached_bytes(const Gpu& gpu) {
  return static_cast<int64_t>(kCacheShare * static_cast<double>(gpu.l2_bytes));
}

}  // namespace bench
