// What LARC does with a tile, alone or with SGD, whichever kernel walks over it.
#pragma once

#include "kernels/norms.cuh"
#include "kernels/update.cuh"

namespace layerwise {

template <class W, class G>
struct LarcNorm {
  using Step = LarcStep;

  template <class Policy, class Held>
  static __device__ __forceinline__ Sums of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                 const Held& held) {
    Sums sums{};
    sums.of[0] = tile_norm<SquareSum, Policy>(tile_address<const G>(plan, tile, step.buffers.grads), tile.count,
                                              keep_in(held.grads));
    sums.of[1] = tile_norm<SquareSum, Policy>(tile_address<const W>(plan, tile, step.buffers.weights), tile.count,
                                              keep_in(held.weights));
    return sums;
  }

  static __device__ __forceinline__ bool hand_up(const DevicePlan& plan, const Step&, const Tile& tile, Sums& sums) {
    return finish_layer<SquareSum, 2>(plan, tile, sums);
  }

  static __device__ __forceinline__ void finish(const DevicePlan& plan, const Step& step, int64_t layer,
                                                const Sums& sums) {
    const LarcCall call = larc_call(step.larc, step.sgd);
    const auto update = larc_layer(step.larc, step.sgd, call, plan.options[layer], sums.of[1], sums.of[0]);
    plan.updates[layer].takes_part = update.takes_part;
    plan.updates[layer].larc = update.element;
    record(step.buffers, layer, update);
  }
};

// The gradients scaled in place; with folded decay the weights are read too.
template <class W, class G>
struct LarcScaleUpdate {
  using Step = LarcStep;

  template <class Held>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, Dtype, const Tile& tile,
                                                 const DeviceUpdate& update, const Held& held) {
    const LarcElement layer = update.larc;
    G* const grads = tile_address<G>(plan, tile, step.buffers.grads);
    const W* const weights =
        step.larc.fold_weight_decay ? tile_address<const W>(plan, tile, step.buffers.weights) : nullptr;
    const auto scale = [&](FloatQuad& g, const FloatQuad& w) {
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i)
        g.element[i] = weights ? larc_decayed_element(layer, g.element[i], w.element[i]) : larc_element(layer, g.element[i]);
    };
    if (tile.count == kTileElements && is_aligned(grads) && is_aligned(weights))
      whole_tile(grads, weights, held, scale);
    else
      part_tile(grads, weights, tile.count, held, scale);
  }

 private:
  template <class Held, class Scale>
  static __device__ __forceinline__ void whole_tile(G* grads, const W* weights, const Held& held, Scale scale) {
    constexpr int kRowsInFlight = Held::kRowsInFlight;
#pragma unroll 1
    for (int first = 0; first < kRows; first += kRowsInFlight) {
      FloatQuad g[kRowsInFlight], w[kRowsInFlight];
#pragma unroll
      for (int row = 0; row < kRowsInFlight; ++row) {
        g[row] = quad_of(held.grads, grads, first + row);
        w[row] = weights ? quad_of(held.weights, weights, first + row) : FloatQuad{};
      }
#pragma unroll
      for (int row = 0; row < kRowsInFlight; ++row) {
        scale(g[row], w[row]);
        store_quad(grads + row_element(first + row), g[row]);
      }
    }
  }

  template <class Held, class Scale>
  static __device__ __forceinline__ void part_tile(G* grads, const W* weights, int count, const Held& held, Scale scale) {
#pragma unroll 1
    for (int row = 0; row * kAccumulators < count; ++row) {
      FloatQuad g = elements_of(held.grads, grads, row, count);
      const FloatQuad w = weights ? elements_of(held.weights, weights, row, count) : FloatQuad{};
      scale(g, w);
      store_elements(grads, row_element(row), count, g);
    }
  }
};

template <class W, class G, class M>
struct LarcSgdUpdate {
  using Step = LarcStep;

  template <class Held>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, Dtype extra_dtype,
                                                 const Tile& tile, const DeviceUpdate& update, const Held& held) {
    const LarcElement layer = update.larc;
    const bool nesterov = step.sgd.nesterov;
    update_tile(TilePointers<W, G, M>(plan, tile, step.buffers, extra_dtype), tile.count, held, [&](Quads& q) {
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) {
        const float h = larc_decayed_element(layer, q.g.element[i], q.w.element[i]);
        q.m.element[i] = sgd_momentum(layer, h, q.m.element[i]);
        q.w.element[i] = sgd_weight(layer, nesterov, h, q.m.element[i], q.w.element[i]);
      }
    });
  }
};

}  // namespace layerwise
