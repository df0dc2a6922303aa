// The storage dtypes, in one list that generates their constants, sizes and names, and the conversions between each of
// them and float32. Stores round to nearest, ties to even, and do not saturate.
#pragma once

#include "numerics/ieee.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace layerwise {

struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
};
// The low 16 bits of a float32 whose upper half is stored as a bfloat16.
struct remainder16 {
  uint16_t bits;
};

// X(enumerator, C++ type, number in the C ABI, name)
#define LAYERWISE_DTYPES(X)             \
  X(kFloat32, float, 1, "float32")      \
  X(kBfloat16, bfloat16, 2, "bfloat16") \
  X(kFloat16, float16, 3, "float16")    \
  X(kFloat64, double, 4, "float64")     \
  X(kRemainder16, remainder16, 5, "remainder16")

enum class Dtype : int32_t {
  kNone = 0,
#define LAYERWISE_ENUMERATOR(enumerator, type, number, name) enumerator = number,
  LAYERWISE_DTYPES(LAYERWISE_ENUMERATOR)
#undef LAYERWISE_ENUMERATOR
};

inline namespace LAYERWISE_ISA {

LAYERWISE_INLINE constexpr int64_t size_of(Dtype dtype) {
  switch (dtype) {
#define LAYERWISE_SIZE(enumerator, type, number, name) \
  case Dtype::enumerator:                              \
    return sizeof(type);
    LAYERWISE_DTYPES(LAYERWISE_SIZE)
#undef LAYERWISE_SIZE
    case Dtype::kNone:
      break;
  }
  return 0;
}

inline constexpr const char* name_of(Dtype dtype) {
  switch (dtype) {
#define LAYERWISE_NAME(enumerator, type, number, name) \
  case Dtype::enumerator:                              \
    return name;
    LAYERWISE_DTYPES(LAYERWISE_NAME)
#undef LAYERWISE_NAME
    case Dtype::kNone:
      break;
  }
  return "none";
}

// Calls visitor.operator()<T>() for the dtype of an element buffer: float32, bfloat16 or float16.
template <class Visitor>
inline auto visit_element_dtype(Dtype dtype, Visitor&& visitor) {
  if (dtype == Dtype::kBfloat16) return visitor.template operator()<bfloat16>();
  if (dtype == Dtype::kFloat16) return visitor.template operator()<float16>();
  return visitor.template operator()<float>();
}

// The same for a first moment: float32 or bfloat16.
template <class Visitor>
inline auto visit_moment_dtype(Dtype dtype, Visitor&& visitor) {
  if (dtype == Dtype::kBfloat16) return visitor.template operator()<bfloat16>();
  return visitor.template operator()<float>();
}

// The dtype of an element of type T.
template <class T>
inline constexpr Dtype dtype_of() {
#define LAYERWISE_DTYPE_OF(enumerator, type, number, name) \
  if (std::is_same_v<T, type>) return Dtype::enumerator;
  LAYERWISE_DTYPES(LAYERWISE_DTYPE_OF)
#undef LAYERWISE_DTYPE_OF
  return Dtype::kNone;
}

// The first moment's dtype in test builds with LAYERWISE_PAIRWISE_DTYPES. Compiling all 18 combinations would take too
// long, so these builds have 9: one for each pair of weights and gradients, chosen so that every dtype of the moment
// still occurs together with every dtype of either.
inline constexpr Dtype pairwise_moment(Dtype weights, Dtype grads) {
  const int sum = static_cast<int>(weights) + static_cast<int>(grads);
  return sum == 2 * static_cast<int>(Dtype::kBfloat16) ? Dtype::kBfloat16 : Dtype::kFloat32;
}

LAYERWISE_INLINE float load(float x) { return x; }
LAYERWISE_INLINE float load(bfloat16 x) { return bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

#if defined(__CUDA_ARCH__)
LAYERWISE_INLINE float load(float16 x) { return __half2float(__ushort_as_half(x.bits)); }
LAYERWISE_INLINE void store(bfloat16& to, float x) { to.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x)); }
LAYERWISE_INLINE void store(float16& to, float x) { to.bits = __half_as_ushort(__float2half_rn(x)); }
#else
// Without branches, so that the compiler can vectorise loops over them.
LAYERWISE_INLINE float load(float16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t shifted = static_cast<uint32_t>(x.bits & 0x7fffu) << 13;
  const uint32_t normal = shifted + (112u << 23);
  const uint32_t infinite = shifted + (224u << 23);
  // A subnormal is its mantissa times 2^-24. Placing the mantissa below the bits of 2^-14 and then subtracting 2^-14
  // normalizes it.
  const uint32_t subnormal = bit_cast<uint32_t>(bit_cast<float>(shifted + (113u << 23)) - bit_cast<float>(113u << 23));
  const uint32_t magnitude = shifted < 0x00800000u ? subnormal : shifted >= 0x0f800000u ? infinite : normal;
  return bit_cast<float>(magnitude | sign);
}

LAYERWISE_INLINE uint32_t bfloat16_bits(float x) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return nan ? 0x7fffu : rounded;
}
LAYERWISE_INLINE void store(bfloat16& to, float x) { to.bits = static_cast<uint16_t>(bfloat16_bits(x)); }

LAYERWISE_INLINE void store(float16& to, float x) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Below 2^-14, adding 1/2 rounds to a multiple of 2^-24, which is the spacing of the subnormals.
  const uint32_t subnormal = bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - bit_cast<uint32_t>(0.5f);
  const uint32_t special = magnitude > 0x7f800000u ? 0x7fffu : 0x7c00u;
  // 65520 and everything above rounds to infinity.
  const uint32_t half = magnitude < (113u << 23) ? subnormal : magnitude < 0x477ff000u ? normal : special;
  to.bits = static_cast<uint16_t>(half | sign);
}
#endif
LAYERWISE_INLINE void store(float& to, float x) { to = x; }

// Adds 16 random bits below the bfloat16's last place and truncates: the closer x is to the upper neighbour, the more
// often it rounds up, so the result is correct on average.
LAYERWISE_INLINE void store_stochastic(bfloat16& to, float x, uint32_t word) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  bfloat16 nearest;
  store(nearest, x);
  const bool is_number = (bits & 0x7fffffffu) < 0x7f800000u;
  to.bits = is_number ? static_cast<uint16_t>((bits + (word & 0xffffu)) >> 16) : nearest.bits;
}

// Splits a float32 into a bfloat16, rounded with ties away from zero, and its low 16 bits. The top bit of the low half
// tells whether the bfloat16 was rounded up, so load_split can undo it exactly. NaN becomes the canonical NaN.
LAYERWISE_INLINE void store_split(bfloat16& high, remainder16& low, float x) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  high.bits = static_cast<uint16_t>(nan ? 0x7fffu : (bits + 0x8000u) >> 16);
  low.bits = static_cast<uint16_t>(nan ? 0u : bits);
}
LAYERWISE_INLINE float load_split(bfloat16 high, remainder16 low) {
  const uint32_t upper = static_cast<uint32_t>(high.bits) - (low.bits >> 15);
  return bit_cast<float>((upper << 16) | low.bits);
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
