// The trees that a layer's sums meet in: of the accumulators of a tile, and of the tiles across the blocks and warps
// that have them. Every tree over lanes and threads is here, and is the adjacent-pair tree of summation.h: neighbours
// meet first. Which of two values is the first does not matter to a bit of what they give, NaN's own bits aside.
#pragma once

#include <cuda/atomic>

#include "kernels/tile.cuh"

namespace layerwise {

// How two partial results become one: SquareSum and LargestMagnitude of summation.h.
template <class T>
concept Reduction = requires(typename T::Accumulator sum) {
  { T::combine(sum, sum) } -> std::same_as<typename T::Accumulator>;
  { T::combine(0.0, 0.0) } -> std::same_as<double>;
  { T::widen(sum) } -> std::same_as<double>;
};

template <class T>
using DeviceAtomic = cuda::atomic_ref<T, cuda::thread_scope_device>;

// ---- Over threads ----

// Over values that one thread has, a power of two of them.
template <Reduction R, int kCount, class Value>
__device__ __forceinline__ Value value_tree(const Value (&values)[kCount]) {
  if constexpr (kCount == 1) {
    return values[0];
  } else {
    Value pairs[kCount / 2];
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) pairs[i] = R::combine(values[2 * i], values[2 * i + 1]);
    return value_tree<R>(pairs);
  }
}

// Over each run of count lanes of a warp, in every lane.
template <Reduction R, class Value>
__device__ __forceinline__ Value lane_tree(Value value, int count = kWarpThreads) {
#pragma unroll
  for (int apart = 1; apart < kWarpThreads; apart *= 2)
    if (apart < count) value = R::combine(value, __shfl_xor_sync(0xffffffffu, value, apart));
  return value;
}

// Over all lanes, of kCount values a lane at once: lane l has the root of value l % kCount. As long as there are two
// values a lane keeps every other one and gives its neighbour the rest, so that 32 values take 31 shuffles and not 160.
template <Reduction R, int kCount, int kApart = 1, class Value>
__device__ __forceinline__ Value lane_trees(const Value (&values)[kCount]) {
  if constexpr (kApart == kWarpThreads) {
    return values[0];
  } else if constexpr (kCount == 1) {
    const Value pair[1] = {R::combine(values[0], __shfl_xor_sync(0xffffffffu, values[0], kApart))};
    return lane_trees<R, 1, 2 * kApart>(pair);
  } else {
    const bool odd = threadIdx.x & kApart;
    Value kept[kCount / 2];
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) {
      const Value even_one = values[2 * i], odd_one = values[2 * i + 1];
      const Value given = __shfl_xor_sync(0xffffffffu, odd ? even_one : odd_one, kApart);
      kept[i] = R::combine(odd ? odd_one : even_one, given);
    }
    return lane_trees<R, kCount / 2, 2 * kApart>(kept);
  }
}

// ---- Over tiles ----

// The gradients' sum, or theirs and the weights', of a tile, a group or a layer.
template <int kCount>
struct Sums {
  double of[kCount];
};

// Whether this warp is the last of count to arrive; if so it sees what the others wrote before they arrived.
__device__ __forceinline__ bool last_to_arrive(uint32_t* arrivals, uint32_t count) {
  uint32_t earlier = 0;
  if (lane() == 0) {
    const DeviceAtomic<uint32_t> counter(*arrivals);
    earlier = counter.fetch_add(1, cuda::std::memory_order_acq_rel);
    if (earlier == count - 1) counter.store(0, cuda::std::memory_order_relaxed);  // for the next step
  }
  earlier = __shfl_sync(0xffffffffu, earlier, 0);
  __syncwarp();  // a shuffle orders no memory
  return earlier == count - 1;
}

// One group of sums, lane by lane as summation.h has it, in every lane.
__device__ __forceinline__ double warp_group_sum(const double* sums, int count, bool infinity_norm) {
  double sum = 0;
#pragma unroll 4
  for (int i = lane(); i < count; i += kGroupLanes) {
    const double value = __ldcg(sums + 2 * i);
    sum = infinity_norm ? LargestMagnitude::combine(sum, value) : SquareSum::combine(sum, value);
  }
  return infinity_norm ? lane_tree<LargestMagnitude>(sum) : lane_tree<SquareSum>(sum);
}

// Hands a tile's sums up its layer's tree, a whole warp at a time. True in the one warp that ends with the layer's.
template <int kSums>
__device__ __forceinline__ bool finish_layer(const DevicePlan& plan, const Tile& tile, Sums<kSums>& value,
                                             bool infinity_norm) {
  const DeviceLayer& layer = plan.layers[tile.layer];
  uint32_t* arrivals = plan.arrivals + layer.first_arrival;
  int64_t first_sum = layer.first_sum, index = tile.index;
  for (int64_t count = tiles_of(layer.extent.size); count > 1;) {
    if (lane() == 0)
      for (int s = 0; s < kSums; ++s) plan.sums[2 * (first_sum + index) + s] = value.of[s];
    const int64_t group = index / kGroupTiles, first = group * kGroupTiles;
    const int members = count - first < kGroupTiles ? static_cast<int>(count - first) : kGroupTiles;
    if (!last_to_arrive(arrivals + group, members)) return false;
    for (int s = 0; s < kSums; ++s)
      value.of[s] = warp_group_sum(plan.sums + 2 * (first_sum + first) + s, members, infinity_norm);
    first_sum += count;
    arrivals += groups_of(count);
    count = groups_of(count);
    index = group;
  }
  return true;
}

}  // namespace layerwise
