// The squared norm of a layer, bit for bit, by the summation order of the bit contract: written from its words, one
// operation after the other, so that vectorised and parallel code has something plain to be equal to.
//
//   A tile is 8192 consecutive elements. Element i of a tile goes to float32 accumulator i mod 1024 by fma; the
//   accumulators meet in an adjacent-pair tree. A tile sum that is infinite or NaN is summed again with elements times
//   2^-80, one below 2^-80 with elements times 2^100. Tile sums are doubles. In a group of 256 tiles lane j of 32 adds
//   tiles j, j+32, ... to +0 in order, an absent tile being +0, and the lanes meet in an adjacent-pair tree; group sums
//   are reduced by the same rule until one remains.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace oracle {

// Adjacent pairs, level by level: ((0+1)+(2+3))+((4+5)+(6+7)) ...
template <class T>
T adjacent_pairs(std::vector<T> values) {
  while (values.size() > 1) {
    std::vector<T> halves;
    for (size_t i = 0; i < values.size(); i += 2) halves.push_back(values[i] + values[i + 1]);
    values = halves;
  }
  return values[0];
}

inline float scaled_tile_sum(const std::vector<float>& elements, size_t begin, size_t end, float scale) {
  std::vector<float> accumulators(1024, 0.0f);
  for (size_t i = begin; i < end; ++i) {
    const float x = elements[i] * scale;
    float& accumulator = accumulators[(i - begin) % 1024];
    accumulator = std::fma(x, x, accumulator);
  }
  return adjacent_pairs(accumulators);
}

inline double tile_sum(const std::vector<float>& elements, size_t begin, size_t end) {
  const float sum = scaled_tile_sum(elements, begin, end, 1.0f);
  if (!std::isfinite(sum)) return std::ldexp(static_cast<double>(scaled_tile_sum(elements, begin, end, 0x1p-80f)), 160);
  if (sum < 0x1p-80f) return std::ldexp(static_cast<double>(scaled_tile_sum(elements, begin, end, 0x1p100f)), -200);
  return sum;
}

inline double squared_norm(const std::vector<float>& elements) {
  std::vector<double> sums;
  for (size_t begin = 0; begin < elements.size(); begin += 8192)
    sums.push_back(tile_sum(elements, begin, std::min(begin + 8192, elements.size())));
  if (sums.empty()) return 0;
  do {  // a single sum goes through a group too: lane 0 adds it to +0
    std::vector<double> groups;
    for (size_t group = 0; group < sums.size(); group += 256) {
      std::vector<double> lanes(32, 0.0);
      for (size_t tile = group; tile < std::min(group + 256, sums.size()); ++tile)
        lanes[(tile - group) % 32] += sums[tile];
      groups.push_back(adjacent_pairs(lanes));
    }
    sums = groups;
  } while (sums.size() > 1);
  return sums[0];
}

}  // namespace oracle
