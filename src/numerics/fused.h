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

// a*b + c, rounded once.
LAYERWISE_INLINE FourFloats fused(FourFloats a, FourFloats b, FourFloats c) {
  const DoublePair low = fused_to_odd(DoublePair{a[0], a[1]}, DoublePair{b[0], b[1]}, DoublePair{c[0], c[1]});
  const DoublePair high = fused_to_odd(DoublePair{a[2], a[3]}, DoublePair{b[2], b[3]}, DoublePair{c[2], c[3]});
  return FourFloats{to_float(low[0]), to_float(low[1]), to_float(high[0]), to_float(high[1])};
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
