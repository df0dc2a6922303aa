// A step whose norms the caller has: one launch. Every block works out the scalars of the layers whose tiles it has, from
// the state before the step; a layer's last block stores what becomes of that state.
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

__device__ __forceinline__ PreparedNovograd prepare_given(const DevicePlan& plan, const NovogradStep& step,
                                                          int64_t layer) {
  const double grads = step.given.grads[layer];
  if (step.applies_larc) return prepare(plan, step, layer, Sums<2>{{grads, step.given.weights[layer]}});
  return prepare(plan, step, layer, Sums<1>{{grads}});
}
__device__ __forceinline__ PreparedLarc prepare_given(const DevicePlan& plan, const LarcStep& step, int64_t layer) {
  return prepare(plan, step, layer, Sums<2>{{step.given.grads[layer], step.given.weights[layer]}});
}

template <class Step>
using Prepared = decltype(prepare_given(DevicePlan(), Step(), 0));

// By each block's first warp: the layers of which a shard has no element, whose state it keeps too.
template <class Step>
__device__ __forceinline__ void apply_elsewhere(const DevicePlan& plan, const Step& step) {
  if (threadIdx.x >= 32) return;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * 32;
  for (int64_t layer = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x; layer < plan.layer_count; layer += stride)
    if (takes_part_elsewhere(step.buffers, plan.options[layer], layer)) commit(step, layer, prepare_given(plan, step, layer));
  __syncwarp();  // each lane has read the step's counter
}

// The counter is read with the scalars, by thread 0 of each block.
__device__ __forceinline__ void advance_step_once_all_read(const DevicePlan& plan, const StepBuffers& buffers) {
  if (buffers.advanced_step && threadIdx.x < 32 && last_to_arrive(plan.blocks_done, gridDim.x) && threadIdx.x == 0)
    ++*buffers.advanced_step;
}

template <class Update>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    apply(const __grid_constant__ DevicePlan plan, const __grid_constant__ Dtype extra_dtype,
          const __grid_constant__ typename Update::Step step) {
  if (step_is_cancelled(step.buffers)) return;
  LAYERWISE_SHARED(shared, Prepared<typename Update::Step>);
  for (int64_t t = plan.tiles - 1 - blockIdx.x; t >= 0; t -= gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer)) continue;
    if (threadIdx.x < 32) {
      if (threadIdx.x == 0) shared = prepare_given(plan, step, tile.layer);
      if (is_last_of_layer(plan, tile) && threadIdx.x == 0) commit(step, tile.layer, shared);
    }
    __syncthreads();
    const bool layer_takes_part = shared.update.takes_part;
    const typename Update::Element layer = shared.update.element;
    __syncthreads();  // before the next tile's scalars overwrite these
    if (layer_takes_part) Update::of_tile(plan, step, extra_dtype, tile, layer, NotHeld());
  }
  apply_elsewhere(plan, step);
  advance_step_once_all_read(plan, step.buffers);
}

}  // namespace

cudaError_t load_apply(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return load_kernels(&apply<NovogradUpdate<W, G, M>>, &apply<LarcSgdUpdate<W, G, M>>, &apply<LarcScaleUpdate<W, G>>);
  });
}

cudaError_t launch_novograd_apply(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return launch(&apply<NovogradUpdate<W, G, M>>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

cudaError_t launch_larc_apply(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    auto* kernel = step.applies_sgd ? &apply<LarcSgdUpdate<W, G, M>> : &apply<LarcScaleUpdate<W, G>>;
    return launch(kernel, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

}  // namespace layerwise
