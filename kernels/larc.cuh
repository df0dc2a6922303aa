// LARC on the device, with SGD or alone: the scalars of a layer and the update of an element.
#pragma once

#include "kernels/tile_update.cuh"

namespace layerwise {

struct LarcEnd {
  using Step = LarcStep;
  using Call = LarcCall;
  static constexpr bool is_done_for_absent_layers = false;

  static __device__ __forceinline__ Call call(const Step& step) { return larc_call(step.larc, step.sgd); }
  static __device__ __forceinline__ float decay_in_norm(const DevicePlan& plan, const Step& step, int64_t layer) {
    return step.larc.decayed_norm ? decay_of_raw_gradient(step.larc, plan.options[layer]) : 0;
  }
  static __device__ __forceinline__ Sums<2> given(const Step& step, int64_t layer) {
    return {{step.given.grads[layer], step.given.weights[layer]}};
  }
  static __device__ __forceinline__ void finish(const DevicePlan& plan, const Step& step, const Call& call, int64_t layer,
                                                const Sums<2>& sums) {
    publish(plan, step.buffers, layer,
            larc_layer(step.larc, step.sgd, call, plan.options[layer], sums.of[1], sums.of[0]));
  }
};

// ---- With SGD ----

struct SgdRule {
  using Step = LarcStep;
  using Coefficients = LarcCoefficients;
  bool nesterov;

  static __device__ __forceinline__ SgdRule of(const Step& step) { return {step.sgd.nesterov}; }
  __device__ __forceinline__ void operator()(const Coefficients& layer, float g, float& m, float& w) const {
    const float h = sgd_gradient(layer, g, w);
    m = sgd_momentum(layer, h, m);
    w = sgd_weight(layer, nesterov, h, m, w);
  }
};

template <class W, class G, class M>
struct SgdUpdate : WeightsUpdate<SgdRule, W, G, M> {};

// ---- Alone: gradients are scaled in place; weights are read only if weight decay is folded in ----

template <class W, class G, Elements Gradients, Holder Held>
struct ScaledGradients {
  using Coefficients = LarcCoefficients;
  static constexpr int kRowsAtOnce = Held::kMostRowsInFlight, kSinglesAtOnce = kSinglesInFlight;
  static constexpr bool kAsksEarly = false;

  G* to;
  Gradients grads;
  WholeWeights<W> weights;  // null without folded weight decay

  __device__ __forceinline__ bool aligned() const { return is_aligned(to) && is_aligned(weights.weights); }
  __device__ __forceinline__ void load_four(int i, Quads& quads) const {
    quads.w = weights.weights ? weights.load_four(i, false) : FloatQuad{};
    quads.g = grads.load_four(i, false);
  }
  __device__ __forceinline__ void load_one(int i, Singles& one) const {
    one.w = weights.weights ? weights.load_one(i) : 0.0f;
    one.g = grads.load_one(i);
  }
  __device__ __forceinline__ void apply(const Coefficients& layer, Singles& one) const {
    one.g = weights.weights ? larc_decayed_element(layer, one.g, one.w) : larc_element(layer, one.g);
  }
  __device__ __forceinline__ void store_four(int i, const Quads& quads, const Coefficients&) const {
    store_quad(to + i, quads.g);
  }
  __device__ __forceinline__ void store_one(int i, const Singles& one, const Coefficients&) const { store(to[i], one.g); }
};

template <class W, class G>
struct ScaleUpdate {
  using Step = LarcStep;
  using Coefficients = LarcCoefficients;

  template <Holder Held, class Source>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                 const Held& held, const Source& source) {
    G* const grads = tile_address<G>(plan, tile, step.buffers.grads);
    W* const weights = step.larc.decay_in_factor ? tile_address<W>(plan, tile, step.buffers.weights) : nullptr;
    if constexpr (Held::kHolds) {
      const ScaledGradients<W, G, HeldElements<G>, Held> scaled{
          grads, {grads, held.grads}, {weights, held.weights, nullptr, Dtype::kNone}};
      update_tile(scaled, tile.count, source);
    } else {
      const ScaledGradients<W, G, StoredElements<G>, Held> scaled{
          grads, {grads}, {weights, nullptr, nullptr, Dtype::kNone}};
      update_tile(scaled, tile.count, source);
    }
  }
  static __device__ __forceinline__ StreamedRows<W, float> streamed(const DevicePlan&, const Step&, const Tile&, bool) {
    return {};
  }
};

}  // namespace layerwise
