// The fused multiply-add of float32 for processors without an instruction for it. libm's fmaf would be a function call
// for every element, and computes it in software.
#pragma once

// LAYERWISE_PORTABLE_FUSED: as on processors without SSE2, for their test.
#if defined(__SSE2__) && !defined(LAYERWISE_PORTABLE_FUSED)
#define LAYERWISE_SSE2_FUSED
#include <emmintrin.h>
#endif

#include "numerics/ieee.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// The compiler's vector types, in sizes that every processor has registers for.
using FourFloats = float __attribute__((vector_size(16)));
using DoublePair = double __attribute__((vector_size(16)));
using BitsPair = uint64_t __attribute__((vector_size(16)));
using FloatPair = float __attribute__((vector_size(8)));
using FourWords = int32_t __attribute__((vector_size(16)));

// a*b + c for float32 values, rounded to odd: truncated, with the last bit set if anything was cut off. Rounding that
// to float32 gives the correctly rounded result, ties included (Boldo and Melquiond, "Emulation of a FMA and correctly
// rounded sums: proved algorithms using rounding to odd", 2008). Rounding to nearest twice would not.
LAYERWISE_INLINE DoublePair fused_to_odd(DoublePair a, DoublePair b, DoublePair c) {
  const DoublePair product = a * b;  // exact: 48 bits
  const DoublePair sum = product + c;
  // The exact rounding error of the sum (Knuth's two-sum). It is NaN if anything is infinite: no error to correct then.
  const DoublePair rounded_c = sum - product;
  const DoublePair lost = (product - (sum - rounded_c)) + (c - rounded_c);
  const BitsPair bits = bit_cast<BitsPair>(sum);
  const BitsPair inexact = bit_cast<BitsPair>((lost > 0) | (lost < 0)) >> 63;
  const BitsPair away = (bits ^ bit_cast<BitsPair>(lost)) >> 63;  // rounded away from zero: other sign
  return bit_cast<DoublePair>((bits - (away & inexact)) | inexact);
}

#if defined(LAYERWISE_SSE2_FUSED)
// Of the vector types' conversions g++ 12 makes scalar ones, through memory: a fused multiply-add takes 1.5 times as long.
LAYERWISE_INLINE DoublePair low_doubles(FourFloats a) { return _mm_cvtps_pd(a); }
LAYERWISE_INLINE DoublePair high_doubles(FourFloats a) { return _mm_cvtps_pd(_mm_movehl_ps(a, a)); }
LAYERWISE_INLINE FourFloats to_floats(DoublePair low, DoublePair high) {
  return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
}
LAYERWISE_INLINE bool any(FourWords lanes) { return _mm_movemask_ps(bit_cast<__m128>(lanes)) != 0; }
LAYERWISE_INLINE FourFloats smaller(FourFloats a, FourFloats b) { return _mm_min_ps(a, b); }
#else
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
LAYERWISE_INLINE FourFloats smaller(FourFloats a, FourFloats b) { return a < b ? a : b; }
#endif

// Lanes whose double lies exactly between two float32, as far as its lower half shows.
LAYERWISE_INLINE FourWords like_ties(DoublePair low, DoublePair high) {
  const FourWords lower = __builtin_shufflevector(bit_cast<FourWords>(low), bit_cast<FourWords>(high), 0, 2, 4, 6);
  return (lower << 3) == INT32_MIN;
}

// Lanes where one of two results is zero, subnormal or the least normal number, to which a subnormal may have been
// rounded up. If b is NaN so is the smaller of the two, which is not above anything.
LAYERWISE_INLINE FourWords not_normal(FourFloats a, FourFloats b) {
  constexpr int32_t kMagnitude = INT32_MAX;
  const FourFloats least = smaller(bit_cast<FourFloats>(bit_cast<FourWords>(a) & kMagnitude),
                                   bit_cast<FourFloats>(bit_cast<FourWords>(b) & kMagnitude));
  constexpr float kLeastNormal = 0x1p-126f;
  return ~(least > kLeastNormal);
}

// Whether rounding one of these sums from double to float32 may differ from rounding the exact sum. That takes a double
// that looks like a tie between two float32, or a subnormal result, whose ties look different. The code assumes little
// endian, which all processors that need this function are.
LAYERWISE_INLINE bool may_round_twice(DoublePair low, DoublePair high) {
  const FourWords magnitudes =
      __builtin_shufflevector(bit_cast<FourWords>(low), bit_cast<FourWords>(high), 1, 3, 5, 7) & 0x7fffffff;
  constexpr int32_t kLeastNormal = 0x38100000;  // the upper half of 2^-126
  // A sum of zero is exact: the range of double reaches far below every product of float32 values.
  return any(like_ties(low, high) | ((magnitudes > 0) & (magnitudes < kLeastNormal)));
}

// Two registers side by side. One alone waits for its own results: a conversion, a product, a sum, a conversion, each
// several cycles. On a Zen 3 an element of novograd_step takes a third less time with two.
struct EightFloats {
  FourFloats low, high;
};

// Not inlined, since it is long and rarely needed.
[[gnu::noinline, gnu::cold]] inline EightFloats fused_by_odd(EightFloats a, EightFloats b, EightFloats c) {
  const auto four = [](FourFloats x, FourFloats y, FourFloats z) {
    return to_floats(fused_to_odd(low_doubles(x), low_doubles(y), low_doubles(z)),
                     fused_to_odd(high_doubles(x), high_doubles(y), high_doubles(z)));
  };
  return {four(a.low, b.low, c.low), four(a.high, b.high, c.high)};
}

// a*b + c, rounded once. Rounding twice gives the same result except for about one sum in some hundred million, so the
// exact path is rarely taken. The first question is the cheaper one, and also answers yes where a result is zero.
LAYERWISE_INLINE EightFloats fused(EightFloats a, EightFloats b, EightFloats c) {
  const DoublePair first = low_doubles(a.low) * low_doubles(b.low) + low_doubles(c.low);
  const DoublePair second = high_doubles(a.low) * high_doubles(b.low) + high_doubles(c.low);
  const DoublePair third = low_doubles(a.high) * low_doubles(b.high) + low_doubles(c.high);
  const DoublePair fourth = high_doubles(a.high) * high_doubles(b.high) + high_doubles(c.high);
  const EightFloats rounded = {to_floats(first, second), to_floats(third, fourth)};
  const FourWords doubted = like_ties(first, second) | like_ties(third, fourth) | not_normal(rounded.low, rounded.high);
  if (__builtin_expect(any(doubted), false) && (may_round_twice(first, second) || may_round_twice(third, fourth)))
    return fused_by_odd(a, b, c);
  return rounded;
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
