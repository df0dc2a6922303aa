// The loops that convert a tile between the stored format and the float32 values that a step works with.
#pragma once

#include "cpu/lanes.h"
#include "numerics/step.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

inline void load_weights(const void* high, const void* low, float* to, int64_t count) {
  const bfloat16* const weights = static_cast<const bfloat16*>(high);
  const remainder16* const remainders = static_cast<const remainder16*>(low);
  for (int64_t i = 0; i < count; ++i) to[i] = load_split(weights[i], remainders[i]);
}

inline void store_weights(const float* from, void* high, void* low, int64_t count) {
  bfloat16* const __restrict__ weights = static_cast<bfloat16*>(high);
  remainder16* const __restrict__ remainders = static_cast<remainder16*>(low);
  for (int64_t i = 0; i < count; ++i) store_split(weights[i], remainders[i], from[i]);
}

// Between float32 and the dtype that a buffer has.
template <class T>
inline void widen_tile(const void* from, float* to, int64_t count) {
  const T* const stored = static_cast<const T*>(from);
  for (int64_t at = 0; at < count; at += kLanes) store_lanes(to + at, load_lanes(stored + at, count - at), count - at);
}
template <class T>
inline void narrow_tile(const float* from, void* to, int64_t count) {
  T* const stored = static_cast<T*>(to);
  for (int64_t at = 0; at < count; at += kLanes)
    store_lanes(stored + at, load_lanes(from + at, count - at), count - at);
}
inline void widen(const void* from, Dtype dtype, float* to, int64_t count) {
  visit_element_dtype(dtype, [&]<class T>() { widen_tile<T>(from, to, count); });
}
inline void narrow(const float* from, void* to, Dtype dtype, int64_t count) {
  visit_element_dtype(dtype, [&]<class T>() { narrow_tile<T>(from, to, count); });
}

// The random words of a block of neighbouring elements; `first` is a multiple of kRandomQuad. Laid out so that the
// compiler computes the rounds of many counters at once.
inline constexpr int kRandomBlock = 64;
LAYERWISE_INLINE void fill_random(const RandomKey& key, int64_t first, uint32_t* words) {
  constexpr int kQuads = kRandomBlock / kRandomQuad;
  uint32_t of_quads[kRandomQuad][kQuads];
  for (int quad = 0; quad < kQuads; ++quad) {
    const RandomWords random = random_words(key, first / kRandomQuad + quad);
    of_quads[0][quad] = random.word[0];
    of_quads[1][quad] = random.word[1];
    of_quads[2][quad] = random.word[2];
    of_quads[3][quad] = random.word[3];
  }
  for (int quad = 0; quad < kQuads; ++quad)
    for (int e = 0; e < kRandomQuad; ++e) words[quad * kRandomQuad + e] = of_quads[e][quad];
}

// first is the index of the tile's first element in the whole layer, in a shard not always a multiple of kRandomQuad.
inline void store_moments(const float* __restrict__ from, void* to, int64_t count, const RandomKey& given,
                          int64_t first) {
  uint16_t* const __restrict__ bits = static_cast<uint16_t*>(to);
  const RandomKey key = given;
  const int shift = static_cast<int>(first % kRandomQuad);
  for (int64_t begin = 0; begin < count; begin += kRandomBlock) {
    alignas(64) uint32_t random[kRandomBlock + kRandomQuad];
    fill_random(key, first - shift + begin, random);
    if (shift) {
      const RandomWords behind = random_words(key, (first + begin) / kRandomQuad + kRandomBlock / kRandomQuad);
      for (int e = 0; e < kRandomQuad; ++e) random[kRandomBlock + e] = behind.word[e];
    }
    const uint32_t* const words = random + shift;
    const int64_t left = count - begin;
    const int here = left < kRandomBlock ? static_cast<int>(left) : kRandomBlock;
    for (int i = 0; i < here; ++i) {
      bfloat16 rounded;
      store_stochastic(rounded, from[begin + i], words[i]);
      bits[begin + i] = rounded.bits;
    }
  }
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
