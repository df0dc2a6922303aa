// The fused multiply-add of float32, for processors without one: libm's is a call for each element, and where the
// processor has no instruction for it works in software.
#pragma once

#include "numerics/ieee.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// The compiler's own vectors, of what every processor has registers for.
using FourFloats = float __attribute__((vector_size(16)));
using DoublePair = double __attribute__((vector_size(16)));
using BitsPair = uint64_t __attribute__((vector_size(16)));
using FloatPair = float __attribute__((vector_size(8)));
using FourWords = int32_t __attribute__((vector_size(16)));

// a*b + c of values that are float32, exact but for one rounding to odd: truncated, and made odd where that lost any.
// Rounding that to float32 is as rounding once, ties included (Boldo and Melquiond, "Emulation of a FMA and correctly
// rounded sums: proved algorithms using rounding to odd", 2008), which rounding to nearest twice is not.
LAYERWISE_INLINE DoublePair fused_to_odd(DoublePair a, DoublePair b, DoublePair c) {
  const DoublePair product = a * b;  // exact: 48 bits
  const DoublePair sum = product + c;
  // What the sum lost, exactly (Knuth's two-sum). NaN where anything is infinite, which has lost nothing.
  const DoublePair rounded_c = sum - product;
  const DoublePair lost = (product - (sum - rounded_c)) + (c - rounded_c);
  const BitsPair bits = bit_cast<BitsPair>(sum);
  const BitsPair inexact = bit_cast<BitsPair>((lost > 0) | (lost < 0)) >> 63;
  const BitsPair away = (bits ^ bit_cast<BitsPair>(lost)) >> 63;  // rounded away from zero: the loss has the other sign
  return bit_cast<DoublePair>((bits - (away & inexact)) | inexact);
}

LAYERWISE_INLINE DoublePair low_doubles(FourFloats a) {
  return __builtin_convertvector(__builtin_shufflevector(a, a, 0, 1), DoublePair);
}
LAYERWISE_INLINE DoublePair high_doubles(FourFloats a) {
  return low_doubles(__builtin_shufflevector(a, a, 2, 3, 2, 3));
}
LAYERWISE_INLINE FourFloats to_floats(DoublePair low, DoublePair high) {
  return __builtin_shufflevector(__builtin_convertvector(low, FloatPair), __builtin_convertvector(high, FloatPair), 0, 1,
                                 2, 3);
}
LAYERWISE_INLINE bool any(FourWords lanes) {
  const BitsPair halves = bit_cast<BitsPair>(lanes);
  return (halves[0] | halves[1]) != 0;
}

// Whether one of these sums, rounded to the nearest double, may be another float32 than the exact sum: where it looks
// like a tie of two float32, and where the result is subnormal, whose ties look otherwise. Processors that come here
// store the lower half of a double first.
LAYERWISE_INLINE bool may_round_twice(DoublePair low, DoublePair high) {
  const FourWords of_low = bit_cast<FourWords>(low), of_high = bit_cast<FourWords>(high);
  const FourWords last_places = __builtin_shufflevector(of_low, of_high, 0, 2, 4, 6) & 0x1fffffff;
  const FourWords magnitudes = __builtin_shufflevector(of_low, of_high, 1, 3, 5, 7) & 0x7fffffff;
  constexpr int32_t kTie = 0x10000000, kLeastNormal = 0x38100000;  // the upper half of 2^-126
  // A sum that is zero is so exactly: doubles reach far below every product of float32.
  return any((last_places == kTie) | ((magnitudes > 0) & (magnitudes < kLeastNormal)));
}

// Called, not inlined: rare, and long.
[[gnu::noinline]] inline FourFloats fused_by_odd(FourFloats a, FourFloats b, FourFloats c) {
  return to_floats(fused_to_odd(low_doubles(a), low_doubles(b), low_doubles(c)),
                   fused_to_odd(high_doubles(a), high_doubles(b), high_doubles(c)));
}

// a*b + c, rounded once. Two roundings are one but for a sum in some hundred millions. On a Zen 4 1.0 ns an element
// instead of 1.6; most of it are the conversions.
LAYERWISE_INLINE FourFloats fused(FourFloats a, FourFloats b, FourFloats c) {
  const DoublePair low = low_doubles(a) * low_doubles(b) + low_doubles(c);
  const DoublePair high = high_doubles(a) * high_doubles(b) + high_doubles(c);
  if (__builtin_expect(may_round_twice(low, high), false)) return fused_by_odd(a, b, c);
  return to_floats(low, high);
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
