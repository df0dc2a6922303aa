// The second launch of a LARC step: every gradient scaled in place, or SGD applied with the scaled gradient.
//
//   reads    larc_scale: gradients, with folded decay weights too; larc_sgd: gradients, weights, the momentum buffer
//   writes   larc_scale: gradients; larc_sgd: weights, the momentum buffer, the weights' copy where there is one
//   bytes    an element of float32: larc_scale 8, folded 12; larc_sgd 20, without momentum 12, 2 more with the copy
//   grid     one tile a block, tiles a grid's width apart, backwards
//   aliasing none; what is written is read by the same thread
#include "kernels/scale.cuh"
#include "kernels/update.cuh"

namespace layerwise {
namespace {

template <class W, class G>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    larc_scale_update(const __grid_constant__ DevicePlan plan, const __grid_constant__ LarcStep step) {
  if (step_is_cancelled(step.buffers)) return;
  for_each_updated_tile(plan, step.buffers, [&](const Tile& tile, const DeviceUpdate& update) {
    scale_tile<W, G>(plan, tile, step, update.larc);
  });
}

template <class W, class G, class M>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    larc_sgd_update(const __grid_constant__ DevicePlan plan, const __grid_constant__ Dtype extra_dtype,
                    const __grid_constant__ LarcStep step) {
  if (step_is_cancelled(step.buffers)) return;
  advance_step(step.buffers);
  for_each_updated_tile(plan, step.buffers, [&](const Tile& tile, const DeviceUpdate& update) {
    update_tile<W, G, M>(plan, tile, step.buffers, extra_dtype, update.larc.step, SgdQuads(step, update.larc));
  });
}

}  // namespace

cudaError_t load_larc_update(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return load_kernels(&larc_scale_update<W, G>, &larc_sgd_update<W, G, M>);
  });
}

cudaError_t launch_larc_update(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                               const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    if (!step.applies_sgd) return launch(&larc_scale_update<W, G>, plan, kUpdateBlocks, device, stream, step);
    return launch(&larc_sgd_update<W, G, M>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

}  // namespace layerwise
