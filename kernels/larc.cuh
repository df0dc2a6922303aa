// LARC on the device, with SGD or alone: what ends a layer's norms.
#pragma once

#include "kernels/step_kernels.cuh"

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

}  // namespace layerwise
