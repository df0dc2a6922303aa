// The weights of a tile, and what a plan keeps beside them: a low-precision copy of float32 weights, or the remainders
// of split ones, whose two halves are loaded and stored as the one float32.
#pragma once

#include "kernels/elements.cuh"

namespace layerwise {

// Which dtypes may have which: what else lies beside a buffer follows from its own.
template <class W>
inline constexpr bool kMayBeSplit = cuda::std::is_same_v<W, bfloat16>;
template <class W>
inline constexpr bool kMayHaveCopy = cuda::std::is_same_v<W, float>;

// The weights' low-precision copy, bfloat16 or float16: two bytes an element either way.
__device__ __forceinline__ void* extra_address(const DevicePlan& plan, const Tile& tile, void* buffer) {
  return buffer ? tile_address<uint16_t>(plan, tile, buffer) : nullptr;
}
__device__ __forceinline__ bool is_extra_aligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % sizeof(Quad<uint16_t>) == 0;
}
__device__ __forceinline__ void store_extra_quad(void* address, Dtype dtype, int first, const FloatQuad& values) {
  if (dtype == Dtype::kBfloat16)
    store_quad(static_cast<bfloat16*>(address) + first, values);
  else
    store_quad(static_cast<float16*>(address) + first, values);
}
__device__ __forceinline__ void store_extra_elements(void* address, Dtype dtype, int first, int count,
                                                     const FloatQuad& values) {
  if (dtype == Dtype::kBfloat16)
    store_elements(static_cast<bfloat16*>(address), first, count, values);
  else
    store_elements(static_cast<float16*>(address), first, count, values);
}

// Split weights, from both their buffers.
struct SplitElements {
  bfloat16* high;
  remainder16* low;

  __device__ __forceinline__ bool aligned() const { return is_aligned(high) && is_aligned(low); }
  template <class Policy>
  __device__ __forceinline__ FloatQuad load_four(int i) const {
    return joined(load_stored<Policy>(high + i), load_stored<Policy>(low + i));
  }
  __device__ __forceinline__ FloatQuad load_some(int first, int count) const {
    FloatQuad quad;
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i)
      quad.element[i] = first + i < count ? load_split(high[first + i], low[first + i]) : 0.0f;
    return quad;
  }
  __device__ __forceinline__ void store_four(int i, const FloatQuad& values) const {
    Quad<bfloat16> upper;
    Quad<remainder16> lower;
#pragma unroll
    for (int e = 0; e < kThreadElements; ++e) store_split(upper.element[e], lower.element[e], values.element[e]);
    store_stored(high + i, upper);
    store_stored(low + i, lower);
  }
  __device__ __forceinline__ void store_some(int first, int count, const FloatQuad& values) const {
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i)
      if (first + i < count) store_split(high[first + i], low[first + i], values.element[i]);
  }

 private:
  static __device__ __forceinline__ FloatQuad joined(const Quad<bfloat16>& upper, const Quad<remainder16>& lower) {
    FloatQuad quad;
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i) quad.element[i] = load_split(upper.element[i], lower.element[i]);
    return quad;
  }
};

// What an update reads and writes where weights are whole: with a low-precision copy where extra is not null.
template <class W>
struct WholeWeights {
  W* weights;
  void* extra;
  Dtype extra_dtype;

  template <class Policy>
  __device__ __forceinline__ FloatQuad load_four(int i) const {
    return load_quad<Policy>(weights + i);
  }
  __device__ __forceinline__ FloatQuad load_some(int i, int count) const { return load_elements(weights, i, count); }
  __device__ __forceinline__ void store_four(int i, const FloatQuad& values) const {
    store_quad(weights + i, values);
    if constexpr (kMayHaveCopy<W>)
      if (extra) store_extra_quad(extra, extra_dtype, i, values);
  }
  __device__ __forceinline__ void store_some(int i, int count, const FloatQuad& values) const {
    store_elements(weights, i, count, values);
    if constexpr (kMayHaveCopy<W>)
      if (extra) store_extra_elements(extra, extra_dtype, i, count, values);
  }
};

// The same where a norm may have kept them; null: it has not.
template <class W>
struct HeldWeights {
  WholeWeights<W> stored;
  const Quad<W>* held;

  template <class Policy>
  __device__ __forceinline__ FloatQuad load_four(int i) const {
    return held ? HeldElements<W>{held}.template load_four<Policy>(i) : stored.template load_four<Policy>(i);
  }
  __device__ __forceinline__ FloatQuad load_some(int i, int count) const {
    return held ? HeldElements<W>{held}.load_some(i, count) : stored.load_some(i, count);
  }
  __device__ __forceinline__ void store_four(int i, const FloatQuad& values) const { stored.store_four(i, values); }
  __device__ __forceinline__ void store_some(int i, int count, const FloatQuad& values) const {
    stored.store_some(i, count, values);
  }
};

template <class W>
__device__ __forceinline__ WholeWeights<W> weights_of(const NotHeld&, const WholeWeights<W>& stored) {
  return stored;
}
template <class W, class G>
__device__ __forceinline__ HeldWeights<W> weights_of(const HeldTile<W, G>& held, const WholeWeights<W>& stored) {
  return {stored, held.weights};
}

}  // namespace layerwise
