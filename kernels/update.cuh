// How a tile's weights and moments are updated, which NovoGrad and SGD share.
#pragma once

#include "kernels/device.cuh"

namespace layerwise {

template <class W, class G, class M>
struct TilePointers {
  W* weights;
  const G* grads;
  M* moments;   // null: SGD without momentum
  void* extra;  // null: no copy
  Dtype extra_dtype;

  __device__ __forceinline__ TilePointers(const DevicePlan& plan, const Tile& tile, const StepBuffers& buffers,
                                          Dtype extra_dtype)
      : weights(tile_address<W>(plan, tile, buffers.weights)),
        grads(tile_address<const G>(plan, tile, buffers.grads)),
        moments(buffers.first_moment ? tile_address<M>(plan, tile, buffers.first_moment) : nullptr),
        extra(extra_address(plan, tile, buffers.weights_extra)),
        extra_dtype(extra_dtype) {}

  __device__ __forceinline__ bool aligned() const {
    return is_aligned(weights) && is_aligned(grads) && is_aligned(moments) && is_extra_aligned(extra);
  }
};

// Four neighbouring elements of each.
struct Quads {
  FloatQuad g, m, w;
};

// A row's quad from where the norm has left it, or from memory.
template <class T>
__device__ __forceinline__ FloatQuad quad_of(decltype(nullptr), const T* address, int row) {
  return load_quad<LastUse>(address + row_element(row));
}
template <class T>
__device__ __forceinline__ FloatQuad quad_of(const Quad<T>* held, const T* address, int row) {
  return held ? unpack(held[held_quad(row)]) : quad_of(nullptr, address, row);
}
template <class T>
__device__ __forceinline__ FloatQuad elements_of(decltype(nullptr), const T* address, int row, int count) {
  return load_elements(address, row_element(row), count);
}
template <class T>
__device__ __forceinline__ FloatQuad elements_of(const Quad<T>* held, const T* address, int row, int count) {
  return held ? unpack(held[held_quad(row)]) : elements_of(nullptr, address, row, count);
}

template <class W, class G, class M, class Held, class Update>
__device__ __forceinline__ void update_whole_tile(const TilePointers<W, G, M>& at, const Held& held, Update update) {
  constexpr int kRowsInFlight = Held::kRowsInFlight;
#pragma unroll 1
  for (int first = 0; first < kRows; first += kRowsInFlight) {
    Quads rows[kRowsInFlight];
#pragma unroll
    for (int row = 0; row < kRowsInFlight; ++row) {
      const int i = row_element(first + row);
      rows[row].g = quad_of(held.grads, at.grads, first + row);
      rows[row].m = at.moments ? load_quad<LastUse>(at.moments + i) : FloatQuad{};
      rows[row].w = quad_of(held.weights, at.weights, first + row);
    }
#pragma unroll
    for (int row = 0; row < kRowsInFlight; ++row) {
      const int i = row_element(first + row);
      update(rows[row]);
      if (at.moments) store_quad(at.moments + i, rows[row].m);
      store_quad(at.weights + i, rows[row].w);
      if (at.extra) store_extra_quad(at.extra, at.extra_dtype, i, rows[row].w);
    }
  }
}

template <class W, class G, class M, class Held, class Update>
__device__ __forceinline__ void update_part_tile(const TilePointers<W, G, M>& at, int count, const Held& held,
                                                 Update update) {
#pragma unroll 1
  for (int row = 0; row * kAccumulators < count; ++row) {
    const int i = row_element(row);
    Quads quads;
    quads.g = elements_of(held.grads, at.grads, row, count);
    quads.m = at.moments ? load_elements(at.moments, i, count) : FloatQuad{};
    quads.w = elements_of(held.weights, at.weights, row, count);
    update(quads);
    if (at.moments) store_elements(at.moments, i, count, quads.m);
    store_elements(at.weights, i, count, quads.w);
    if (at.extra) store_extra_elements(at.extra, at.extra_dtype, i, count, quads.w);
  }
}

// update(quads) turns old moments and weights into new ones.
template <class W, class G, class M, class Held, class Update>
__device__ __forceinline__ void update_tile(const TilePointers<W, G, M>& at, int count, const Held& held, Update update) {
  if (count == kTileElements && at.aligned())
    update_whole_tile(at, held, update);
  else
    update_part_tile(at, count, held, update);
}

}  // namespace layerwise
