// What a layer's sums make of it, and how the tiles of the layer learn of that.
#pragma once

#include "kernels/layer_tree.cuh"

namespace layerwise {

// What an optimizer's kernels share, beside how an element is updated: what a call's layers have in common (worked out
// once a block), and a layer's end, by the one thread that has its sums.
template <class T>
concept LayerEnd = requires(const DevicePlan& plan, const typename T::Step& step, const typename T::Call& call) {
  { T::call(step) } -> std::same_as<typename T::Call>;
  { T::is_done_for_absent_layers } -> std::convertible_to<bool>;
};

// A layer's constants from its sums to its elements, as they lie in the plan's memory: three accesses of 16 bytes.
template <class Coefficients>
struct alignas(16) LayerConstants {
  Coefficients coefficients;
  int32_t is_finite;  // 0: the layer keeps every bit
};

template <class Coefficients>
__device__ __forceinline__ LayerConstants<Coefficients> load_constants(const DevicePlan& plan, int64_t layer) {
  static_assert(sizeof(LayerConstants<Coefficients>) == sizeof(DeviceUpdate));
  const DeviceUpdate* const stored = plan.updates + layer;
  DeviceUpdate loaded;
#pragma unroll
  for (int i = 0; i < kUpdateWords; ++i) loaded.word[i] = __ldcg(stored->word + i);
  return bit_cast<LayerConstants<Coefficients>>(loaded);
}

// By one thread: what a step's elements and its caller see of a layer whose scalars are known.
template <class Coefficients>
__device__ __forceinline__ void publish(const DevicePlan& plan, const StepBuffers& buffers, int64_t layer,
                                        const LayerUpdate<Coefficients>& update) {
  if (!update.is_finite) {
    if (buffers.nonfinite_layers)
      DeviceAtomic<int64_t>(*buffers.nonfinite_layers).fetch_add(1, cuda::std::memory_order_relaxed);
  } else if (buffers.layer_stats) {
    buffers.layer_stats[layer] = update.stats;
  }
  LayerConstants<Coefficients> constants{};
  constants.coefficients = update.coefficients;
  constants.is_finite = update.is_finite;
  plan.updates[layer] = bit_cast<DeviceUpdate>(constants);
}

// A call's scalars for a whole block: thread 0 works them out, and they are there after the block's next barrier.
template <LayerEnd End>
__device__ __forceinline__ const typename End::Call& call_for_block(const typename End::Step& step) {
  LAYERWISE_SHARED(call, typename End::Call);
  if (threadIdx.x == 0) call = End::call(step);
  return call;
}

}  // namespace layerwise
