// A step whose norms the caller has: one launch. Every block works out the scalars of the layers whose tiles it has,
// from the state before the step; a layer's last block stores what becomes of that state.
//
//   reads    as the update: gradients, weights and first moment once; the caller's sums, the second moment
//   writes   as the update: weights, first moment, the weights' copy (larc_scale: gradients); the second moment, the
//            statistics
//   bytes    20 an element of float32 (18 with 16-bit gradients), 2 more with the copy; larc_scale 8, folded 12
//   grid     one tile a block, tiles a grid's width apart, backwards: the caller has read the newest gradients last
//   aliasing none; a layer's second moment is written when each of its tiles' blocks has read it
#include "kernels/layer.cuh"
#include "kernels/scale.cuh"
#include "kernels/update.cuh"

namespace layerwise {
namespace {

__device__ __forceinline__ Sums<1> given_sums(const NovogradStep& step, int64_t layer) {
  return {{step.given.grads[layer]}};
}
__device__ __forceinline__ Sums<2> given_sums(const LarcStep& step, int64_t layer) {
  return {{step.given.grads[layer], step.given.weights[layer]}};
}

// Calls body(tile, element) for each of this block's tiles whose layer takes part. Prepared: what prepare() returns.
template <class Prepared, class Step, class Body>
__device__ __forceinline__ void for_each_applied_tile(const DevicePlan& plan, const Step& step, Body body) {
  LAYERWISE_SHARED(shared, Prepared);
  for (int64_t t = plan.tiles - 1 - blockIdx.x; t >= 0; t -= gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer)) continue;
    if (threadIdx.x < 32) {
      if (threadIdx.x == 0) shared = prepare(plan, step, tile.layer, given_sums(step, tile.layer));
      if (is_last_of_layer(plan, tile) && threadIdx.x == 0) commit(step, tile.layer, shared);
    }
    __syncthreads();
    const bool layer_takes_part = shared.update.takes_part;
    const auto element = shared.update.element;
    __syncthreads();  // before the next tile's scalars overwrite these
    if (layer_takes_part) body(tile, element);
  }
}

// The counter is read with the scalars, by thread 0 of each block.
__device__ __forceinline__ void advance_step_once_all_read(const DevicePlan& plan, const StepBuffers& buffers) {
  if (buffers.advanced_step && threadIdx.x < 32 && last_to_arrive(plan.blocks_done, gridDim.x) && threadIdx.x == 0)
    ++*buffers.advanced_step;
}

template <class W, class G, class M>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    novograd_apply(const __grid_constant__ DevicePlan plan, const __grid_constant__ Dtype extra_dtype,
                   const __grid_constant__ NovogradStep step) {
  if (step_is_cancelled(step.buffers)) return;
  for_each_applied_tile<PreparedNovograd>(plan, step, [&](const Tile& tile, const NovogradElement& layer) {
    update_tile<W, G, M>(plan, tile, step.buffers, extra_dtype, layer.step, NovogradQuads(step, layer));
  });
  advance_step_once_all_read(plan, step.buffers);
}

template <class W, class G, class M>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    larc_sgd_apply(const __grid_constant__ DevicePlan plan, const __grid_constant__ Dtype extra_dtype,
                   const __grid_constant__ LarcStep step) {
  if (step_is_cancelled(step.buffers)) return;
  for_each_applied_tile<PreparedLarc>(plan, step, [&](const Tile& tile, const LarcElement& layer) {
    update_tile<W, G, M>(plan, tile, step.buffers, extra_dtype, layer.step, SgdQuads(step, layer));
  });
  advance_step_once_all_read(plan, step.buffers);
}

template <class W, class G>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    larc_scale_apply(const __grid_constant__ DevicePlan plan, const __grid_constant__ LarcStep step) {
  if (step_is_cancelled(step.buffers)) return;
  for_each_applied_tile<PreparedLarc>(
      plan, step, [&](const Tile& tile, const LarcElement& layer) { scale_tile<W, G>(plan, tile, step, layer); });
}

}  // namespace

cudaError_t load_apply(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return load_kernels(&novograd_apply<W, G, M>, &larc_sgd_apply<W, G, M>, &larc_scale_apply<W, G>);
  });
}

cudaError_t launch_novograd_apply(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return launch(&novograd_apply<W, G, M>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

cudaError_t launch_larc_apply(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    if (!step.applies_sgd) return launch(&larc_scale_apply<W, G>, plan, kUpdateBlocks, device, stream, step);
    return launch(&larc_sgd_apply<W, G, M>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

}  // namespace layerwise
