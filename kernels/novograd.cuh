// NovoGrad on the device, with or without LARC before it: the scalars of a layer and the update of an element.
#pragma once

#include "kernels/tile_update.cuh"

namespace layerwise {

struct AnyNovogradEnd {
  using Step = NovogradStep;
  using Call = NovogradCall;
  static constexpr bool is_done_for_absent_layers = false;

  static __device__ __forceinline__ Call call(const Step& step) { return novograd_call(step.hyper); }
  static __device__ __forceinline__ bool uses_infinity_norm(const Step& step) { return step.hyper.infinity_norm; }
  static __device__ __forceinline__ float decay_in_norm(const DevicePlan&, const Step&, int64_t) { return 0; }

 protected:
  static __device__ __forceinline__ void store(const DevicePlan& plan, const Step& step, int64_t layer,
                                               const LayerUpdate<NovogradCoefficients>& update,
                                               const SecondMoment& moment) {
    if (update.is_finite) store_second_moment(step, layer, moment);
    publish(plan, step.buffers, layer, update);
  }
};

struct NovogradEnd : AnyNovogradEnd {
  static __device__ __forceinline__ Sums<1> given(const Step& step, int64_t layer) { return {{step.given.grads[layer]}}; }
  static __device__ __forceinline__ void finish(const DevicePlan& plan, const Step& step, const Call& call, int64_t layer,
                                                const Sums<1>& sums) {
    SecondMoment moment = load_second_moment(step, layer);
    store(plan, step, layer, novograd_layer(step.hyper, call, plan.options[layer], sums.of[0], moment), moment);
  }
};

struct LarcNovogradEnd : AnyNovogradEnd {
  static __device__ __forceinline__ Sums<2> given(const Step& step, int64_t layer) {
    return {{step.given.grads[layer], step.given.weights[layer]}};
  }
  static __device__ __forceinline__ void finish(const DevicePlan& plan, const Step& step, const Call& call, int64_t layer,
                                                const Sums<2>& sums) {
    SecondMoment moment = load_second_moment(step, layer);
    const auto update =
        larc_novograd_layer(step.larc, step.hyper, call, plan.options[layer], sums.of[1], sums.of[0], moment);
    store(plan, step, layer, update, moment);
  }
};

struct NovogradRule {
  using Step = NovogradStep;
  using Coefficients = NovogradCoefficients;
  bool decoupled;

  static __device__ __forceinline__ NovogradRule of(const Step& step) { return {step.hyper.decoupled}; }
  __device__ __forceinline__ void operator()(const Coefficients& layer, float g, float& m, float& w) const {
    if (decoupled)
      novograd_decoupled_element(layer, g, m, w);
    else
      novograd_element(layer, g, m, w);
  }
};

template <class W, class G, class M>
struct NovogradUpdate : WeightsUpdate<NovogradRule, W, G, M> {};

}  // namespace layerwise
