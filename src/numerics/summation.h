// The order in which the norm of a layer is summed. It depends only on the size of the layer, so the bits of a norm do
// not depend on threads, vector width, grid or machine:
//
//   - A tile is 8192 consecutive elements of one layer. Element i of a tile goes to float32 accumulator i mod 1024, by
//     fma, in order of i; the accumulators meet in an adjacent-pair tree.
//   - If a tile's sum leaves the safe range of float32, it is summed again from scaled elements. Tile sums are doubles.
//   - Sums are reduced in groups of 256: lane j of 32 adds the group's sums j, j+32, ... to +0 in order, and the lanes
//     meet in an adjacent-pair tree. Group sums are reduced by the same rule until one remains.
//
// The infinity norm walks the same tree with the maximum in place of the sum, over bit patterns, since a maximum of
// floats may drop NaN.
#pragma once

#include "numerics/dtype.h"

namespace layerwise {

// layerwise_numerics_version: must change whenever any result changes by a bit.
inline constexpr int32_t kNumericsVersion = 1;

inline constexpr int kTileElements = 8192;
inline constexpr int kAccumulators = 1024;
inline constexpr int kGroupTiles = 256;
inline constexpr int kGroupLanes = 32;

inline namespace LAYERWISE_ISA {

LAYERWISE_INLINE constexpr int64_t tiles_of(int64_t elements) {
  return elements / kTileElements + (elements % kTileElements != 0);
}
LAYERWISE_INLINE constexpr int64_t groups_of(int64_t sums) { return sums / kGroupTiles + (sums % kGroupTiles != 0); }

// The factor of the elements before they are squared, and the factor that undoes it in the sum.
struct Rescale {
  float element;
  double sum;
};

// The squared l2 norm. Sum and Float are floats or vector registers of floats.
struct SquareSum {
  using Accumulator = float;
  template <class Sum, class Float>
  static LAYERWISE_INLINE Sum accumulate(Sum sum, Float x) {
    return fma(x, x, sum);
  }
  template <class Sum, class Float>
  static LAYERWISE_INLINE Sum accumulate(Sum sum, Float x, Rescale by) {
    const auto scaled = mul(x, by.element);
    return fma(scaled, scaled, sum);
  }
  template <class Float>
  static LAYERWISE_INLINE Float combine(Float a, Float b) {
    return add(a, b);
  }
  static LAYERWISE_INLINE double widen(float tile_sum) { return static_cast<double>(tile_sum); }
  static LAYERWISE_INLINE double widen(float tile_sum, Rescale by) {
    return mul(static_cast<double>(tile_sum), by.sum);
  }

  static LAYERWISE_INLINE bool in_range(float tile_sum) { return tile_sum >= 0x1p-80f && tile_sum <= 0x1.fffffep127f; }
  // 2^-80 keeps 8192 squares of the largest float32 finite; 2^100 lifts the square of the smallest out of underflow.
  static LAYERWISE_INLINE Rescale rescale(float tile_sum) {
    return tile_sum < 0x1p-80f ? Rescale{0x1p100f, 0x1p-200} : Rescale{0x1p-80f, 0x1p160};
  }
  // The Rescale with this factor of the elements; 1 means unscaled.
  static LAYERWISE_INLINE Rescale scaled(float element) {
    return {element, element == 1 ? 1 : element > 1 ? 0x1p-200 : 0x1p160};
  }
};

// The infinity norm: the largest magnitude, compared as bit patterns.
struct LargestMagnitude {
  using Accumulator = uint32_t;
  template <class Word, class Float>
  static LAYERWISE_INLINE Word accumulate(Word largest, Float x) {
    return larger(largest, magnitude_bits(x));
  }
  template <class Word, class Float>
  static LAYERWISE_INLINE Word accumulate(Word largest, Float x, Rescale) {
    return accumulate(largest, x);
  }
  template <class Word>
  static LAYERWISE_INLINE Word combine(Word a, Word b) {
    return larger(a, b);
  }
  static LAYERWISE_INLINE double combine(double a, double b) {
    constexpr uint64_t magnitude = ~(uint64_t{1} << 63);
    return (bit_cast<uint64_t>(a) & magnitude) < (bit_cast<uint64_t>(b) & magnitude) ? b : a;
  }
  static LAYERWISE_INLINE double widen(uint32_t largest) { return static_cast<double>(bit_cast<float>(largest)); }
  static LAYERWISE_INLINE double widen(uint32_t largest, Rescale) { return widen(largest); }
  static LAYERWISE_INLINE bool in_range(uint32_t) { return true; }
  static LAYERWISE_INLINE Rescale rescale(uint32_t) { return {1.0f, 1.0}; }
  static LAYERWISE_INLINE Rescale scaled(float) { return {1.0f, 1.0}; }
};

template <class Reduction, class Value>
LAYERWISE_INLINE void combine_pairs(const Value* __restrict__ from, Value* __restrict__ to, int pairs) {
  for (int i = 0; i < pairs; ++i) to[i] = Reduction::combine(from[2 * i], from[2 * i + 1]);
}

// The adjacent-pair tree over count values, a power of two up to kGroupLanes. Overwrites them.
template <class Reduction, class Value>
LAYERWISE_INLINE Value pair_tree(Value* values, int count) {
  Value other[kGroupLanes / 2];
  Value *from = values, *to = other;  // two buffers, so that the compiler can vectorise a level
  for (int pairs = count / 2; pairs > 0; pairs /= 2) {
    combine_pairs<Reduction>(from, to, pairs);
    Value* const free = from;
    from = to;
    to = free;
  }
  return from[0];
}

// One group of at most 256 sums.
template <class Reduction>
inline double reduce_group(const double* sums, int64_t count) {
  double lanes[kGroupLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i % kGroupLanes] = Reduction::combine(lanes[i % kGroupLanes], sums[i]);
  return pair_tree<Reduction>(lanes, kGroupLanes);
}

// All sums of a layer, level by level, in place; 0 where there are none.
template <class Reduction>
inline double reduce_sums(double* sums, int64_t count) {
  if (count == 0) return 0;
  while (count > 1) {
    for (int64_t group = 0; group < groups_of(count); ++group) {
      const int64_t begin = group * kGroupTiles;
      sums[group] = reduce_group<Reduction>(sums + begin, count - begin < kGroupTiles ? count - begin : kGroupTiles);
    }
    count = groups_of(count);
  }
  return sums[0];
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
