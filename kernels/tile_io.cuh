// How a tile's elements are loaded and stored: four neighbours at a time where a whole tile is aligned, one at a time
// elsewhere; from memory, or from shared memory, where a norm has kept them for the update.
#pragma once

#include "kernels/tile.cuh"

namespace layerwise {

// ---- Four neighbours ----

// As they lie in memory: one 16-byte access of float32, one 8-byte access of 16-bit dtypes.
template <class T>
struct alignas(kThreadElements * sizeof(T)) Quad {
  T element[kThreadElements];
};
struct FloatQuad {
  float element[kThreadElements];
};

template <class T>
__device__ __forceinline__ bool is_aligned(const T* address) {
  return reinterpret_cast<uintptr_t>(address) % sizeof(Quad<T>) == 0;
}

template <class T>
using QuadBits = cuda::std::conditional_t<sizeof(T) == 4, float4, uint2>;

// Whether what is loaded is read again soon, and kept in L2, or is the first to leave it.
template <class Bits>
__device__ __forceinline__ Bits load_bits(const Bits* address, bool again) {
  return again ? __ldcg(address) : __ldcs(address);
}

template <class T>
__device__ __forceinline__ FloatQuad unpack(const Quad<T>& quad) {
  return {load(quad.element[0]), load(quad.element[1]), load(quad.element[2]), load(quad.element[3])};
}

template <class T>
__device__ __forceinline__ Quad<T> pack(const FloatQuad& values) {
  Quad<T> quad;
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i) store(quad.element[i], values.element[i]);
  return quad;
}

template <class T>
__device__ __forceinline__ Quad<T> load_stored(const T* address, bool again) {
  return bit_cast<Quad<T>>(load_bits(reinterpret_cast<const QuadBits<T>*>(address), again));
}
template <class T>
__device__ __forceinline__ void store_stored(T* address, const Quad<T>& quad) {
  __stcs(reinterpret_cast<QuadBits<T>*>(address), bit_cast<QuadBits<T>>(quad));
}

template <class T>
__device__ __forceinline__ FloatQuad load_quad(const T* address, bool again = false) {
  return unpack(load_stored(address, again));
}
template <class T>
__device__ __forceinline__ void store_quad(T* address, const FloatQuad& values) {
  store_stored(address, pack<T>(values));
}

// ---- What is read ----

// A tile's elements: the four from element i on, at an aligned address, or element i alone. again: they will be read
// once more.
template <class T>
concept Elements = requires(const T elements, int i, bool again) {
  { elements.aligned() } -> std::same_as<bool>;
  { elements.load_four(i, again) } -> std::same_as<FloatQuad>;
  { elements.load_one(i) } -> std::same_as<float>;
};

// One buffer's, in memory.
template <class T>
struct StoredElements {
  static constexpr bool kMayBeTwo = cuda::std::is_same_v<T, bfloat16>;  // buffers, in the same kernel: split weights
  const T* address;

  __device__ __forceinline__ bool aligned() const { return is_aligned(address); }
  __device__ __forceinline__ FloatQuad load_four(int i, bool again) const { return load_quad(address + i, again); }
  __device__ __forceinline__ float load_one(int i) const { return load(address[i]); }
};

// The same where a norm may have kept them in shared memory (held is not null).
template <class T>
struct HeldElements {
  static constexpr bool kMayBeTwo = StoredElements<T>::kMayBeTwo;
  const T* address;
  const T* held;

  __device__ __forceinline__ bool aligned() const { return is_aligned(address); }
  __device__ __forceinline__ FloatQuad load_four(int i, bool again) const {
    return held ? unpack(*reinterpret_cast<const Quad<T>*>(held + i)) : load_quad(address + i, again);
  }
  __device__ __forceinline__ float load_one(int i) const { return held ? load(held[i]) : load(address[i]); }
};

// Split weights, from both their buffers.
struct SplitElements {
  static constexpr bool kMayBeTwo = true;
  bfloat16* high;
  remainder16* low;

  __device__ __forceinline__ bool aligned() const { return is_aligned(high) && is_aligned(low); }
  __device__ __forceinline__ FloatQuad load_four(int i, bool again) const {
    const Quad<bfloat16> upper = load_stored(high + i, again);
    const Quad<remainder16> lower = load_stored(low + i, again);
    FloatQuad quad;
#pragma unroll
    for (int e = 0; e < kThreadElements; ++e) quad.element[e] = load_split(upper.element[e], lower.element[e]);
    return quad;
  }
  __device__ __forceinline__ float load_one(int i) const { return load_split(high[i], low[i]); }
  __device__ __forceinline__ void store_four(int i, const FloatQuad& values) const {
    Quad<bfloat16> upper;
    Quad<remainder16> lower;
#pragma unroll
    for (int e = 0; e < kThreadElements; ++e) store_split(upper.element[e], lower.element[e], values.element[e]);
    store_stored(high + i, upper);
    store_stored(low + i, lower);
  }
  __device__ __forceinline__ void store_one(int i, float value) const { store_split(high[i], low[i], value); }
};

// ---- Where a norm keeps what it has read ----

// Whether and where a tile may wait between its norm and its update, and where its norm reads it, once and, where a sum
// left float32's range, again.
template <class T>
concept Holder = requires { T::kHolds; T::kHoldsWeights; T::kMostRowsInFlight; T::kMostRandomRowsInFlight; };

// In shared memory: gradients, and weights too where their norm is needed. grads is null where this tile does not wait;
// weights is where they are read each time.
template <class W, class G, bool kWithWeights>
struct HeldTile {
  static constexpr bool kHolds = true, kHoldsWeights = kWithWeights;
  static constexpr int kMostRowsInFlight = kOnePassRowsInFlight, kMostRandomRowsInFlight = kOnePassRandomRowsInFlight;
  G* grads;
  W* weights;

  __device__ __forceinline__ bool keeps_grads() const { return grads; }
  __device__ __forceinline__ bool keeps_weights() const { return weights; }
  __device__ __forceinline__ StoredElements<G> grads_to_sum(const G* stored) const { return {stored}; }
  __device__ __forceinline__ StoredElements<W> weights_to_sum(const W* stored) const { return {stored}; }
  __device__ __forceinline__ HeldElements<G> grads_to_sum_again(const G* stored) const { return {stored, grads}; }
  __device__ __forceinline__ HeldElements<W> weights_to_sum_again(const W* stored) const { return {stored, weights}; }
};
// Nowhere: a kernel that reads every tile from memory.
struct NotHeld {
  static constexpr bool kHolds = false, kHoldsWeights = false;
  static constexpr int kMostRowsInFlight = kRowsInFlight, kMostRandomRowsInFlight = kRandomRowsInFlight;

  template <class G>
  __device__ __forceinline__ StoredElements<G> grads_to_sum(const G* stored) const {
    return {stored};
  }
  template <class W>
  __device__ __forceinline__ StoredElements<W> weights_to_sum(const W* stored) const {
    return {stored};
  }
};

template <class T>
__device__ __forceinline__ void keep_four(T* held, int i, const FloatQuad& quad) {
  *reinterpret_cast<Quad<T>*>(held + i) = pack<T>(quad);
}

// What a norm does with gradients as it reads them.
template <Holder Held>
__device__ __forceinline__ bool are_read_again(const Held& held) {
  if constexpr (Held::kHolds) return !held.grads;
  return true;
}
template <Holder Held>
__device__ __forceinline__ void keep_grads(const Held& held, int i, const FloatQuad& quad) {
  if constexpr (Held::kHolds)
    if (held.keeps_grads()) keep_four(held.grads, i, quad);
}
template <Holder Held>
__device__ __forceinline__ void keep_grad(const Held& held, int i, float value) {
  if constexpr (Held::kHolds)
    if (held.keeps_grads()) store(held.grads[i], value);
}

// ---- The weights of an update ----

// Which dtypes may have which: what else lies beside a buffer follows from its own.
template <class W>
inline constexpr bool kMayBeSplit = cuda::std::is_same_v<W, bfloat16>;
template <class W>
inline constexpr bool kMayHaveCopy = cuda::std::is_same_v<W, float>;

// The weights' low-precision copy, bfloat16 or float16, or their remainders: two bytes an element each way.
__device__ __forceinline__ void* extra_address(const DevicePlan& plan, const Tile& tile, void* buffer) {
  return buffer ? tile_address<uint16_t>(plan, tile, buffer) : nullptr;
}
__device__ __forceinline__ bool is_extra_aligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % sizeof(Quad<uint16_t>) == 0;
}

// What an update reads and writes where weights are whole: a norm may have kept them, and there may be a low-precision
// copy (extra is not null).
template <class W>
struct WholeWeights {
  static constexpr bool kMayBeTwo = kMayBeSplit<W>;
  W* weights;
  const W* held;
  void* extra;
  Dtype extra_dtype;

  __device__ __forceinline__ FloatQuad load_four(int i, bool again) const {
    return HeldElements<W>{weights, held}.load_four(i, again);
  }
  __device__ __forceinline__ float load_one(int i) const { return HeldElements<W>{weights, held}.load_one(i); }
  __device__ __forceinline__ void store_four(int i, const FloatQuad& values) const {
    store_quad(weights + i, values);
    if constexpr (kMayHaveCopy<W>) {
      if (!extra) return;
      if (extra_dtype == Dtype::kBfloat16) store_quad(static_cast<bfloat16*>(extra) + i, values);
      if (extra_dtype == Dtype::kFloat16) store_quad(static_cast<float16*>(extra) + i, values);
    }
  }
  __device__ __forceinline__ void store_one(int i, float value) const {
    store(weights[i], value);
    if constexpr (kMayHaveCopy<W>) {
      if (!extra) return;
      if (extra_dtype == Dtype::kBfloat16) store(static_cast<bfloat16*>(extra)[i], value);
      if (extra_dtype == Dtype::kFloat16) store(static_cast<float16*>(extra)[i], value);
    }
  }
};

// ---- The moments of an update ----

template <class M>
inline constexpr bool kMayBeRandom = cuda::std::is_same_v<M, bfloat16>;

// Moments stored to the nearest; step is t's low 32 bits, which they do not need.
template <class M>
struct NearestMoments {
  static constexpr bool kAreRandom = false;

  __device__ __forceinline__ bool aligned() const { return true; }
  __device__ __forceinline__ FloatQuad load_four(const M* from, int i) const { return load_quad(from + i); }
  __device__ __forceinline__ void store_four(M* to, int i, const FloatQuad& m, uint32_t) const { store_quad(to + i, m); }
  __device__ __forceinline__ void store_one(M* to, int i, float m, uint32_t) const { store(to[i], m); }
};

// bfloat16 moments stored with random bits: those of an element's place in its whole layer, four neighbours together.
// A shard's piece may begin between them, and is then stored element by element.
struct RandomMoments {
  static constexpr bool kAreRandom = true;
  static_assert(kThreadElements == kRandomQuad);

  uint64_t seed;
  uint32_t layer;
  int64_t first_quad;  // of the tile's first element, in its layer
  int within;          // that element's place in it

  __device__ __forceinline__ RandomMoments(uint64_t seed, uint32_t layer, int64_t first)
      : seed(seed), layer(layer), first_quad(first / kRandomQuad), within(static_cast<int>(first % kRandomQuad)) {}

  __device__ __forceinline__ bool aligned() const { return within == 0; }
  __device__ __forceinline__ FloatQuad load_four(const bfloat16* from, int i) const { return load_quad(from + i); }
  __device__ __forceinline__ void store_four(bfloat16* to, int i, const FloatQuad& m, uint32_t step) const {
    const RandomWords random = words(i, step);
    Quad<bfloat16> quad;
#pragma unroll
    for (int e = 0; e < kThreadElements; ++e) store_stochastic(quad.element[e], m.element[e], random.word[e]);
    store_stored(to + i, quad);
  }
  __device__ __forceinline__ void store_one(bfloat16* to, int i, float m, uint32_t step) const {
    const int at = within + i;
    const RandomWords random = words(at, step);
    // Chosen and not indexed: an array that is indexed would lie in local memory.
    const uint32_t even = at & 2 ? random.word[2] : random.word[0], odd = at & 2 ? random.word[3] : random.word[1];
    store_stochastic(to[i], m, at & 1 ? odd : even);
  }

 private:
  __device__ __forceinline__ RandomWords words(int i, uint32_t step) const {
    return random_words({seed, layer, step}, first_quad + i / kRandomQuad);
  }
};

}  // namespace layerwise
