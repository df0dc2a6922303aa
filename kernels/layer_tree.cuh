// Tree reductions: over the accumulators of a tile, and over the tiles of a layer, which different blocks and warps
// have summed. All of them are the adjacent-pair tree of summation.h, in which neighbours are combined first. The
// operand order within a pair is free: add and max are commutative to the bit, except for the payload of a NaN.
#pragma once

#include <cuda/atomic>

#include "kernels/tile.cuh"

namespace layerwise {

// How two partial results are combined: SquareSum or LargestMagnitude of summation.h.
template <class T>
concept Reduction = requires(typename T::Accumulator sum) {
  { T::combine(sum, sum) } -> std::same_as<typename T::Accumulator>;
  { T::combine(0.0, 0.0) } -> std::same_as<double>;
  { T::widen(sum) } -> std::same_as<double>;
};

template <class T>
using DeviceAtomic = cuda::atomic_ref<T, cuda::thread_scope_device>;

// ---- Over threads ----

// Over the values of one thread; their number is a power of two.
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

// Over each group of count neighbouring lanes of a warp; every lane gets the result of its group.
template <Reduction R, class Value>
__device__ __forceinline__ Value lane_tree(Value value, int count = kWarpThreads) {
#pragma unroll
  for (int apart = 1; apart < kWarpThreads; apart *= 2)
    if (apart < count) value = R::combine(value, __shfl_xor_sync(0xffffffffu, value, apart));
  return value;
}

// Over all lanes of a warp, for kCount values per lane at once; lane l gets the root of value l % kCount. As long as a
// lane has two values or more, it keeps half of them and passes the other half to its partner in exchange for the
// partner's, so 32 values take 31 shuffles instead of 32 trees of 5.
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

// Sums over a tile, a group of tiles or a layer: of the gradients, or of the gradients and the weights.
template <int kCount>
struct Sums {
  double of[kCount];
};

// True in the last of count warps to arrive, which then sees everything that the others wrote before they arrived.
__device__ __forceinline__ bool last_to_arrive(uint32_t* arrivals, uint32_t count) {
  uint32_t earlier = 0;
  if (lane() == 0) {
    const DeviceAtomic<uint32_t> counter(*arrivals);
    earlier = counter.fetch_add(1, cuda::std::memory_order_acq_rel);
    if (earlier == count - 1) counter.store(0, cuda::std::memory_order_relaxed);  // ready for the next step
  }
  earlier = __shfl_sync(0xffffffffu, earlier, 0);
  __syncwarp();  // a shuffle does not order memory accesses
  return earlier == count - 1;
}

// Reduces one group of sums with the lanes and the order of summation.h; every lane gets the result.
__device__ __forceinline__ double warp_group_sum(const double* sums, int count, bool infinity_norm) {
  double sum = 0;
#pragma unroll 4
  for (int i = lane(); i < count; i += kGroupLanes) {
    const double value = __ldcg(sums + 2 * i);
    sum = infinity_norm ? LargestMagnitude::combine(sum, value) : SquareSum::combine(sum, value);
  }
  return infinity_norm ? lane_tree<LargestMagnitude>(sum) : lane_tree<SquareSum>(sum);
}

// Passes a tile's sums up the tree of its layer; called by whole warps. Returns true in the one warp that ends up with
// the sums of the layer.
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
