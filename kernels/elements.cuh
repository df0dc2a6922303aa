// Where a tile's elements are read: in memory, or in shared memory, where a norm has kept them for the update.
#pragma once

#include "kernels/device.cuh"

namespace layerwise {

// One buffer's, in memory.
template <class T>
struct Elements {
  const T* address;

  __device__ __forceinline__ bool aligned() const { return is_aligned(address); }
  template <class Policy>
  __device__ __forceinline__ FloatQuad load_four(int i) const {
    return load_quad<Policy>(address + i);
  }
  __device__ __forceinline__ FloatQuad load_some(int i, int count) const { return load_elements(address, i, count); }
};

// A thread reads back what it wrote itself, so no barrier is needed.
template <class T>
struct HeldElements {
  const Quad<T>* quads;

  template <class Policy>
  __device__ __forceinline__ FloatQuad load_four(int i) const {
    return unpack(quads[i / kThreadElements]);
  }
  __device__ __forceinline__ FloatQuad load_some(int i, int) const { return unpack(quads[i / kThreadElements]); }
};

// A tile that waits in shared memory between its norm and its update. weights may be null: then only the gradients wait.
template <class W, class G>
struct HeldTile {
  static constexpr int kMostRowsInFlight = kOnePassRowsInFlight;
  Quad<G>* grads;
  Quad<W>* weights;
};
// A tile that is read from memory each time.
struct NotHeld {
  static constexpr int kMostRowsInFlight = kRowsInFlight;
  static constexpr decltype(nullptr) grads = nullptr, weights = nullptr;
};
// The same in the kernel that holds others.
struct NotHeldHere : NotHeld {
  static constexpr int kMostRowsInFlight = kOnePassRowsInFlight;
};

// The gradients of an update.
template <class G>
__device__ __forceinline__ Elements<G> elements_of(decltype(nullptr), const G* address) {
  return {address};
}
template <class G>
__device__ __forceinline__ HeldElements<G> elements_of(const Quad<G>* held, const G*) {
  return {held};
}

// What becomes of the rows that a norm has read.
struct KeepNothing {
  __device__ __forceinline__ void operator()(int, const FloatQuad&) const {}
};
template <class T>
struct KeepQuads {
  Quad<T>* quads;  // null: nowhere
  __device__ __forceinline__ void operator()(int i, const FloatQuad& quad) const {
    if (quads) quads[i / kThreadElements] = pack<T>(quad);
  }
};
__device__ __forceinline__ KeepNothing keep_in(decltype(nullptr)) { return {}; }
template <class T>
__device__ __forceinline__ KeepQuads<T> keep_in(Quad<T>* quads) {
  return {quads};
}

}  // namespace layerwise
