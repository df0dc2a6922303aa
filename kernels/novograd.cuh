// What NovoGrad does with a tile, whichever kernel walks over it.
#pragma once

#include "kernels/norms.cuh"
#include "kernels/update.cuh"

namespace layerwise {

template <class G>
struct NovogradNorm {
  using Step = NovogradStep;

  template <class Policy, class Held>
  static __device__ __forceinline__ Sums of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                 const Held& held) {
    const G* const grads = tile_address<const G>(plan, tile, step.buffers.grads);
    Sums sums{};
    sums.of[0] = step.hyper.infinity_norm
                     ? tile_norm<LargestMagnitude, Policy>(grads, tile.count, keep_in(held.grads))
                     : tile_norm<SquareSum, Policy>(grads, tile.count, keep_in(held.grads));
    return sums;
  }

  static __device__ __forceinline__ bool hand_up(const DevicePlan& plan, const Step& step, const Tile& tile, Sums& sums) {
    return step.hyper.infinity_norm ? finish_layer<LargestMagnitude, 1>(plan, tile, sums)
                                    : finish_layer<SquareSum, 1>(plan, tile, sums);
  }

  static __device__ __forceinline__ void finish(const DevicePlan& plan, const Step& step, int64_t layer,
                                                const Sums& sums) {
    const NovogradCall call = novograd_call(step.hyper);
    SecondMoment moment = load_second_moment(step, layer);
    const auto update = novograd_layer(step.hyper, call, plan.options[layer], sums.of[0], moment);
    if (update.takes_part) store_second_moment(step, layer, moment);
    plan.updates[layer].takes_part = update.takes_part;
    plan.updates[layer].novograd = update.element;
    record(step.buffers, layer, update);
  }
};

template <class W, class G, class M>
struct NovogradUpdate {
  using Step = NovogradStep;

  template <class Held>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, Dtype extra_dtype,
                                                 const Tile& tile, const DeviceUpdate& update, const Held& held) {
    const NovogradElement layer = update.novograd;
    const bool decoupled = step.hyper.decoupled_weight_decay;
    update_tile(TilePointers<W, G, M>(plan, tile, step.buffers, extra_dtype), tile.count, held, [&](Quads& q) {
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) {
        if (decoupled)
          novograd_decoupled_element(layer, q.g.element[i], q.m.element[i], q.w.element[i]);
        else
          novograd_element(layer, q.g.element[i], q.m.element[i], q.w.element[i]);
      }
    });
  }
};

}  // namespace layerwise
