// From a layer's sums to its update constants, and how the constants reach the layer's tiles.
#pragma once

#include "kernels/layer_tree.cuh"

namespace layerwise {

// The scalar part of an optimizer. call() computes what all layers of a step have in common, once per block. finish(),
// run by the one thread that ends up with a layer's sums, computes the layer's constants.
template <class T>
concept LayerEnd = requires(const DevicePlan& plan, const typename T::Step& step, const typename T::Call& call) {
  { T::call(step) } -> std::same_as<typename T::Call>;
  { T::is_done_for_absent_layers } -> std::convertible_to<bool>;
};

// The constants of a layer as they are stored in the plan's memory: 48 bytes, for three 16-byte accesses.
template <class Coefficients>
struct alignas(16) LayerConstants {
  Coefficients coefficients;
  int32_t is_finite;  // 0: the layer is skipped and keeps every bit
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

// Called by one thread once a layer's scalars are known: publishes its constants, and for the caller its statistics or
// the count of skipped layers.
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

// The scalars of a call, for a whole block. Thread 0 computes them; the others may read them after the next barrier.
template <LayerEnd End>
__device__ __forceinline__ const typename End::Call& call_for_block(const typename End::Step& step) {
  LAYERWISE_SHARED(call, typename End::Call);
  if (threadIdx.x == 0) call = End::call(step);
  return call;
}

}  // namespace layerwise
