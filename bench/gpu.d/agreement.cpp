#include "gpu.d/agreement.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "dtypes.h"

namespace bench {
namespace {

uint64_t bits_at(const void* values, int size, int64_t i) {
  uint64_t bits = 0;
  std::memcpy(&bits, static_cast<const char*>(values) + i * size, static_cast<size_t>(size));
  return bits;
}

bool is_nan(int32_t dtype, uint64_t bits) {
  switch (dtype) {
    case LAYERWISE_DTYPE_FLOAT64:
      return (bits & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
    case LAYERWISE_DTYPE_FLOAT32:
      return (bits & 0x7fffffffu) > 0x7f800000u;
    case LAYERWISE_DTYPE_BFLOAT16:
      return (bits & 0x7fffu) > 0x7f80u;
    default:
      return (bits & 0x7fffu) > 0x7c00u;
  }
}

int64_t first_other_bits(int32_t dtype, const void* a, const void* b, int64_t count) {
  const int size = element_bytes(dtype);
  if (std::memcmp(a, b, static_cast<size_t>(count * size)) == 0) return -1;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t left = bits_at(a, size, i), right = bits_at(b, size, i);
    if (left != right && !(is_nan(dtype, left) && is_nan(dtype, right))) return i;
  }
  return -1;
}

// A float32 sum of tens of millions of squares, some ten thousand of them in a chain, is right to about 1e-5; ten times
// that is allowed, of the value or of the gradients' amplitude, whichever is more. A 16-bit result may then be the
// neighbour of the CPU's, at most 2^-7 of it away. In float32 a term left out of a step of lr 1 is 50 times the bound.
constexpr double kOfFloat32 = 1e-4, kOfSixteenBits = 0x1p-7, kSmall = 0.01;

template <class T>
int64_t first_other_value(const T* a, const T* b, int64_t count, double share) {
  const auto value = [](const T& x) {
    if constexpr (std::is_same_v<T, double>)
      return x;
    else
      return static_cast<double>(layerwise::load(x));
  };
  for (int64_t i = 0; i < count; ++i) {
    const double right = value(b[i]);
    // Bits too: what neither wrote is a pattern that may be any number, or none.
    if (std::abs(value(a[i]) - right) <= share * std::max(std::abs(right), kSmall)) continue;
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0) return i;
  }
  return -1;
}

int64_t first_other_value(int32_t dtype, const void* a, const void* b, int64_t count) {
  if (dtype == LAYERWISE_DTYPE_FLOAT64)
    return first_other_value(static_cast<const double*>(a), static_cast<const double*>(b), count, kOfFloat32);
  return layerwise::visit_element_dtype(static_cast<layerwise::Dtype>(dtype), [&]<class T>() {
    return first_other_value(static_cast<const T*>(a), static_cast<const T*>(b), count,
                             sizeof(T) == 2 ? kOfSixteenBits : kOfFloat32);
  });
}

}  // namespace

int64_t first_difference(Agreement agreement, int32_t dtype, const void* device, const void* cpu, int64_t count) {
  return agreement == Agreement::kSameBits ? first_other_bits(dtype, device, cpu, count)
                                           : first_other_value(dtype, device, cpu, count);
}

std::string describe(const char* buffer, int64_t layer, int64_t element, int32_t dtype, const void* device,
                     const void* cpu, int64_t i) {
  char text[200];
  std::snprintf(text, sizeof text, "%s, layer %lld, element %lld: bits %llx on the device, %llx on the CPU", buffer,
                static_cast<long long>(layer), static_cast<long long>(element),
                static_cast<unsigned long long>(bits_at(device, element_bytes(dtype), i)),
                static_cast<unsigned long long>(bits_at(cpu, element_bytes(dtype), i)));
  return text;
}

}  // namespace bench
