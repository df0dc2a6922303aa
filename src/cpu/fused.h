// The fused multiply-add of float32 for processors without an instruction for it. libm's fmaf would be a function call
// for every element, and computes it in software.
#pragma once

// LAYERWISE_PORTABLE: as on processors without SSE2, for their test.
#if defined(__SSE2__) && !defined(LAYERWISE_PORTABLE)
#define LAYERWISE_USES_SSE2
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

#if defined(LAYERWISE_USES_SSE2)
// Of the vector types' conversions g++ 12 makes scalar ones, through memory: a fused multiply-add takes 1.5 times as long.
LAYERWISE_INLINE DoublePair low_doubles(FourFloats a) { return _mm_cvtps_pd(a); }
LAYERWISE_INLINE DoublePair high_doubles(FourFloats a) { return _mm_cvtps_pd(_mm_movehl_ps(a, a)); }
LAYERWISE_INLINE FourFloats to_floats(DoublePair low, DoublePair high) {
  return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
}
LAYERWISE_INLINE bool any(FourWords lanes) { return _mm_movemask_ps(bit_cast<__m128>(lanes)) != 0; }
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
#endif

// The lower and the upper words of doubles, if the processor is little endian, as all are that run this.
LAYERWISE_INLINE FourWords lower_words(DoublePair low, DoublePair high) {
  return __builtin_shufflevector(bit_cast<FourWords>(low), bit_cast<FourWords>(high), 0, 2, 4, 6);
}
LAYERWISE_INLINE FourWords upper_words(DoublePair low, DoublePair high) {
  return __builtin_shufflevector(bit_cast<FourWords>(low), bit_cast<FourWords>(high), 1, 3, 5, 7);
}

// Whether rounding one of these sums from double to float32 may differ from rounding the exact sum. That takes a double
// that looks like a tie between two float32, or a subnormal result, whose ties look different.
LAYERWISE_INLINE bool may_round_twice(DoublePair low, DoublePair high) {
  const FourWords last_places = lower_words(low, high) & 0x1fffffff, magnitudes = upper_words(low, high) & 0x7fffffff;
  constexpr int32_t kTie = 0x10000000, kLeastNormal = 0x38100000;  // the upper half of 2^-126
  // A sum of zero is exact: the range of double reaches far below every product of float32 values.
  return any((last_places == kTie) | ((magnitudes > 0) & (magnitudes < kLeastNormal)));
}

// A quicker question, whose answer is yes wherever that of may_round_twice is: whether one of the doubles ends in 28
// zeros, as every tie does, subnormal ones included, and every sum that is a float32.
LAYERWISE_INLINE bool any_ends_in_zeros(DoublePair first, DoublePair second, DoublePair third, DoublePair fourth) {
  const FourWords low = lower_words(first, second) << 4, high = lower_words(third, fourth) << 4;
#if defined(LAYERWISE_USES_SSE2)
  // Saturates, so that nothing but 0 becomes 0.
  const __m128i words = _mm_packs_epi32(bit_cast<__m128i>(low), bit_cast<__m128i>(high));
  return _mm_movemask_epi8(_mm_cmpeq_epi16(words, _mm_setzero_si128())) != 0;
#else
  return any((low == 0) | (high == 0));
#endif
}

// Not inlined, since it is long and rarely needed.
[[gnu::noinline, gnu::cold]] inline FourFloats fused_by_odd(FourFloats a, FourFloats b, FourFloats c) {
  return to_floats(fused_to_odd(low_doubles(a), low_doubles(b), low_doubles(c)),
                   fused_to_odd(high_doubles(a), high_doubles(b), high_doubles(c)));
}

// Two registers side by side. One alone waits for its own results: a conversion, a product, a sum, a conversion, each
// several cycles. On a Zen 3 an update of NovoGrad takes a third less time with two.
struct EightFloats {
  FourFloats low, high;
};
struct EightDoubles {
  DoublePair first, second, third, fourth;
};

// The factor of a fused multiply-add may be one for all lanes.
LAYERWISE_INLINE EightFloats eight_floats(EightFloats a) { return a; }
LAYERWISE_INLINE EightFloats eight_floats(float a) { return {FourFloats{a, a, a, a}, FourFloats{a, a, a, a}}; }
LAYERWISE_INLINE EightDoubles eight_doubles(EightFloats a) {
  return {low_doubles(a.low), high_doubles(a.low), low_doubles(a.high), high_doubles(a.high)};
}
LAYERWISE_INLINE EightDoubles eight_doubles(float a) {
  const DoublePair pair = {a, a};
  return {pair, pair, pair, pair};
}
LAYERWISE_INLINE bool is_zero(EightFloats) { return false; }
LAYERWISE_INLINE bool is_zero(float a) { return a == 0; }

// a*b + c, rounded once. Rounding twice gives the same result except for about one sum in some hundred million, so the
// exact path is rarely taken. A factor of 0, as weight decay often is, leaves c, which needs no second question.
template <class Factor>
LAYERWISE_INLINE EightFloats fused(Factor a, EightFloats b, EightFloats c) {
  const EightDoubles x = eight_doubles(a), y = eight_doubles(b), z = eight_doubles(c);
  const DoublePair first = x.first * y.first + z.first, second = x.second * y.second + z.second;
  const DoublePair third = x.third * y.third + z.third, fourth = x.fourth * y.fourth + z.fourth;
  if (__builtin_expect(any_ends_in_zeros(first, second, third, fourth), false) && !is_zero(a) &&
      (may_round_twice(first, second) || may_round_twice(third, fourth))) {
    const EightFloats factor = eight_floats(a);
    return {fused_by_odd(factor.low, b.low, c.low), fused_by_odd(factor.high, b.high, c.high)};
  }
  return {to_floats(first, second), to_floats(third, fourth)};
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
