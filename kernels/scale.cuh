// larc_scale's update: a tile of gradients scaled in place.
#pragma once

#include "kernels/device.cuh"

namespace layerwise {

// With decay the weights are read too; null without.
template <class W, class G>
__device__ __forceinline__ void scale_quad(const LarcElement& layer, const W* weights, FloatQuad& g,
                                           const FloatQuad& w) {
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i)
    g.element[i] =
        weights ? larc_decayed_element(layer, g.element[i], w.element[i]) : larc_element(layer, g.element[i]);
}

template <class W, class G>
__device__ __forceinline__ void scale_whole_tile(const LarcElement& layer, G* grads, const W* weights) {
#pragma unroll 1
  for (int first = 0; first < kRows; first += kRowsInFlight) {
    FloatQuad g[kRowsInFlight], w[kRowsInFlight];
#pragma unroll
    for (int row = 0; row < kRowsInFlight; ++row) {
      const int i = row_element(first + row);
      g[row] = load_quad<LastUse>(grads + i);
      w[row] = weights ? load_quad<LastUse>(weights + i) : FloatQuad{};
    }
#pragma unroll
    for (int row = 0; row < kRowsInFlight; ++row) {
      scale_quad<W, G>(layer, weights, g[row], w[row]);
      store_quad(grads + row_element(first + row), g[row]);
    }
  }
}

template <class W, class G>
__device__ __forceinline__ void scale_part_tile(const LarcElement& layer, G* grads, const W* weights, int count) {
#pragma unroll 1
  for (int row = 0; row * kAccumulators < count; ++row) {
    const int i = row_element(row);
    FloatQuad g = load_elements(grads, i, count);
    const FloatQuad w = weights ? load_elements(weights, i, count) : FloatQuad{};
    scale_quad<W, G>(layer, weights, g, w);
    store_elements(grads, i, count, g);
  }
}

template <class W, class G>
__device__ __forceinline__ void scale_tile(const DevicePlan& plan, const Tile& tile, const LarcStep& step,
                                           const LarcElement& layer) {
  G* const grads = tile_address<G>(plan, tile, step.buffers.grads);
  const W* const weights =
      step.larc.fold_weight_decay ? tile_address<const W>(plan, tile, step.buffers.weights) : nullptr;
  if (tile.count == kTileElements && is_aligned(grads) && is_aligned(weights))
    scale_whole_tile(layer, grads, weights);
  else
    scale_part_tile(layer, grads, weights, tile.count);
}

}  // namespace layerwise
