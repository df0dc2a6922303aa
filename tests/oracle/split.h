// A float32 in two halves, from the header's words: the nearest bfloat16, a tie going away from zero, and the low 16
// bits.
#pragma once

#include "rounding.h"

namespace oracle {

struct Halves {
  uint16_t weight, remainder;
};

// By value: the two bfloat16 that x lies between are its upper bits and the next pattern, whichever is nearer.
inline Halves split_of(float x) {
  if (std::isnan(x)) return {0x7fff, 0};
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint16_t toward_zero = static_cast<uint16_t>(bits >> 16), low = static_cast<uint16_t>(bits & 0xffff);
  if (low == 0) return {toward_zero, 0};
  // The gap is 65536 of the float32's own units.
  return {static_cast<uint16_t>(low < 32768 ? toward_zero : toward_zero + 1), low};
}

inline float joined(uint16_t weight, uint16_t remainder) {
  const uint32_t upper = remainder >= 32768 ? weight - 1u : weight;
  const uint32_t bits = upper * 65536u + remainder;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace oracle
