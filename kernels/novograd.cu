// The second launch of a NovoGrad step: every element's update.
//
//   reads    gradients, weights and first moment once
//   writes   weights, first moment; the weights' low-precision copy where there is one
//   bytes    20 an element of float32 or split weights (18 with 16-bit gradients), 2 more with the copy; the gradient's 4
//            may be L2 hits
//   grid     one tile a block, tiles a grid's width apart, backwards
//   aliasing none; weights and moment are read and written by the same thread
#include "kernels/update.cuh"

namespace layerwise {
namespace {

template <class W, class G, class M>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    novograd_update(const __grid_constant__ DevicePlan plan, const __grid_constant__ Dtype extra_dtype,
                    const __grid_constant__ NovogradStep step) {
  if (step_is_cancelled(step.buffers)) return;
  advance_step(step.buffers);
  for_each_updated_tile(plan, step.buffers, [&](const Tile& tile, const DeviceUpdate& update) {
    update_tile<W, G, M>(plan, tile, step.buffers, extra_dtype, update.novograd.step,
                         NovogradQuads(step, update.novograd));
  });
}

}  // namespace

cudaError_t load_novograd_update(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() { return load_kernels(&novograd_update<W, G, M>); });
}

cudaError_t launch_novograd_update(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                   const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return launch(&novograd_update<W, G, M>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

}  // namespace layerwise
