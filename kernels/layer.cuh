// A layer across the blocks that have its tiles: the tree that its sums meet in, which block is its last, and what that
// one makes of the layer.
#pragma once

#include <cub/warp/warp_reduce.cuh>
#include <cuda/atomic>

#include "kernels/device.cuh"

namespace layerwise {

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

// The gradients' sum, or theirs and the weights', of a tile, a group or a layer.
template <int kCount>
struct Sums {
  double of[kCount];
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

// Takes a tile up its layer's tree, a whole warp at a time: level.leave(i) before it arrives in its group, where value
// i of the layer's scratch sums is its own; level.take(first, members) where it is the group's last. True in the one
// warp that ends with the layer.
template <class Level>
__device__ __forceinline__ bool climb(const DevicePlan& plan, const Tile& tile, Level&& level) {
  const DeviceLayer& layer = plan.layers[tile.layer];
  uint32_t* arrivals = plan.arrivals + layer.first_arrival;
  int64_t first_sum = layer.first_sum, index = tile.index;
  for (int64_t count = tiles_of(layer.extent.size); count > 1;) {
    level.leave(first_sum + index);
    const int64_t group = index / kGroupTiles, first = group * kGroupTiles;
    const int members = count - first < kGroupTiles ? static_cast<int>(count - first) : kGroupTiles;
    if (!last_to_arrive(arrivals + group, members)) return false;
    level.take(first_sum + first, members);
    first_sum += count;
    arrivals += groups_of(count);
    count = groups_of(count);
    index = group;
  }
  return true;
}

// Hands a tile's sums up the layer's tree.
template <class Reduction, int kSums>
struct SumLevel {
  double* sums;  // the plan's
  Sums<kSums>& value;

  __device__ __forceinline__ void leave(int64_t index) const {
    if (threadIdx.x % 32 == 0)
      for (int s = 0; s < kSums; ++s) sums[2 * index + s] = value.of[s];
  }
  __device__ __forceinline__ void take(int64_t first, int members) const {
    for (int s = 0; s < kSums; ++s) value.of[s] = warp_group_sum<Reduction>(sums + 2 * first + s, members);
  }
};

// True in the one warp that ends with the layer's sums.
template <class Reduction, int kSums>
__device__ __forceinline__ bool finish_layer(const DevicePlan& plan, const Tile& tile, Sums<kSums>& value) {
  return climb(plan, tile, SumLevel<Reduction, kSums>{plan.sums, value});
}

// Nothing to hand up: the sums are the caller's.
struct NoSums {
  __device__ __forceinline__ void leave(int64_t) const {}
  __device__ __forceinline__ void take(int64_t, int) const {}
};

// True in the one warp that is the last of those with the layer's tiles.
__device__ __forceinline__ bool is_last_of_layer(const DevicePlan& plan, const Tile& tile) {
  return climb(plan, tile, NoSums());
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

// A layer's scalars, and what is to be stored of them: by prepare, from what the layer's memory holds before the step.
struct PreparedNovograd {
  LayerUpdate<NovogradElement> update;
  SecondMoment moment;
};
__device__ __forceinline__ PreparedNovograd prepare(const DevicePlan& plan, const NovogradStep& step, int64_t layer,
                                                    const Sums<1>& sums) {
  PreparedNovograd prepared;
  prepared.moment = load_second_moment(step, layer);
  prepared.update =
      novograd_layer(step.hyper, novograd_call(step.hyper), plan.options[layer], sums.of[0], prepared.moment);
  return prepared;
}
// With LARC before it.
__device__ __forceinline__ PreparedNovograd prepare(const DevicePlan& plan, const NovogradStep& step, int64_t layer,
                                                    const Sums<2>& sums) {
  PreparedNovograd prepared;
  prepared.moment = load_second_moment(step, layer);
  prepared.update = larc_novograd_layer(step.larc, step.hyper, novograd_call(step.hyper), plan.options[layer],
                                        sums.of[1], sums.of[0], prepared.moment);
  return prepared;
}

struct PreparedLarc {
  LayerUpdate<LarcElement> update;
};
__device__ __forceinline__ PreparedLarc prepare(const DevicePlan& plan, const LarcStep& step, int64_t layer,
                                                const Sums<2>& sums) {
  return {larc_layer(step.larc, step.sgd, larc_call(step.larc, step.sgd), plan.options[layer], sums.of[1], sums.of[0])};
}

// By one thread a layer, once nothing reads its second moment any more.
__device__ __forceinline__ void commit(const NovogradStep& step, int64_t layer, const PreparedNovograd& prepared) {
  if (prepared.update.takes_part) store_second_moment(step, layer, prepared.moment);
  record(step.buffers, layer, prepared.update);
}
__device__ __forceinline__ void commit(const LarcStep& step, int64_t layer, const PreparedLarc& prepared) {
  record(step.buffers, layer, prepared.update);
}

__device__ __forceinline__ void set_update(DeviceUpdate& to, const LayerUpdate<NovogradElement>& update) {
  to.takes_part = update.takes_part;
  to.novograd = update.element;
}
__device__ __forceinline__ void set_update(DeviceUpdate& to, const LayerUpdate<LarcElement>& update) {
  to.takes_part = update.takes_part;
  to.larc = update.element;
}

// By one thread: everything that follows from a layer's sums, for the launch that updates.
template <class Step, int kSums>
__device__ __forceinline__ void finish(const DevicePlan& plan, const Step& step, int64_t layer,
                                       const Sums<kSums>& sums) {
  const auto prepared = prepare(plan, step, layer, sums);
  commit(step, layer, prepared);
  set_update(plan.updates[layer], prepared.update);
}
template <int kSums>
__device__ __forceinline__ void finish(const DevicePlan&, const PartialNorms& norms, int64_t layer,
                                       const Sums<kSums>& sums) {
  norms.grad_sums[layer] = sum_for_caller(sums.of[0], norms.infinity_norm);
  if constexpr (kSums == 2) norms.weight_sums[layer] = sums.of[1];
}

// A shard's sums are of the layers that it counts.
template <class Step>
__device__ __forceinline__ bool is_summed(const DevicePlan& plan, const Step& step, int64_t layer) {
  return takes_part(step.buffers, plan.scattered, layer);
}
__device__ __forceinline__ bool is_summed(const DevicePlan& plan, const PartialNorms& norms, int64_t layer) {
  return !plan.options[layer].not_counted && takes_part(norms.buffers, plan.scattered, layer);
}

// Of layers that no block finishes: the caller's sums are +0. A step leaves such layers as they are.
template <class Step>
__device__ __forceinline__ void finish_absent_layers(const DevicePlan&, const Step&) {}
__device__ __forceinline__ void finish_absent_layers(const DevicePlan& plan, const PartialNorms& norms) {
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kBlockThreads;
  for (int64_t layer = static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x; layer < plan.layer_count;
       layer += threads) {
    if (plan.layers[layer].extent.size > 0 && is_summed(plan, norms, layer)) continue;
    norms.grad_sums[layer] = 0;
    if (norms.weight_sums) norms.weight_sums[layer] = 0;
  }
}

}  // namespace layerwise
