// What the cross-backend tests run on: a real device, or the harness.
#pragma once

#include <cuda_runtime_api.h>

#include <catch2/catch_test_macros.hpp>

#include "../oracle/random_case.h"

#if defined(LAYERWISE_CROSS_SIMT)

#include "numerics/dtype.h"
#include "simt_test.h"

namespace cross {

inline bool has_pairwise_moment(const oracle::Layout& layout) {
  using layerwise::Dtype;
  const Dtype moment = pairwise_moment(static_cast<Dtype>(layout.weights), static_cast<Dtype>(layout.grads));
  return static_cast<Dtype>(layout.moment) == moment;
}

#if defined(SIMT_MODE_ASAN)  // has these kernels alone
inline constexpr int kDtypeCombinations = 9;
inline bool is_built(const oracle::Layout& layout) { return has_pairwise_moment(layout); }
inline bool is_among_every_dtype(const oracle::Layout& layout) { return has_pairwise_moment(layout); }
#elif defined(SIMT_MODE_TSAN)  // takes the other half: each has every pair of dtypes, both together every combination
inline constexpr int kDtypeCombinations = 9;
inline bool is_built(const oracle::Layout&) { return true; }
inline bool is_among_every_dtype(const oracle::Layout& layout) { return !has_pairwise_moment(layout); }
#else
inline constexpr int kDtypeCombinations = 18;
inline bool is_built(const oracle::Layout&) { return true; }
inline bool is_among_every_dtype(const oracle::Layout&) { return true; }
#endif

#if defined(SIMT_MODE_TSAN)  // the other two take every edge with every dtype
inline constexpr bool kOneTileEdgeACase = true;
inline constexpr uint64_t kRandomCases = 10;
inline constexpr int64_t kLargestLayer = 2000, kLargeLayer = 3 * 8192 + 5;
#elif defined(SIMT_MODE_ASAN)
inline constexpr bool kOneTileEdgeACase = false;
inline constexpr uint64_t kRandomCases = 40;
inline constexpr int64_t kLargestLayer = 8193, kLargeLayer = 17 * 8192 + 5;
#else
inline constexpr bool kOneTileEdgeACase = false;
inline constexpr uint64_t kRandomCases = 200;
inline constexpr int64_t kLargestLayer = 16385, kLargeLayer = 257 * 8192 + 5;
#endif

inline void skip_without_device() { simt::reset(); }

// Grids of one block, an odd number and many.
inline void shape_device(oracle::Random& random) {
  simt::set_seed(random.bits());
#if defined(SIMT_MODE_TSAN)  // whose clocks grow with the threads there are at once
  simt::options().sms = random.pick({1, 3});
  simt::options().blocks_per_sm = 1;
#else
  simt::options().sms = random.pick({1, 1, 3, 8});
  simt::options().blocks_per_sm = random.pick({1, 4});
#endif
}

// A thread of a kernel costs a hundred times what it costs a GPU.
inline void limit(oracle::Layout& layout) {
  if (layout.sizes.size() > 100) layout.sizes.resize(100), layout.offsets.clear();
  for (int64_t& size : layout.sizes) size = std::min(size, kLargestLayer);
  if (!is_built(layout))
    layout.moment = layout.moment == LAYERWISE_DTYPE_FLOAT32 ? LAYERWISE_DTYPE_BFLOAT16 : LAYERWISE_DTYPE_FLOAT32;
  const size_t layers = layout.sizes.size();
  if (!layout.mask.empty()) layout.mask.resize(layers);
  if (!layout.lr_mult.empty()) layout.lr_mult.resize(layers), layout.wd_mult.resize(layers), layout.skip_larc.resize(layers);
}

}  // namespace cross

#else

namespace cross {

inline constexpr bool kOneTileEdgeACase = false;
inline constexpr uint64_t kRandomCases = 300;
inline constexpr int64_t kLargeLayer = 257 * 8192 + 5;

inline void skip_without_device() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) SKIP("no CUDA device");
}
inline constexpr int kDtypeCombinations = 18;
inline bool is_among_every_dtype(const oracle::Layout&) { return true; }
inline void shape_device(oracle::Random&) {}
inline void limit(oracle::Layout&) {}

}  // namespace cross

#endif
