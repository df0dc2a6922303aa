// The second launch of a LARC step: every gradient scaled in place, or SGD applied with the scaled gradient.
//
//   reads    larc_scale: gradients, with folded decay weights too; larc_sgd: gradients, weights, the momentum buffer
//   writes   larc_scale: gradients; larc_sgd: weights, the momentum buffer, the weights' copy where there is one
//   bytes    an element of float32: larc_scale 8, folded 12; larc_sgd 20, without momentum 12, 2 more with the copy
//   grid     one tile a block, tiles a grid's width apart, backwards
//   aliasing none; what is written is read by the same thread
#include "kernels/update.cuh"

namespace layerwise {
namespace {

// With decay the weights are read too; null without.
template <class W, class G>
__device__ __forceinline__ void scale_quad(const LarcElement& layer, const W* weights, FloatQuad& g, const FloatQuad& w) {
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i)
    g.element[i] = weights ? larc_decayed_element(layer, g.element[i], w.element[i]) : larc_element(layer, g.element[i]);
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
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    larc_scale_update(const __grid_constant__ DevicePlan plan, const __grid_constant__ LarcStep step) {
  if (step_is_cancelled(step.buffers)) return;
  for_each_updated_tile(plan, step.buffers, [&](const Tile& tile, const DeviceUpdate& update) {
    const LarcElement layer = update.larc;
    G* const grads = tile_address<G>(plan, tile, step.buffers.grads);
    const W* const weights =
        step.larc.fold_weight_decay ? tile_address<const W>(plan, tile, step.buffers.weights) : nullptr;
    if (tile.count == kTileElements && is_aligned(grads) && is_aligned(weights))
      scale_whole_tile(layer, grads, weights);
    else
      scale_part_tile(layer, grads, weights, tile.count);
  });
}

template <class W, class G, class M>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    larc_sgd_update(const __grid_constant__ DevicePlan plan, const __grid_constant__ Dtype extra_dtype,
                    const __grid_constant__ LarcStep step) {
  if (step_is_cancelled(step.buffers)) return;
  advance_step(step.buffers);
  for_each_updated_tile(plan, step.buffers, [&](const Tile& tile, const DeviceUpdate& update) {
    const LarcElement layer = update.larc;
    const bool nesterov = step.sgd.nesterov;
    update_tile(TilePointers<W, G, M>(plan, tile, step.buffers, extra_dtype), tile.count, [&](Quads& q) {
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) {
        const float h = larc_decayed_element(layer, q.g.element[i], q.w.element[i]);
        q.m.element[i] = sgd_momentum(layer, h, q.m.element[i]);
        q.w.element[i] = sgd_weight(layer, nesterov, h, q.m.element[i], q.w.element[i]);
      }
    });
  });
}

}  // namespace

cudaError_t load_larc_update(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return load_kernels(&larc_scale_update<W, G>, &larc_sgd_update<W, G, M>);
  });
}

cudaError_t launch_larc_update(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                               const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    if (!step.applies_sgd) return launch(&larc_scale_update<W, G>, plan, kUpdateBlocks, device, stream, step);
    return launch(&larc_sgd_update<W, G, M>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

}  // namespace layerwise
