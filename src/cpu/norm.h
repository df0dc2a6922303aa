// The norm of a tile, as 8 rows of 1024 accumulators. A tile that is not full is summed in blocks of columns: all rows
// of a block are added in registers, the lowest levels of the tree reduce the block to one register, and the levels
// above reduce those. A full tile is summed row by row, in memory order.
#pragma once

#include <type_traits>

#include "cpu/fetch.h"
#include "cpu/lanes.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// The type of a register of accumulators.
template <class Reduction>
using LanesOf = std::conditional_t<std::is_same_v<typename Reduction::Accumulator, float>, Floats, Words>;

// One level of the tree: the one that reduces kRegisters registers to one.
template <class Reduction, int kRegisters, class Lanes>
LAYERWISE_INLINE Lanes combine_neighbours(Lanes a, Lanes b) {
  return Reduction::combine(evens<kRegisters>(a, b), odds<kRegisters>(a, b));
}

// Neighbouring accumulators in a power of two of registers. A recursive struct instead of an array, which g++ would
// keep in memory; there its stores would queue up behind the stores of the preceding update, which wait for the cache.
// That was measured to cost 150 to 250 ns per layer of 4000 elements.
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

// Sums the block that starts at this column, over all rows.
template <class Reduction, class Fetching, class T, class... By>
LAYERWISE_BLOCK_FUNCTION LanesOf<Reduction> sum_block(const T* tile, int64_t column, int64_t count, Fetching beside,
                                                      By... by) {
  Accumulators<Reduction, kBlockElements / kLanes> sums = {};
  beside.first_row(column);
  int64_t at = column;
  for (; at + kBlockElements <= count; at += kAccumulators) {
    beside.block(at);
    sums.add(tile + at, by...);
  }
  if (at < count) sums.add_first(count - at, tile + at, by...);
  return sums.combined();
}

// Sums a power of two of columns. Columns without elements are +0, which does not change any sum.
template <class Reduction, int kColumns, class Fetching, class T, class... By>
LAYERWISE_INLINE LanesOf<Reduction> sum_columns(const T* tile, int64_t column, int64_t count, Fetching beside,
                                                By... by) {
  if constexpr (kColumns == kBlockElements) {
    return sum_block<Reduction>(tile, column, count, beside, by...);
  } else {
    constexpr int kHalf = kColumns / 2;
    const auto first = sum_columns<Reduction, kHalf>(tile, column, count, beside, by...);
    LanesOf<Reduction> second = {};
    if (column + kHalf < count)
      second = sum_columns<Reduction, kHalf>(tile, column + kHalf, count, beside, by...);
    return combine_neighbours<Reduction, kColumns / kLanes>(first, second);
  }
}

template <class Reduction, class Fetching, class T, class... By>
LAYERWISE_INLINE typename Reduction::Accumulator sum_part(const T* tile, int64_t count, Fetching beside, By... by) {
  constexpr int kPart = kAccumulators / 4;
  LanesOf<Reduction> parts[4] = {};
  for (int part = 0; part < 4 && part * kPart < count; ++part)
    parts[part] = sum_columns<Reduction, kPart>(tile, part * kPart, count, beside, by...);
  constexpr int kRegisters = kAccumulators / kLanes;
  const auto low = combine_neighbours<Reduction, kRegisters / 2>(parts[0], parts[1]);
  const auto high = combine_neighbours<Reduction, kRegisters / 2>(parts[2], parts[3]);
  auto sums = in_order(combine_neighbours<Reduction, kRegisters>(low, high));
  for (int width = kLanes; width > 1; width /= 2) sums = in_order(combine_neighbours<Reduction, 2>(sums, sums));
  return first_lane(sums);
}

// The accumulators of a tile that is summed row by row; they are in memory.
struct RowAccumulators {
  alignas(64) float sums[kAccumulators];
};
// Two of them, placed so that the sums of one column are not a multiple of 4 KB apart. Otherwise 4K aliasing could
// occur: the processor takes a load to depend on the last store, until it has compared the full addresses. Measured on
// a Zen 4: in one of ten processes it cost a fifth of the speed.
struct TwoRowAccumulators {
  RowAccumulators first;
  char apart[sizeof(RowAccumulators) / 2];
  RowAccumulators second;
};
// Adds elements to the accumulators, one register after the other in memory order.
template <class Reduction, class T>
class RowSums {
 public:
  RowSums(const T* tile, RowAccumulators& rows) : tile_(tile), sums_(rows.sums) {}

  template <class Count>
  LAYERWISE_INLINE void add(int64_t at, Count count) const {
    float* const sums = sums_ + at % kAccumulators;
    const auto before = at < kAccumulators ? LanesOf<Reduction>() : bit_cast<LanesOf<Reduction>>(load_lanes(sums));
    store_lanes(sums, bit_cast<Floats>(Reduction::accumulate(before, load_lanes(tile_ + at, count))));
  }

 private:
  const T* const tile_;
  float* const sums_;
};
template <class T>
LAYERWISE_INLINE RowSums<SquareSum, T> row_squares(const T* tile, RowAccumulators& rows) {
  return {tile, rows};
}
template <class Reduction>
inline typename Reduction::Accumulator sum_of(const RowAccumulators& rows) {
  struct Rows : Reduction {
    static LAYERWISE_INLINE auto accumulate(LanesOf<Reduction>, Floats sum) {
      return bit_cast<LanesOf<Reduction>>(sum);
    }
  };
  return sum_part<Rows>(rows.sums, kAccumulators, NothingBeside());
}

// The sum of a tile in double. If it left the safe range of float32, the tile is summed again from scaled elements.
template <class Reduction, class T>
LAYERWISE_INLINE double widened(typename Reduction::Accumulator sum, const T* tile, int64_t count) {
  if (Reduction::in_range(sum)) return Reduction::widen(sum);
  const Rescale by = Reduction::rescale(sum);
  return Reduction::widen(sum_part<Reduction>(tile, count, NothingBeside(), by), by);
}

template <class Reduction, class T>
[[gnu::noinline]] typename Reduction::Accumulator sum_whole_tile(const T* tile) {
  RowAccumulators rows;
  const RowSums<Reduction, T> sums(tile, rows);
  for (int64_t at = 0; at < kTileElements; at += kLanes) sums.add(at, AllLanes());
  return sum_of<Reduction>(rows);
}

template <class Reduction, class T>
double tile_norm(const void* address, int64_t count, const Beside& beside) {
  const T* const tile = static_cast<const T*>(address);
  const auto sum = count == kTileElements ? sum_whole_tile<Reduction>(tile)
                   : count <= kShort      ? sum_part<Reduction>(tile, count, NothingBeside())
                                          : sum_part<Reduction>(tile, count, beside);
  return widened<Reduction>(sum, tile, count);
}

// The squared norms of two full tiles at once. A core gets more bandwidth from two streams than from one. Measured on
// two cores of a Zen 4 with layers of a million elements: it saves 7 % of novograd_step, where both tiles belong to one
// layer, and 16 % of larc_sgd_step. Four streams are slower than one.
template <class A, class B>
void tile_norms(const void* first, const void* second, double& first_norm, double& second_norm) {
  const A* const a = static_cast<const A*>(first);
  const B* const b = static_cast<const B*>(second);
  TwoRowAccumulators rows;
  const auto sums_of_a = row_squares(a, rows.first);
  const auto sums_of_b = row_squares(b, rows.second);
  for (int64_t at = 0; at < kTileElements; at += kLanes) {
    sums_of_a.add(at, AllLanes());
    sums_of_b.add(at, AllLanes());
  }
  first_norm = widened<SquareSum>(sum_of<SquareSum>(rows.first), a, kTileElements);
  second_norm = widened<SquareSum>(sum_of<SquareSum>(rows.second), b, kTileElements);
}

// The squared norm of a tile that was summed by rows; false if it left the safe range of float32.
inline bool norm_of(const RowAccumulators& rows, double& norm) {
  const float sum = sum_of<SquareSum>(rows);
  norm = SquareSum::widen(sum);
  return SquareSum::in_range(sum);
}

using Norm = double (*)(const void* elements, int64_t count, const Beside& beside);
using TwoNorms = void (*)(const void* first, const void* second, double& first_norm, double& second_norm);

inline Norm norm_for(Dtype dtype, bool infinity_norm) {
  return visit_element_dtype(dtype, [&]<class T>() -> Norm {
    return infinity_norm ? &tile_norm<LargestMagnitude, T> : &tile_norm<SquareSum, T>;
  });
}
inline TwoNorms norms_for(Dtype first, Dtype second) {
  return visit_element_dtype(first, [&]<class A>() {
    return visit_element_dtype(second, [&]<class B>() -> TwoNorms { return &tile_norms<A, B>; });
  });
}

LAYERWISE_INLINE double reduce(double* sums, int64_t tiles, bool infinity_norm) {
  return infinity_norm ? reduce_sums<LargestMagnitude>(sums, tiles) : reduce_sums<SquareSum>(sums, tiles);
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
