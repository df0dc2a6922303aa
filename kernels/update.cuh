// How a tile's weights and moments are updated, which NovoGrad and SGD share.
#pragma once

#include "kernels/rounding.cuh"

namespace layerwise {

template <class W, class G, class M>
struct TilePointers {
  W* weights;
  const G* grads;
  M* moments;   // null: SGD without momentum
  void* extra;  // null: no copy
  Dtype extra_dtype;
  MomentRounding<M> rounding;

  // step: t's low 32 bits.
  __device__ __forceinline__ TilePointers(const DevicePlan& plan, const Tile& tile, const StepBuffers& buffers,
                                          Dtype extra_dtype, uint32_t step)
      : weights(tile_address<W>(plan, tile, buffers.weights)),
        grads(tile_address<const G>(plan, tile, buffers.grads)),
        moments(buffers.first_moment ? tile_address<M>(plan, tile, buffers.first_moment) : nullptr),
        extra(extra_address(plan, tile, buffers.weights_extra)),
        extra_dtype(extra_dtype),
        rounding(buffers, tile, step) {}

  __device__ __forceinline__ bool aligned() const {
    return is_aligned(weights) && is_aligned(grads) && is_aligned(moments) && is_extra_aligned(extra);
  }
};

// Four neighbouring elements of each.
struct Quads {
  FloatQuad g, m, w;
};

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
      if (at.moments) at.rounding.store_four(at.moments, i, rows[row].m);
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
    if (at.moments) at.rounding.store_some(at.moments, i, count, quads.m);
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

// What an element's old moment and weight become, four at a time: for update_tile.
struct NovogradQuads {
  NovogradElement layer;
  bool decoupled;

  __device__ __forceinline__ NovogradQuads(const NovogradStep& step, const NovogradElement& layer)
      : layer(layer), decoupled(step.hyper.decoupled_weight_decay) {}
  __device__ __forceinline__ void operator()(Quads& q) const {
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i) {
      if (decoupled)
        novograd_decoupled_element(layer, q.g.element[i], q.m.element[i], q.w.element[i]);
      else
        novograd_element(layer, q.g.element[i], q.m.element[i], q.w.element[i]);
    }
  }
};

struct SgdQuads {
  LarcElement layer;
  bool nesterov;

  __device__ __forceinline__ SgdQuads(const LarcStep& step, const LarcElement& layer)
      : layer(layer), nesterov(step.sgd.nesterov) {}
  __device__ __forceinline__ void operator()(Quads& q) const {
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i) {
      const float h = larc_decayed_element(layer, q.g.element[i], q.w.element[i]);
      q.m.element[i] = sgd_momentum(layer, h, q.m.element[i]);
      q.w.element[i] = sgd_weight(layer, nesterov, h, q.m.element[i], q.w.element[i]);
    }
  }
};

// What a kernel calls for each tile whose layer takes part.
template <class W, class G, class M>
struct NovogradUpdate {
  using Step = NovogradStep;
  using Element = NovogradElement;
  static __device__ __forceinline__ Element element(const DeviceUpdate& update) { return update.novograd; }

  template <class Held>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, Dtype extra_dtype,
                                                 const Tile& tile, const Element& layer, const Held& held) {
    update_tile(TilePointers<W, G, M>(plan, tile, step.buffers, extra_dtype, layer.step), tile.count, held,
                NovogradQuads(step, layer));
  }
};

template <class W, class G, class M>
struct LarcSgdUpdate {
  using Step = LarcStep;
  using Element = LarcElement;
  static __device__ __forceinline__ Element element(const DeviceUpdate& update) { return update.larc; }

  template <class Held>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, Dtype extra_dtype,
                                                 const Tile& tile, const Element& layer, const Held& held) {
    update_tile(TilePointers<W, G, M>(plan, tile, step.buffers, extra_dtype, layer.step), tile.count, held,
                SgdQuads(step, layer));
  }
};

}  // namespace layerwise
