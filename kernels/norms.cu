// The first launch of a step: every layer's norm and, from it, every layer's constants.
//
//   reads    the gradients (LARC: and the weights) once, the second moment
//   writes   the second moment, the statistics, the plan's updates
//   bytes    4 an element of float32, 2 of 16-bit dtypes, for each buffer read
//   grid     one tile a block, tiles a grid's width apart; a layer's last block to arrive finishes the layer
//   aliasing none: what is read is not written by this launch
#include <cub/warp/warp_reduce.cuh>
#include <cuda/atomic>

#include "kernels/device.cuh"

namespace layerwise {
namespace {

template <class Reduction>
struct Combine {
  template <class Value>
  __device__ __forceinline__ Value operator()(Value a, Value b) const {
    return Reduction::combine(a, b);
  }
};

// The adjacent-pair tree over a warp's lanes, in every lane. CUB's shuffle reduction adds neighbours first: the tree
// of summation.h, which a test holds.
template <class Reduction, class Value>
__device__ __forceinline__ Value warp_tree(Value value) {
  using WarpReduce = cub::WarpReduce<Value>;
  LAYERWISE_SHARED(storage, typename WarpReduce::TempStorage[kWarps]);
  const Value root = WarpReduce(storage[threadIdx.x / 32]).Reduce(value, Combine<Reduction>());
  return __shfl_sync(0xffffffffu, root, 0);
}

template <class Reduction, class T, class... By>
__device__ __forceinline__ typename Reduction::Accumulator thread_sum(const T* elements, int count, By... by) {
  using Accumulator = typename Reduction::Accumulator;
  Accumulator sums[kThreadElements] = {};
  const bool whole = count == kTileElements && is_aligned(elements);
  if (whole) {
    FloatQuad rows[kRows];
#pragma unroll
    for (int row = 0; row < kRows; ++row) rows[row] = load_quad<KeepInCache>(elements + row_element(row));
#pragma unroll
    for (int row = 0; row < kRows; ++row)
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i)
        sums[i] = Reduction::accumulate(sums[i], rows[row].element[i], by...);
  } else {
#pragma unroll 2
    for (int row = 0; row * kAccumulators < count; ++row) {
      const FloatQuad quad = load_elements(elements, row_element(row), count);
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) sums[i] = Reduction::accumulate(sums[i], quad.element[i], by...);
    }
  }
  return Reduction::combine(Reduction::combine(sums[0], sums[1]), Reduction::combine(sums[2], sums[3]));
}

// A tile's sum, in every thread. Called by whole blocks.
template <class Reduction, class T, class... By>
__device__ __forceinline__ typename Reduction::Accumulator block_sum(const T* elements, int count, By... by) {
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

template <class Reduction, class T>
__device__ __forceinline__ double tile_norm(const T* elements, int count) {
  const auto sum = block_sum<Reduction>(elements, count);
  if (Reduction::in_range(sum)) return Reduction::widen(sum);
  const Rescale by = Reduction::rescale(sum);
  return Reduction::widen(block_sum<Reduction>(elements, count, by), by);
}

// The gradients' and the weights' sum, of a tile, a group or a layer.
struct Sums {
  double of[2];
};

// Whether this warp is the last of count to arrive; if so it sees what the others wrote before they arrived.
__device__ __forceinline__ bool last_to_arrive(uint32_t* arrivals, uint32_t count) {
  uint32_t earlier = 0;
  if (threadIdx.x % 32 == 0) {
    cuda::atomic_ref<uint32_t, cuda::thread_scope_device> counter(*arrivals);
    earlier = counter.fetch_add(1, cuda::std::memory_order_acq_rel);
    if (earlier == count - 1) counter.store(0, cuda::std::memory_order_relaxed);  // for the next step
  }
  earlier = __shfl_sync(0xffffffffu, earlier, 0);
  __syncwarp();  // a shuffle orders no memory
  return earlier == count - 1;
}

// One group of sums, lane by lane as summation.h has it, in every lane.
template <class Reduction>
__device__ __forceinline__ double warp_group_sum(const double* sums, int count) {
  double sum = 0;
  for (int i = threadIdx.x % 32; i < count; i += kGroupLanes) sum = Reduction::combine(sum, __ldcg(sums + 2 * i));
  return warp_tree<Reduction>(sum);
}

// Hands a tile's sums up the layer's tree. True in the one warp that ends with the layer's.
template <class Reduction, int kSums>
__device__ __forceinline__ bool finish_layer(const DevicePlan& plan, const Tile& tile, Sums& value) {
  const DeviceLayer& layer = plan.layers[tile.layer];
  double* sums = plan.sums + 2 * layer.first_sum;
  uint32_t* arrivals = plan.arrivals + layer.first_arrival;
  int64_t index = tile.index;
  for (int64_t count = tiles_of(layer.extent.size); count > 1;) {
    if (threadIdx.x % 32 == 0)
      for (int s = 0; s < kSums; ++s) sums[2 * index + s] = value.of[s];
    const int64_t group = index / kGroupTiles, first = group * kGroupTiles;
    const int members = count - first < kGroupTiles ? static_cast<int>(count - first) : kGroupTiles;
    if (!last_to_arrive(arrivals + group, members)) return false;
    for (int s = 0; s < kSums; ++s) value.of[s] = warp_group_sum<Reduction>(sums + 2 * first + s, members);
    sums += 2 * count;
    arrivals += groups_of(count);
    count = groups_of(count);
    index = group;
  }
  return true;
}

// By one thread: what becomes of a layer whose scalars are known.
template <class Element>
__device__ __forceinline__ void record(const StepBuffers& buffers, int64_t layer, const LayerUpdate<Element>& update) {
  if (!update.takes_part) {
    if (buffers.nonfinite_layers)
      cuda::atomic_ref<int64_t, cuda::thread_scope_device>(*buffers.nonfinite_layers)
          .fetch_add(1, cuda::std::memory_order_relaxed);
  } else if (buffers.layer_stats) {
    buffers.layer_stats[layer] = update.stats;
  }
}

__device__ __forceinline__ void finish_novograd(const DevicePlan& plan, const NovogradStep& step, int64_t layer,
                                                double norm) {
  const NovogradCall call = novograd_call(step.hyper);
  SecondMoment moment = load_second_moment(step, layer);
  const auto update = novograd_layer(step.hyper, call, plan.options[layer], norm, moment);
  if (update.takes_part) store_second_moment(step, layer, moment);
  plan.updates[layer].takes_part = update.takes_part;
  plan.updates[layer].novograd = update.element;
  record(step.buffers, layer, update);
}

__device__ __forceinline__ void finish_larc(const DevicePlan& plan, const LarcStep& step, int64_t layer,
                                            const Sums& sums) {
  const LarcCall call = larc_call(step.larc, step.sgd);
  const auto update = larc_layer(step.larc, step.sgd, call, plan.options[layer], sums.of[1], sums.of[0]);
  plan.updates[layer].takes_part = update.takes_part;
  plan.updates[layer].larc = update.element;
  record(step.buffers, layer, update);
}

template <class Reduction, class G>
__global__ void __launch_bounds__(kBlockThreads, kNormBlocks)
    novograd_norms(const __grid_constant__ DevicePlan plan, const __grid_constant__ NovogradStep step) {
  if (step_is_cancelled(step.buffers)) return;
  for (int64_t t = blockIdx.x; t < plan.tiles; t += gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer)) continue;
    Sums sums{};
    sums.of[0] = tile_norm<Reduction>(tile_address<const G>(plan, tile, step.buffers.grads), tile.count);
    if (threadIdx.x < 32 && finish_layer<Reduction, 1>(plan, tile, sums) && threadIdx.x == 0)
      finish_novograd(plan, step, tile.layer, sums.of[0]);
  }
}

template <class W, class G>
__global__ void __launch_bounds__(kBlockThreads, kNormBlocks)
    larc_norms(const __grid_constant__ DevicePlan plan, const __grid_constant__ LarcStep step) {
  if (step_is_cancelled(step.buffers)) return;
  for (int64_t t = blockIdx.x; t < plan.tiles; t += gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer)) continue;
    Sums sums{};
    sums.of[0] = tile_norm<SquareSum>(tile_address<const G>(plan, tile, step.buffers.grads), tile.count);
    sums.of[1] = tile_norm<SquareSum>(tile_address<const W>(plan, tile, step.buffers.weights), tile.count);
    if (threadIdx.x < 32 && finish_layer<SquareSum, 2>(plan, tile, sums) && threadIdx.x == 0)
      finish_larc(plan, step, tile.layer, sums);
  }
}

}  // namespace

cudaError_t load_norms(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return load_kernels(&novograd_norms<SquareSum, G>, &novograd_norms<LargestMagnitude, G>, &larc_norms<W, G>);
  });
}

cudaError_t launch_novograd_norms(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream) {
  return visit_element_dtype(dtypes.grads, [&]<class G>() {
    auto* kernel = step.hyper.infinity_norm ? &novograd_norms<LargestMagnitude, G> : &novograd_norms<SquareSum, G>;
    return launch(kernel, plan, kNormBlocks, device, stream, step);
  });
}

cudaError_t launch_larc_norms(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream) {
  return visit_element_dtype(dtypes.weights, [&]<class W>() {
    return visit_element_dtype(dtypes.grads,
                               [&]<class G>() { return launch(&larc_norms<W, G>, plan, kNormBlocks, device, stream, step); });
  });
}

}  // namespace layerwise
