// A value with the error an implementation is allowed, and what may then be stored.
//
// The library computes elements in float32. One rounding moves a result by at most kHalfUlp of itself (or kTiny, below
// float32's normal range), so a bound here is a count of roundings times the magnitudes that passed through them. The
// counts are written beside each formula and carry one or two to spare, for products of errors and for scalars that are
// computed in double and rounded to float32 once.
#pragma once

#include "rounding.h"

namespace oracle {

using Real = long double;

inline constexpr Real kHalfUlp = 0x1p-24L;  // float32, relative
inline constexpr Real kTiny = 0x1p-149L;    // float32, absolute: the smallest subnormal

// The sum of squares: at most 8 fused additions into an accumulator, 10 levels of the tree over accumulators, all terms
// of one sign, then doubles. Relative to the sum.
inline constexpr Real kNormRoundings = 19;

struct Bounded {
  Real value = 0;
  Real error = 0;
};

// Whether a stored value is what some value within the bound rounds to. Rounding is monotone, so it must lie between
// the two ends rounded: for 16-bit types that leaves one value nearly always, two where the bound spans a tie.
inline bool may_be_stored(int32_t dtype, const Bounded& expected, double stored) {
  if (std::isnan(expected.value)) return std::isnan(stored);
  if (std::isinf(expected.value)) return stored == static_cast<double>(expected.value);
  if (std::isnan(stored)) return false;
  const Real low = round_to(dtype, expected.value - expected.error);
  const Real high = round_to(dtype, expected.value + expected.error);
  return low <= stored && stored <= high;
}

}  // namespace oracle
