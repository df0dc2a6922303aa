// How a tile's moments are stored: rounded to nearest, or for bfloat16 with random bits.
#pragma once

#include "kernels/device.cuh"

namespace layerwise {

template <class M>
inline constexpr bool kMayBeRandom = cuda::std::is_same_v<M, bfloat16>;

// Moments stored to the nearest.
template <class M>
struct NearestMoments {
  static constexpr int kRowsAtOnce = kRowsInFlight;

  __device__ __forceinline__ void store_four(M* to, int i, const FloatQuad& m) const { store_quad(to + i, m); }
  __device__ __forceinline__ void store_some(M* to, int i, int count, const FloatQuad& m) const {
    store_elements(to, i, count, m);
  }
};

// bfloat16 moments stored with random bits.
struct RandomMoments {
  static constexpr int kRowsAtOnce = kRandomRowsInFlight;
  static_assert(kThreadElements == kRandomQuad);

  RandomKey key;
  int64_t first;  // of the tile, in its whole layer

  __device__ __forceinline__ void store_four(bfloat16* to, int i, const FloatQuad& m) const {
    store_stored(to + i, rounded(i, m));
  }
  __device__ __forceinline__ void store_some(bfloat16* to, int first, int count, const FloatQuad& m) const {
    const Quad<bfloat16> quad = rounded(first, m);
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i)
      if (first + i < count) to[first + i] = quad.element[i];
  }

 private:
  __device__ __forceinline__ Quad<bfloat16> rounded(int i, const FloatQuad& m) const {
    const RandomWords random = random_words_from(key, first + i);
    Quad<bfloat16> quad;
#pragma unroll
    for (int e = 0; e < kThreadElements; ++e) store_stochastic(quad.element[e], m.element[e], random.word[e]);
    return quad;
  }
};

}  // namespace layerwise
