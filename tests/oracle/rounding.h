// What a value becomes when it is stored: float32, bfloat16, float16 and float64 by arithmetic on the value alone.
// Written from the IEEE 754 definition (nearest multiple of the last place, ties to even, overflow to infinity),
// slowly, so that a fast conversion has something to be held against.
#pragma once

#include <layerwise.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace oracle {

struct Format {
  int bytes;
  int precision;     // bits of the significand, the leading one included
  int min_exponent;  // of the smallest normal number
  int max_exponent;  // of the largest finite number
};

inline Format format_of(int32_t dtype) {
  switch (dtype) {
    case LAYERWISE_DTYPE_BFLOAT16:
      return {2, 8, -126, 127};
    case LAYERWISE_DTYPE_FLOAT16:
      return {2, 11, -14, 15};
    case LAYERWISE_DTYPE_FLOAT64:
      return {8, 53, -1022, 1023};
    case LAYERWISE_DTYPE_REMAINDER16:  // a whole number: load and store know it
      return {2, 16, 0, 15};
    default:
      return {4, 24, -126, 127};
  }
}

inline const char* dtype_name(int32_t dtype) {
  switch (dtype) {
    case LAYERWISE_DTYPE_NONE:
      return "none";
    case LAYERWISE_DTYPE_FLOAT32:
      return "float32";
    case LAYERWISE_DTYPE_BFLOAT16:
      return "bfloat16";
    case LAYERWISE_DTYPE_FLOAT16:
      return "float16";
    case LAYERWISE_DTYPE_FLOAT64:
      return "float64";
    case LAYERWISE_DTYPE_REMAINDER16:
      return "remainder16";
  }
  return "unknown";
}

// 2^n, for any n of any format. From a table: most tests round more numbers than they do anything else.
inline long double power_of_two(int n) {
  constexpr int kLargest = 1100;
  static const auto powers = [] {
    std::array<long double, 2 * kLargest + 1> all;
    for (int i = -kLargest; i <= kLargest; ++i) all[static_cast<size_t>(i + kLargest)] = std::ldexp(1.0L, i);
    return all;
  }();
  return powers[static_cast<size_t>(n + kLargest)];
}

// The exponent of the last place that numbers of x's magnitude have in the format, were it without a largest one.
inline int last_place(const Format& format, long double x) {
  int exponent = format.min_exponent + 1;  // of a significand below 1, as frexp has it
  if (x != 0 && std::isfinite(x)) std::frexp(x, &exponent);
  return std::max(exponent - 1, format.min_exponent) - (format.precision - 1);
}

// The unit in that place.
inline long double spacing(int32_t dtype, long double x) { return power_of_two(last_place(format_of(dtype), x)); }

inline long double round_to(int32_t dtype, long double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  const Format format = format_of(dtype);
  const int place = last_place(format, x);
  if (place + format.precision - 1 > format.max_exponent) return std::copysign(INFINITY, x);
  const long double magnitude = std::fabs(x) * power_of_two(-place);  // exact, and below 2^precision
  const int64_t below = static_cast<int64_t>(magnitude);
  const long double rest = magnitude - static_cast<long double>(below);
  const bool up = rest > 0.5L || (rest == 0.5L && below % 2 == 1);
  const long double rounded = static_cast<long double>(up ? below + 1 : below) * power_of_two(place);
  if (rounded >= power_of_two(format.max_exponent + 1)) return std::copysign(INFINITY, x);
  return std::copysign(rounded, x);
}

// The bits of a value; it is rounded first. NaN is stored as a quiet one.
inline uint64_t encode(int32_t dtype, long double x) {
  const Format format = format_of(dtype);
  const int mantissa_bits = format.precision - 1;
  const int exponent_bits = format.bytes * 8 - format.precision;
  const uint64_t top_exponent = (uint64_t{1} << exponent_bits) - 1;
  const uint64_t sign = std::signbit(x) ? uint64_t{1} << (format.bytes * 8 - 1) : 0;
  if (std::isnan(x)) return (top_exponent << mantissa_bits) | (uint64_t{1} << (mantissa_bits - 1));
  const long double rounded = std::fabs(round_to(dtype, x));
  if (std::isinf(rounded)) return sign | (top_exponent << mantissa_bits);
  const int place = last_place(format, rounded);
  const uint64_t count = static_cast<uint64_t>(rounded * power_of_two(-place));  // units in the last place
  if (rounded < power_of_two(format.min_exponent)) return sign | count;
  const uint64_t exponent = static_cast<uint64_t>(place + mantissa_bits - format.min_exponent + 1);
  return sign | (exponent << mantissa_bits) | (count - (uint64_t{1} << mantissa_bits));
}

inline double decode(int32_t dtype, uint64_t bits) {
  const Format format = format_of(dtype);
  const int mantissa_bits = format.precision - 1;
  const int exponent_bits = format.bytes * 8 - format.precision;
  const uint64_t top_exponent = (uint64_t{1} << exponent_bits) - 1;
  const uint64_t mantissa = bits & ((uint64_t{1} << mantissa_bits) - 1);
  const uint64_t exponent = (bits >> mantissa_bits) & top_exponent;
  const bool negative = (bits >> (format.bytes * 8 - 1)) & 1;
  double magnitude;
  if (exponent == top_exponent)
    magnitude = mantissa ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  else if (exponent == 0)
    magnitude = static_cast<double>(static_cast<long double>(mantissa) * power_of_two(format.min_exponent - mantissa_bits));
  else
    magnitude = static_cast<double>(static_cast<long double>(mantissa + (uint64_t{1} << mantissa_bits)) *
                                    power_of_two(static_cast<int>(exponent) - 1 + format.min_exponent - mantissa_bits));
  return negative ? -magnitude : magnitude;
}

// Little-endian storage, as every machine this library runs on has it.
inline uint64_t load_bits(int32_t dtype, const void* from) {
  uint64_t bits = 0;
  std::memcpy(&bits, from, static_cast<size_t>(format_of(dtype).bytes));
  return bits;
}
inline double load(int32_t dtype, const void* from) {
  const uint64_t bits = load_bits(dtype, from);
  return dtype == LAYERWISE_DTYPE_REMAINDER16 ? static_cast<double>(bits) : decode(dtype, bits);
}
inline void store(int32_t dtype, void* to, long double x) {
  const uint64_t bits = dtype == LAYERWISE_DTYPE_REMAINDER16 ? static_cast<uint64_t>(x) : encode(dtype, x);
  std::memcpy(to, &bits, static_cast<size_t>(format_of(dtype).bytes));
}

}  // namespace oracle
