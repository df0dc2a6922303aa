// How a tile's moments are stored: rounded to nearest, or for bfloat16 with random bits.
#pragma once

#include "kernels/device.cuh"

namespace layerwise {

template <class M>
struct MomentRounding {
  __device__ __forceinline__ MomentRounding(const StepBuffers&, const Tile&, uint32_t) {}
  __device__ __forceinline__ void store_four(M* to, int i, const FloatQuad& m) const { store_quad(to + i, m); }
  __device__ __forceinline__ void store_some(M* to, int i, int count, const FloatQuad& m) const {
    store_elements(to, i, count, m);
  }
};

template <>
struct MomentRounding<bfloat16> {
  const StepBuffers& buffers;
  const Tile& tile;
  uint32_t step;

  __device__ __forceinline__ MomentRounding(const StepBuffers& buffers, const Tile& tile, uint32_t step)
      : buffers(buffers), tile(tile), step(step) {}
  __device__ __forceinline__ void store_four(bfloat16* to, int i, const FloatQuad& m) const {
    if (buffers.stochastic_moment)
      __stcs(reinterpret_cast<uint2*>(to + i), bit_cast<uint2>(rounded(i, m)));
    else
      store_quad(to + i, m);
  }
  __device__ __forceinline__ void store_some(bfloat16* to, int first, int count, const FloatQuad& m) const {
    if (!buffers.stochastic_moment) return store_elements(to, first, count, m);
    const Quad<bfloat16> quad = rounded(first, m);
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i)
      if (first + i < count) to[first + i] = quad.element[i];
  }

 private:
  static_assert(kThreadElements == kRandomQuad);
  __device__ __forceinline__ Quad<bfloat16> rounded(int i, const FloatQuad& m) const {
    const RandomWords random = random_words(random_key(buffers, tile.layer, step), (tile.first + i) / kRandomQuad);
    Quad<bfloat16> quad;
#pragma unroll
    for (int e = 0; e < kThreadElements; ++e) store_stochastic(quad.element[e], m.element[e], random.word[e]);
    return quad;
  }
};

}  // namespace layerwise
