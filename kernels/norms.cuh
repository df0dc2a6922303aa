// A layer's norm, and what follows from it: a tile's sum by a whole block, the layer's sum by the last of its tiles to
// arrive, the layer's constants and second moment by one thread.
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

// What becomes of the rows that a norm has read.
struct KeepNothing {
  __device__ __forceinline__ void operator()(int, const FloatQuad&) const {}
};
template <class T>
struct KeepQuads {
  Quad<T>* quads;
  __device__ __forceinline__ void operator()(int row, const FloatQuad& quad) const {
    if (quads) quads[held_quad(row)] = pack<T>(quad);
  }
};
__device__ __forceinline__ KeepNothing keep_in(decltype(nullptr)) { return {}; }
template <class T>
__device__ __forceinline__ KeepQuads<T> keep_in(Quad<T>* quads) {
  return {quads};
}

template <class Reduction, class Policy, class T, class Keep, class... By>
__device__ __forceinline__ typename Reduction::Accumulator thread_sum(const T* elements, int count, Keep keep,
                                                                      By... by) {
  using Accumulator = typename Reduction::Accumulator;
  Accumulator sums[kThreadElements] = {};
  const bool whole = count == kTileElements && is_aligned(elements);
  if (whole) {
    FloatQuad rows[kRows];
#pragma unroll
    for (int row = 0; row < kRows; ++row) rows[row] = load_quad<Policy>(elements + row_element(row));
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      keep(row, rows[row]);
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i)
        sums[i] = Reduction::accumulate(sums[i], rows[row].element[i], by...);
    }
  } else {
#pragma unroll 2
    for (int row = 0; row * kAccumulators < count; ++row) {
      const FloatQuad quad = load_elements(elements, row_element(row), count);
      keep(row, quad);
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) sums[i] = Reduction::accumulate(sums[i], quad.element[i], by...);
    }
  }
  return Reduction::combine(Reduction::combine(sums[0], sums[1]), Reduction::combine(sums[2], sums[3]));
}

// A tile's sum, in every thread. Called by whole blocks.
template <class Reduction, class Policy, class T, class Keep, class... By>
__device__ __forceinline__ typename Reduction::Accumulator block_sum(const T* elements, int count, Keep keep, By... by) {
  using Accumulator = typename Reduction::Accumulator;
  LAYERWISE_SHARED(warp_sums, Accumulator[kWarps]);
  const Accumulator sum = warp_tree<Reduction>(thread_sum<Reduction, Policy>(elements, count, keep, by...));
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

template <class Reduction, class Policy = KeepInCache, class T, class Keep = KeepNothing>
__device__ __forceinline__ double tile_norm(const T* elements, int count, Keep keep = {}) {
  const auto sum = block_sum<Reduction, Policy>(elements, count, keep);
  if (Reduction::in_range(sum)) return Reduction::widen(sum);
  const Rescale by = Reduction::rescale(sum);
  return Reduction::widen(block_sum<Reduction, Policy>(elements, count, KeepNothing(), by), by);
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

// Hands a tile's sums on. True in the one thread that has finished the layer.
template <class Norm>
__device__ __forceinline__ bool finish_tile(const DevicePlan& plan, const typename Norm::Step& step, const Tile& tile,
                                            Sums& sums) {
  if (threadIdx.x >= 32 || !Norm::hand_up(plan, step, tile, sums) || threadIdx.x != 0) return false;
  Norm::finish(plan, step, tile.layer, sums);
  return true;
}

}  // namespace layerwise
