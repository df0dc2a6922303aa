// larc_scale's update: a tile of gradients scaled in place; with folded decay the weights are read too.
#pragma once

#include "kernels/weights.cuh"

namespace layerwise {

// weights is null without decay.
template <class W, class G>
__device__ __forceinline__ void scale_quad(const LarcElement& layer, const W* weights, FloatQuad& g,
                                           const FloatQuad& w) {
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i)
    g.element[i] =
        weights ? larc_decayed_element(layer, g.element[i], w.element[i]) : larc_element(layer, g.element[i]);
}

template <int kRowsAtOnce, class W, class G, class Grads, class Weights>
__device__ __forceinline__ void scale_whole_tile(const LarcElement& layer, G* to, const W* weights, const Grads& from,
                                                 const Weights& held) {
#pragma unroll 1
  for (int first = 0; first < kRows; first += kRowsAtOnce) {
    FloatQuad g[kRowsAtOnce], w[kRowsAtOnce];
#pragma unroll
    for (int row = 0; row < kRowsAtOnce; ++row) {
      const int i = row_element(first + row);
      g[row] = from.template load_four<LastUse>(i);
      w[row] = weights ? held.template load_four<LastUse>(i) : FloatQuad{};
    }
#pragma unroll
    for (int row = 0; row < kRowsAtOnce; ++row) {
      scale_quad<W, G>(layer, weights, g[row], w[row]);
      store_quad(to + row_element(first + row), g[row]);
    }
  }
}

template <class W, class G, class Grads, class Weights>
__device__ __forceinline__ void scale_part_tile(const LarcElement& layer, G* to, const W* weights, int count,
                                                const Grads& from, const Weights& held) {
#pragma unroll 1
  for (int row = 0; row * kAccumulators < count; ++row) {
    const int i = row_element(row);
    FloatQuad g = from.load_some(i, count);
    const FloatQuad w = weights ? held.load_some(i, count) : FloatQuad{};
    scale_quad<W, G>(layer, weights, g, w);
    store_elements(to, i, count, g);
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
    W* const weights = step.larc.decay_in_factor ? tile_address<W>(plan, tile, step.buffers.weights) : nullptr;
    const auto from = elements_of(held.grads, static_cast<const G*>(grads));
    const auto decaying = weights_of(held, WholeWeights<W>{weights, nullptr, Dtype::kNone});
    if (tile.count == kTileElements && is_aligned(grads) && is_aligned(weights))
      scale_whole_tile<Held::kMostRowsInFlight, W>(layer, grads, weights, from, decaying);
    else
      scale_part_tile<W>(layer, grads, weights, tile.count, from, decaying);
  }
};

}  // namespace layerwise
