// The first launch of a step: every layer's norm and, from it, every layer's constants.
//
//   reads    the gradients (LARC: and the weights) once, the second moment
//   writes   the second moment, the statistics, the plan's updates; partial norms: the caller's sums alone
//   bytes    4 an element of float32, 2 of 16-bit dtypes, for each buffer read
//   grid     one tile a block, tiles a grid's width apart; a layer's last block to arrive finishes the layer
//   aliasing none: what is read is not written by this launch
#include "kernels/layer.cuh"
#include "kernels/weights.cuh"

namespace layerwise {
namespace {

// Source: Elements or SplitElements.
template <class Reduction, class Source, class... By>
__device__ __forceinline__ typename Reduction::Accumulator thread_sum(const Source& elements, int count, By... by) {
  using Accumulator = typename Reduction::Accumulator;
  Accumulator sums[kThreadElements] = {};
  const bool whole = count == kTileElements && elements.aligned();
  if (whole) {
    FloatQuad rows[kRows];
#pragma unroll
    for (int row = 0; row < kRows; ++row) rows[row] = elements.template load_four<KeepInCache>(row_element(row));
#pragma unroll
    for (int row = 0; row < kRows; ++row)
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i)
        sums[i] = Reduction::accumulate(sums[i], rows[row].element[i], by...);
  } else {
#pragma unroll 2
    for (int row = 0; row * kAccumulators < count; ++row) {
      const FloatQuad quad = elements.load_some(row_element(row), count);
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) sums[i] = Reduction::accumulate(sums[i], quad.element[i], by...);
    }
  }
  return Reduction::combine(Reduction::combine(sums[0], sums[1]), Reduction::combine(sums[2], sums[3]));
}

// A tile's sum, in every thread. Called by whole blocks.
template <class Reduction, class Source, class... By>
__device__ __forceinline__ typename Reduction::Accumulator block_sum(const Source& elements, int count, By... by) {
  using Accumulator = typename Reduction::Accumulator;
  LAYERWISE_SHARED(warp_sums, Accumulator[kWarps]);
  const Accumulator sum = warp_tree<Reduction>(thread_sum<Reduction>(elements, count, by...));
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  Accumulator tree[kWarps];
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) tree[warp] = warp_sums[warp];
  __syncthreads();  // before the next tile's sums overwrite these
#pragma unroll
  for (int pairs = kWarps / 2; pairs > 0; pairs /= 2)
#pragma unroll
    for (int i = 0; i < kWarps / 2; ++i)
      if (i < pairs) tree[i] = Reduction::combine(tree[2 * i], tree[2 * i + 1]);
  return tree[0];
}

template <class Reduction, class Source>
__device__ __forceinline__ double tile_norm(const Source& elements, int count) {
  const auto sum = block_sum<Reduction>(elements, count);
  if (Reduction::in_range(sum)) return Reduction::widen(sum);
  const Rescale by = Reduction::rescale(sum);
  return Reduction::widen(block_sum<Reduction>(elements, count, by), by);
}

template <class Reduction, class G>
__device__ __forceinline__ double grads_norm(const DevicePlan& plan, const Tile& tile, const StepBuffers& buffers) {
  return tile_norm<Reduction>(Elements<G>{tile_address<const G>(plan, tile, buffers.grads)}, tile.count);
}

template <class W>
__device__ __forceinline__ double weights_norm(const DevicePlan& plan, const Tile& tile, const StepBuffers& buffers) {
  if constexpr (kMayBeSplit<W>) {
    if (buffers.weights_extra) {
      const SplitElements elements{tile_address<bfloat16>(plan, tile, buffers.weights),
                                   tile_address<remainder16>(plan, tile, buffers.weights_extra)};
      return tile_norm<SquareSum>(elements, tile.count);
    }
  }
  return tile_norm<SquareSum>(Elements<W>{tile_address<const W>(plan, tile, buffers.weights)}, tile.count);
}

// Step: what becomes of the sums, NovogradStep or PartialNorms.
template <class Reduction, class G, class Step>
__global__ void __launch_bounds__(kBlockThreads, kNormBlocks)
    grad_norms(const __grid_constant__ DevicePlan plan, const __grid_constant__ Step step) {
  if (step_is_cancelled(step.buffers)) return;
  for (int64_t t = blockIdx.x; t < plan.tiles; t += gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer)) continue;
    Sums<1> sums;
    sums.of[0] = grads_norm<Reduction, G>(plan, tile, step.buffers);
    if (threadIdx.x < 32 && finish_layer<Reduction>(plan, tile, sums) && threadIdx.x == 0)
      finish(plan, step, tile.layer, sums);
  }
}

// The weights' too. Step: LarcStep, NovogradStep with LARC before it, or PartialNorms.
template <class W, class G, class Step>
__global__ void __launch_bounds__(kBlockThreads, kNormBlocks)
    both_norms(const __grid_constant__ DevicePlan plan, const __grid_constant__ Step step) {
  if (step_is_cancelled(step.buffers)) return;
  for (int64_t t = blockIdx.x; t < plan.tiles; t += gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer)) continue;
    Sums<2> sums;
    sums.of[0] = grads_norm<SquareSum, G>(plan, tile, step.buffers);
    sums.of[1] = weights_norm<W>(plan, tile, step.buffers);
    if (threadIdx.x < 32 && finish_layer<SquareSum>(plan, tile, sums) && threadIdx.x == 0)
      finish(plan, step, tile.layer, sums);
  }
}

template <class Step>
cudaError_t launch_grad_norms(const DevicePlan& plan, const Dtypes& dtypes, const Step& step, bool infinity_norm,
                              const DeviceLimits& device, cudaStream_t stream) {
  return visit_element_dtype(dtypes.grads, [&]<class G>() {
    auto* kernel = infinity_norm ? &grad_norms<LargestMagnitude, G, Step> : &grad_norms<SquareSum, G, Step>;
    return launch(kernel, plan, kNormBlocks, device, stream, step);
  });
}

template <class Step>
cudaError_t launch_both_norms(const DevicePlan& plan, const Dtypes& dtypes, const Step& step,
                              const DeviceLimits& device, cudaStream_t stream) {
  return visit_element_dtype(dtypes.weights, [&]<class W>() {
    return visit_element_dtype(dtypes.grads, [&]<class G>() {
      return launch(&both_norms<W, G, Step>, plan, kNormBlocks, device, stream, step);
    });
  });
}

}  // namespace

cudaError_t load_norms(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return load_kernels(&grad_norms<SquareSum, G, NovogradStep>, &grad_norms<LargestMagnitude, G, NovogradStep>,
                        &both_norms<W, G, LarcStep>, &both_norms<W, G, NovogradStep>,
                        &grad_norms<SquareSum, G, PartialNorms>, &grad_norms<LargestMagnitude, G, PartialNorms>,
                        &both_norms<W, G, PartialNorms>);
  });
}

cudaError_t launch_novograd_norms(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream) {
  if (step.applies_larc) return launch_both_norms(plan, dtypes, step, device, stream);
  return launch_grad_norms(plan, dtypes, step, step.hyper.infinity_norm, device, stream);
}

cudaError_t launch_larc_norms(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream) {
  return launch_both_norms(plan, dtypes, step, device, stream);
}

cudaError_t launch_partial_norms(const DevicePlan& plan, const Dtypes& dtypes, const PartialNorms& norms,
                                 const DeviceLimits& device, cudaStream_t stream) {
  if (norms.weight_sums) return launch_both_norms(plan, dtypes, norms, device, stream);
  return launch_grad_norms(plan, dtypes, norms, norms.infinity_norm, device, stream);
}

}  // namespace layerwise
