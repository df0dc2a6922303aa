// The dtypes of a benchmark's buffers, and values to fill them with.
#pragma once

#include <cstdint>
#include <string>

#include "layerwise.h"
#include "numerics/dtype.h"
#include "traffic.h"

namespace bench {

struct BufferDtypes {
  int32_t weights, grads, moment;
  int32_t copy = LAYERWISE_DTYPE_NONE;  // of the weights, in low precision
};

inline int element_bytes(int32_t dtype) {
  return static_cast<int>(layerwise::size_of(static_cast<layerwise::Dtype>(dtype)));
}
inline ElementBytes element_bytes(const BufferDtypes& dtypes) {
  return {element_bytes(dtypes.weights), element_bytes(dtypes.grads), element_bytes(dtypes.moment),
          element_bytes(dtypes.copy)};
}

inline std::string short_name(int32_t dtype) {
  return dtype == LAYERWISE_DTYPE_FLOAT32 ? "f32" : dtype == LAYERWISE_DTYPE_BFLOAT16 ? "bf16" : "f16";
}
// Weights, gradients, moment; a copy of the weights stands behind them.
inline std::string short_name(const BufferDtypes& dtypes) {
  std::string name = short_name(dtypes.weights);
  if (dtypes.copy != LAYERWISE_DTYPE_NONE) name.append("+").append(short_name(dtypes.copy));
  return name + "/" + short_name(dtypes.grads) + "/" + short_name(dtypes.moment);
}

inline constexpr int32_t kF32 = LAYERWISE_DTYPE_FLOAT32, kBf16 = LAYERWISE_DTYPE_BFLOAT16,
                         kF16 = LAYERWISE_DTYPE_FLOAT16;
inline constexpr BufferDtypes kFull{kF32, kF32, kF32}, kMasters{kF32, kBf16, kF32}, kAllBf16{kBf16, kBf16, kBf16},
    kHalf{kF16, kF16, kF32}, kCopied{kF32, kBf16, kF32, kBf16};

// Element i of a buffer: uniform between -amplitude and amplitude, never 0, a function of seed and i alone.
inline float value_at(uint32_t seed, int64_t i, float amplitude) {
  uint32_t x = static_cast<uint32_t>(i) * 0x9e3779b1u ^ static_cast<uint32_t>(static_cast<uint64_t>(i) >> 32) ^ seed;
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  x ^= x >> 16;
  return amplitude * (static_cast<float>(static_cast<int32_t>(x | 1u)) * 0x1p-31f);
}

// Elements first, first + 1, ... of a buffer, count of them, written from `to` on.
template <class T>
void fill_values(T* to, int64_t first, int64_t count, uint32_t seed, float amplitude) {
  for (int64_t i = 0; i < count; ++i) layerwise::store(to[i], value_at(seed, first + i, amplitude));
}

inline void fill_values(void* to, int32_t dtype, int64_t first, int64_t count, uint32_t seed, float amplitude) {
  layerwise::visit_element_dtype(static_cast<layerwise::Dtype>(dtype),
                                 [&]<class T>() { fill_values(static_cast<T*>(to), first, count, seed, amplitude); });
}

inline void* element_address(void* buffer, int32_t dtype, int64_t element) {
  return static_cast<char*>(buffer) + element * element_bytes(dtype);
}

}  // namespace bench
