// NovoGrad on the device, with or without LARC before it: what ends a layer's norms, and the update of an element.
#pragma once

#include "kernels/step_kernels.cuh"

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

struct NovogradRule {
  using Coefficients = NovogradCoefficients;
  bool decoupled;

  __device__ __forceinline__ void operator()(const Coefficients& layer, float g, float& m, float& w) const {
    if (decoupled)
      novograd_decoupled_element(layer, g, m, w);
    else
      novograd_element(layer, g, m, w);
  }
};

template <class W, class G, class M>
struct NovogradUpdate {
  using Step = NovogradStep;
  using Coefficients = NovogradCoefficients;

  template <Holder Held, class Source>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                 const Held& held, const Source& source) {
    update_weights<W, G, M>(plan, step.buffers, tile, NovogradRule{step.hyper.decoupled}, held, source);
  }
  static __device__ __forceinline__ StreamedRows<W, M> streamed(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                                bool with_weights) {
    return streamed_rows<W, M>(plan, step.buffers, tile, with_weights);
  }
};

}  // namespace layerwise
