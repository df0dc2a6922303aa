// How a tile's weights and moments are updated, which NovoGrad and SGD share.
#pragma once

#include "kernels/rounding.cuh"
#include "kernels/weights.cuh"

namespace layerwise {

// A tile in every buffer of an update.
template <class W, class G, class M>
struct TilePointers {
  W* weights;
  const G* grads;
  M* moments;   // null: SGD without momentum
  void* extra;  // null: neither copy nor remainders
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

template <int kRowsAtOnce, class Weights, class Grads, class M, class Moments, class Update>
__device__ __forceinline__ void update_whole_tile(const Weights& weights, const Grads& grads, M* moments,
                                                  const Moments& rounding, Update update) {
#pragma unroll 1
  for (int first = 0; first < kRows; first += kRowsAtOnce) {
    Quads rows[kRowsAtOnce];
#pragma unroll
    for (int row = 0; row < kRowsAtOnce; ++row) {
      const int i = row_element(first + row);
      rows[row].g = grads.template load_four<LastUse>(i);
      rows[row].m = moments ? load_quad<LastUse>(moments + i) : FloatQuad{};
      rows[row].w = weights.template load_four<LastUse>(i);
    }
#pragma unroll
    for (int row = 0; row < kRowsAtOnce; ++row) {
      const int i = row_element(first + row);
      update(rows[row]);
      if (moments) rounding.store_four(moments, i, rows[row].m);
      weights.store_four(i, rows[row].w);
    }
  }
}

template <class Weights, class Grads, class M, class Moments, class Update>
__device__ __forceinline__ void update_part_tile(const Weights& weights, const Grads& grads, M* moments,
                                                 const Moments& rounding, int count, Update update) {
#pragma unroll 1
  for (int row = 0; row * kAccumulators < count; ++row) {
    const int i = row_element(row);
    Quads quads;
    quads.g = grads.load_some(i, count);
    quads.m = moments ? load_elements(moments, i, count) : FloatQuad{};
    quads.w = weights.load_some(i, count);
    update(quads);
    if (moments) rounding.store_some(moments, i, count, quads.m);
    weights.store_some(i, count, quads.w);
  }
}

template <class W, class G, class M, class Held, class Moments, class Update>
__device__ __forceinline__ void update_with(const TilePointers<W, G, M>& at, const Held& held, const Moments& rounding,
                                            int count, Update update) {
  constexpr int kRowsAtOnce =
      Held::kMostRowsInFlight < Moments::kRowsAtOnce ? Held::kMostRowsInFlight : Moments::kRowsAtOnce;
  const auto update_weights = [&](const auto& weights) {
    const auto grads = elements_of(held.grads, at.grads);
    if (count == kTileElements && at.aligned())
      update_whole_tile<kRowsAtOnce>(weights, grads, at.moments, rounding, update);
    else
      update_part_tile(weights, grads, at.moments, rounding, count, update);
  };
  if constexpr (kMayBeSplit<W>)
    if (at.extra) return update_weights(SplitElements{at.weights, static_cast<remainder16*>(at.extra)});
  update_weights(weights_of(held, WholeWeights<W>{at.weights, at.extra, at.extra_dtype}));
}

// update(quads) turns old moments and weights into new ones; step is t's low 32 bits. What a tile's rows have in common is
// decided here, so that the loads of several rows have no branch between them.
template <class W, class G, class M, class Held, class Update>
__device__ __forceinline__ void update_tile(const DevicePlan& plan, const Tile& tile, const StepBuffers& buffers,
                                            Dtype extra_dtype, uint32_t step, const Held& held, Update update) {
  const TilePointers<W, G, M> at(plan, tile, buffers, extra_dtype);
  if constexpr (kMayBeRandom<M>) {
    if (buffers.stochastic_moment) {
      const RandomMoments random{random_key(buffers, tile.layer, step), plan.options[tile.layer].begin + tile.first};
      return update_with(at, held, random, tile.count, update);
    }
  }
  update_with(at, held, NearestMoments<M>(), tile.count, update);
}

// What an element's old moment and weight become, four at a time: for update_tile.
struct NovogradQuads {
  NovogradElement layer;
  bool decoupled;

  __device__ __forceinline__ NovogradQuads(const NovogradStep& step, const NovogradElement& layer)
      : layer(layer), decoupled(step.hyper.decoupled) {}
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
      const float h = sgd_gradient(layer, q.g.element[i], q.w.element[i]);
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
    update_tile<W, G, M>(plan, tile, step.buffers, extra_dtype, layer.step, held, NovogradQuads(step, layer));
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
    update_tile<W, G, M>(plan, tile, step.buffers, extra_dtype, layer.step, held, SgdQuads(step, layer));
  }
};

}  // namespace layerwise
