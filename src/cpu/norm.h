// A tile's norm. Each block of columns is summed down its rows in registers, meets in the first levels of the pair tree
// there, and leaves one register behind; those meet in the levels above.
#pragma once

#include <type_traits>

#include "cpu/fetch.h"
#include "cpu/lanes.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// What a register of accumulators is.
template <class Reduction>
using LanesOf = std::conditional_t<std::is_same_v<typename Reduction::Accumulator, float>, Floats, Words>;

// The level of the tree on which so many registers become one.
template <class Reduction, int kRegisters, class Lanes>
LAYERWISE_INLINE Lanes combine_neighbours(Lanes a, Lanes b) {
  return Reduction::combine(evens<kRegisters>(a, b), odds<kRegisters>(a, b));
}

// Neighbouring accumulators, a power of two of registers. No array: g++ would keep one in memory, where its stores
// queue behind those of the update before, which wait for the cache. Measured: 150 to 250 ns a layer of 4000 elements.
template <class Reduction, int kRegisters>
struct Accumulators {
  Accumulators<Reduction, kRegisters / 2> low, high;
  static constexpr int kHalf = kLanes * kRegisters / 2;

  template <class T, class... By>
  LAYERWISE_INLINE void add(const T* elements, By... by) {
    low.add(elements, by...);
    high.add(elements + kHalf, by...);
  }
  template <class T, class... By>
  LAYERWISE_INLINE void add_first(int64_t count, const T* elements, By... by) {
    low.add_first(count, elements, by...);
    high.add_first(count - kHalf, elements + kHalf, by...);
  }
  LAYERWISE_INLINE LanesOf<Reduction> combined() const {
    return combine_neighbours<Reduction, kRegisters>(low.combined(), high.combined());
  }
};
template <class Reduction>
struct Accumulators<Reduction, 1> {
  LanesOf<Reduction> lanes;

  template <class T, class... By>
  LAYERWISE_INLINE void add(const T* elements, By... by) {
    lanes = Reduction::accumulate(lanes, load_lanes(elements), by...);
  }
  template <class T, class... By>
  LAYERWISE_INLINE void add_first(int64_t count, const T* elements, By... by) {
    lanes = Reduction::accumulate(lanes, load_lanes(elements, count), by...);
  }
  LAYERWISE_INLINE LanesOf<Reduction> combined() const { return lanes; }
};

// The block of columns from one on.
template <class Reduction, bool kWholeTile, class Fetching, class T, class... By>
LAYERWISE_INLINE LanesOf<Reduction> sum_block(const T* tile, int64_t column, int64_t count, Fetching beside, By... by) {
  Accumulators<Reduction, kBlockElements / kLanes> sums = {};
  beside.first_row(column);
  int64_t at = column;
  for (; at + kBlockElements <= (kWholeTile ? kTileElements : count); at += kAccumulators) {
    beside.block(at);
    sums.add(tile + at, by...);
  }
  if (!kWholeTile && at < count) sums.add_first(count - at, tile + at, by...);
  return sums.combined();
}

// A power of two of columns. Those without elements are +0, which changes nothing in the tree.
template <class Reduction, bool kWholeTile, int kColumns, class Fetching, class T, class... By>
LAYERWISE_INLINE LanesOf<Reduction> sum_columns(const T* tile, int64_t column, int64_t count, Fetching beside,
                                                By... by) {
  if constexpr (kColumns == kBlockElements) {
    return sum_block<Reduction, kWholeTile>(tile, column, count, beside, by...);
  } else {
    constexpr int kHalf = kColumns / 2;
    const auto first = sum_columns<Reduction, kWholeTile, kHalf>(tile, column, count, beside, by...);
    LanesOf<Reduction> second = {};
    if (kWholeTile || column + kHalf < count)
      second = sum_columns<Reduction, kWholeTile, kHalf>(tile, column + kHalf, count, beside, by...);
    return combine_neighbours<Reduction, kColumns / kLanes>(first, second);
  }
}

template <class Reduction, bool kWholeTile, class Fetching, class T, class... By>
LAYERWISE_INLINE typename Reduction::Accumulator sum_tile(const T* tile, int64_t count, Fetching beside, By... by) {
  constexpr int kPart = kAccumulators / 4;
  LanesOf<Reduction> parts[4] = {};
  for (int part = 0; part < 4 && part * kPart < count; ++part)
    parts[part] = sum_columns<Reduction, kWholeTile, kPart>(tile, part * kPart, count, beside, by...);
  constexpr int kRegisters = kAccumulators / kLanes;
  const auto low = combine_neighbours<Reduction, kRegisters / 2>(parts[0], parts[1]);
  const auto high = combine_neighbours<Reduction, kRegisters / 2>(parts[2], parts[3]);
  auto sums = in_order(combine_neighbours<Reduction, kRegisters>(low, high));
  for (int width = kLanes; width > 1; width /= 2) sums = in_order(combine_neighbours<Reduction, 2>(sums, sums));
  return first_lane(sums);
}

template <class Reduction, class T, class... By>
typename Reduction::Accumulator accumulate_tile(const T* tile, int64_t count, const Beside& beside, By... by) {
  if (count == kTileElements)
    return sum_tile<Reduction, true>(tile, count, NextTileBeside<T>{tile + kTileElements}, by...);
  if (count <= kShort) return sum_tile<Reduction, false>(tile, count, NothingBeside(), by...);
  return sum_tile<Reduction, false>(tile, count, beside, by...);
}

template <class Reduction, class T>
double tile_norm(const void* address, int64_t count, const Beside& beside) {
  const T* tile = static_cast<const T*>(address);
  const auto sum = accumulate_tile<Reduction>(tile, count, beside);
  if (Reduction::in_range(sum)) return Reduction::widen(sum);
  const Rescale by = Reduction::rescale(sum);
  return Reduction::widen(accumulate_tile<Reduction>(tile, count, Beside(), by), by);
}

// A tile's rows, added a register at a time in the order in which they lie, by a loop with work of its own. The
// accumulators are in memory.
struct RowAccumulators {
  alignas(64) float sums[kAccumulators];
};
template <class T>
class RowSums {
 public:
  RowSums(const T* tile, RowAccumulators& rows) : tile_(tile), sums_(rows.sums) {}

  template <class Count>
  LAYERWISE_INLINE void add(int64_t at, Count count) const {
    float* const sums = sums_ + at % kAccumulators;
    const Floats before = at < kAccumulators ? Floats() : load_lanes(sums);
    store_lanes(sums, SquareSum::accumulate(before, load_lanes(tile_ + at, count)));
  }

 private:
  const T* const tile_;
  float* const sums_;
};
// The squared norm of a tile of more than one row; false where it left float32's comfortable range.
inline bool norm_of(const RowAccumulators& rows, double& norm) {
  struct Rows : SquareSum {
    static LAYERWISE_INLINE Floats accumulate(Floats, Floats sum) { return sum; }
  };
  const float sum = sum_tile<Rows, false>(rows.sums, kAccumulators, NothingBeside());
  norm = SquareSum::widen(sum);
  return SquareSum::in_range(sum);
}

using Norm = double (*)(const void* elements, int64_t count, const Beside& beside);

inline Norm norm_for(Dtype dtype, bool infinity_norm) {
  return visit_element_dtype(dtype, [&]<class T>() -> Norm {
    return infinity_norm ? &tile_norm<LargestMagnitude, T> : &tile_norm<SquareSum, T>;
  });
}

LAYERWISE_INLINE double reduce(double* sums, int64_t tiles, bool infinity_norm) {
  return infinity_norm ? reduce_sums<LargestMagnitude>(sums, tiles) : reduce_sums<SquareSum>(sums, tiles);
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
