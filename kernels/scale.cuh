// larc_scale's update: a tile of gradients scaled in place; with folded decay the weights are read too.
#pragma once

#include "kernels/device.cuh"

namespace layerwise {

// weights is null without decay.
template <class W, class G>
__device__ __forceinline__ void scale_quad(const LarcElement& layer, const W* weights, FloatQuad& g, const FloatQuad& w) {
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i)
    g.element[i] = weights ? larc_decayed_element(layer, g.element[i], w.element[i]) : larc_element(layer, g.element[i]);
}

template <class W, class G, class Held>
__device__ __forceinline__ void scale_whole_tile(const LarcElement& layer, G* grads, const W* weights, const Held& held) {
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
      scale_quad<W, G>(layer, weights, g[row], w[row]);
      store_quad(grads + row_element(first + row), g[row]);
    }
  }
}

template <class W, class G, class Held>
__device__ __forceinline__ void scale_part_tile(const LarcElement& layer, G* grads, const W* weights, int count,
                                                const Held& held) {
#pragma unroll 1
  for (int row = 0; row * kAccumulators < count; ++row) {
    FloatQuad g = elements_of(held.grads, grads, row, count);
    const FloatQuad w = weights ? elements_of(held.weights, weights, row, count) : FloatQuad{};
    scale_quad<W, G>(layer, weights, g, w);
    store_elements(grads, row_element(row), count, g);
  }
}

template <class W, class G>
struct LarcScaleUpdate {
  using Step = LarcStep;
  using Element = LarcElement;
  static __device__ __forceinline__ Element element(const DeviceUpdate& update) { return update.larc; }

  template <class Held>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, Dtype, const Tile& tile,
                                                 const Element& layer, const Held& held) {
    G* const grads = tile_address<G>(plan, tile, step.buffers.grads);
    const W* const weights =
        step.larc.fold_weight_decay ? tile_address<const W>(plan, tile, step.buffers.weights) : nullptr;
    if (tile.count == kTileElements && is_aligned(grads) && is_aligned(weights))
      scale_whole_tile(layer, grads, weights, held);
    else
      scale_part_tile(layer, grads, weights, tile.count, held);
  }
};

}  // namespace layerwise
