// Replaces the norms launch when the caller already has the norms: it computes every layer's constants from the
// caller's sums. That includes layers of which this shard has no element, because every rank keeps their second moment.
//
//   reads    the caller's sums, the second moment
//   writes   the second moment, the statistics, the plan's updates
//   bytes    about a hundred per layer
//   grid     one thread per layer
//   aliasing none
#pragma once

#include "kernels/layer_state.cuh"

namespace layerwise {

template <LayerEnd End>
__global__ void __launch_bounds__(kBlockThreads)
    given_norms(const __grid_constant__ DevicePlan plan, const __grid_constant__ typename End::Step step) {
  let_later_launch_begin();
  if (step_is_cancelled_for_block(step.buffers)) return;
  const typename End::Call& call = call_for_block<End>(step);
  __syncthreads();
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kBlockThreads;
  for (int64_t layer = static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x; layer < plan.layer_count;
       layer += threads)
    if (plan.layers[layer].extent.size > 0 ? !is_masked(step.buffers, plan.scattered, layer)
                                           : takes_part_elsewhere(step.buffers, plan.options[layer], layer))
      End::finish(plan, step, call, layer, End::given(step, layer));
}

template <LayerEnd End>
cudaError_t launch_given_norms(const DevicePlan& plan, const typename End::Step& step, const DeviceLimits& device,
                               cudaStream_t stream) {
  return launch(&given_norms<End>, (plan.layer_count + kBlockThreads - 1) / kBlockThreads, device.multiprocessors, false,
                stream, plan, step);
}

}  // namespace layerwise
