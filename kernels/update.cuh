// The second launch's walk: every tile that takes part, from the last one backwards, so that the gradients the norms
// read last are found in L2; and the update of weights and moments that NovoGrad and SGD share.
#pragma once

#include "kernels/weights.cuh"

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

template <class M>
inline constexpr bool kMayBeRandom = cuda::std::is_same_v<M, bfloat16>;

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
  int64_t first_quad;  // of the tile, in its layer

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
    const RandomWords random = random_words(key, first_quad + i / kRandomQuad);
    Quad<bfloat16> quad;
#pragma unroll
    for (int e = 0; e < kThreadElements; ++e) store_stochastic(quad.element[e], m.element[e], random.word[e]);
    return quad;
  }
};

// Four neighbouring elements of each.
struct Quads {
  FloatQuad g, m, w;
};

template <class Weights, class G, class M, class Moments, class Update>
__device__ __forceinline__ void update_whole_tile(const Weights& weights, const G* grads, M* moments,
                                                  const Moments& rounding, Update update) {
#pragma unroll 1
  for (int first = 0; first < kRows; first += Moments::kRowsAtOnce) {
    Quads rows[Moments::kRowsAtOnce];
#pragma unroll
    for (int row = 0; row < Moments::kRowsAtOnce; ++row) {
      const int i = row_element(first + row);
      rows[row].g = load_quad<LastUse>(grads + i);
      rows[row].m = moments ? load_quad<LastUse>(moments + i) : FloatQuad{};
      rows[row].w = weights.template load_four<LastUse>(i);
    }
#pragma unroll
    for (int row = 0; row < Moments::kRowsAtOnce; ++row) {
      const int i = row_element(first + row);
      update(rows[row]);
      if (moments) rounding.store_four(moments, i, rows[row].m);
      weights.store_four(i, rows[row].w);
    }
  }
}

template <class Weights, class G, class M, class Moments, class Update>
__device__ __forceinline__ void update_part_tile(const Weights& weights, const G* grads, M* moments,
                                                 const Moments& rounding, int count, Update update) {
#pragma unroll 1
  for (int row = 0; row * kAccumulators < count; ++row) {
    const int i = row_element(row);
    Quads quads;
    quads.g = load_elements(grads, i, count);
    quads.m = moments ? load_elements(moments, i, count) : FloatQuad{};
    quads.w = weights.load_some(i, count);
    update(quads);
    if (moments) rounding.store_some(moments, i, count, quads.m);
    weights.store_some(i, count, quads.w);
  }
}

template <class W, class G, class M, class Moments, class Update>
__device__ __forceinline__ void update_with(const TilePointers<W, G, M>& at, const Moments& rounding, int count,
                                            Update update) {
  const auto update_weights = [&](const auto& weights) {
    if (count == kTileElements && at.aligned())
      update_whole_tile(weights, at.grads, at.moments, rounding, update);
    else
      update_part_tile(weights, at.grads, at.moments, rounding, count, update);
  };
  if constexpr (kMayBeSplit<W>)
    if (at.extra) return update_weights(SplitElements{at.weights, static_cast<remainder16*>(at.extra)});
  update_weights(WholeWeights<W>{at.weights, at.extra, at.extra_dtype});
}

// update(quads) turns old moments and weights into new ones; step is t's low 32 bits. What a tile's rows have in common
// is decided here, so that the loads of several rows have no branch between them.
template <class W, class G, class M, class Update>
__device__ __forceinline__ void update_tile(const DevicePlan& plan, const Tile& tile, const StepBuffers& buffers,
                                            Dtype extra_dtype, uint32_t step, Update update) {
  const TilePointers<W, G, M> at(plan, tile, buffers, extra_dtype);
  if constexpr (kMayBeRandom<M>) {
    if (buffers.stochastic_moment) {
      const RandomMoments random{random_key(buffers, tile.layer, step), tile.first / kRandomQuad};
      return update_with(at, random, tile.count, update);
    }
  }
  update_with(at, NearestMoments<M>(), tile.count, update);
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
