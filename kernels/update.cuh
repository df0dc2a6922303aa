// The second launch's walk: every tile that takes part, from the last one backwards, so that the gradients the norms
// read last are found in L2; and the update of weights and moments that NovoGrad and SGD share.
#pragma once

#include "kernels/device.cuh"

namespace layerwise {

// Calls body(tile, update) for each of this block's tiles whose layer takes part.
template <class Body>
__device__ __forceinline__ void for_each_updated_tile(const DevicePlan& plan, const StepBuffers& buffers, Body body) {
  for (int64_t t = plan.tiles - 1 - blockIdx.x; t >= 0; t -= gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(buffers, plan.scattered, tile.layer)) continue;
    const DeviceUpdate& update = plan.updates[tile.layer];
    if (update.takes_part) body(tile, update);
  }
}

// How a tile's moments are stored: rounded to nearest, or for bfloat16 with random bits.
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

template <class W, class G, class M, class Update>
__device__ __forceinline__ void update_whole_tile(const TilePointers<W, G, M>& at, Update update) {
#pragma unroll 1
  for (int first = 0; first < kRows; first += kRowsInFlight) {
    Quads rows[kRowsInFlight];
#pragma unroll
    for (int row = 0; row < kRowsInFlight; ++row) {
      const int i = row_element(first + row);
      rows[row].g = load_quad<LastUse>(at.grads + i);
      rows[row].m = at.moments ? load_quad<LastUse>(at.moments + i) : FloatQuad{};
      rows[row].w = load_quad<LastUse>(at.weights + i);
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

template <class W, class G, class M, class Update>
__device__ __forceinline__ void update_part_tile(const TilePointers<W, G, M>& at, int count, Update update) {
#pragma unroll 1
  for (int row = 0; row * kAccumulators < count; ++row) {
    const int i = row_element(row);
    Quads quads;
    quads.g = load_elements(at.grads, i, count);
    quads.m = at.moments ? load_elements(at.moments, i, count) : FloatQuad{};
    quads.w = load_elements(at.weights, i, count);
    update(quads);
    if (at.moments) at.rounding.store_some(at.moments, i, count, quads.m);
    store_elements(at.weights, i, count, quads.w);
    if (at.extra) store_extra_elements(at.extra, at.extra_dtype, i, count, quads.w);
  }
}

// update(quads) turns old moments and weights into new ones.
template <class W, class G, class M, class Update>
__device__ __forceinline__ void update_tile(const TilePointers<W, G, M>& at, int count, Update update) {
  if (count == kTileElements && at.aligned())
    update_whole_tile(at, update);
  else
    update_part_tile(at, count, update);
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

}  // namespace layerwise
