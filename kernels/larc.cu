// The second launch of a LARC step: every gradient scaled in place, or SGD applied with the scaled gradient.
//
//   reads    larc_scale: gradients, with folded decay weights too; larc_sgd: gradients, weights, the momentum buffer
//   writes   larc_scale: gradients; larc_sgd: weights, the momentum buffer, the weights' copy where there is one
//   bytes    an element of float32: larc_scale 8, folded 12; larc_sgd 20, without momentum 12, 2 more with the copy
//   grid     one tile a block, from the last tile backwards: the norms' newest gradients and weights are still in L2
//   aliasing none; what is written is read by the same thread
#include "kernels/device.cuh"

namespace layerwise {
namespace {

template <class W, class G>
__device__ __forceinline__ FloatQuad scaled_quad(bool decayed, const LarcElement& layer, const FloatQuad& g,
                                                 const FloatQuad& w) {
  FloatQuad scaled;
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i)
    scaled.element[i] =
        decayed ? larc_decayed_element(layer, g.element[i], w.element[i]) : larc_element(layer, g.element[i]);
  return scaled;
}

template <class W, class G>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    larc_scale_update(const __grid_constant__ DevicePlan plan, const __grid_constant__ LarcStep step) {
  if (step_is_cancelled(step.buffers)) return;
  const bool decayed = step.larc.fold_weight_decay;
  for (int64_t t = plan.tiles - 1 - blockIdx.x; t >= 0; t -= gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer) || !plan.updates[tile.layer].takes_part) continue;
    const LarcElement layer = plan.updates[tile.layer].larc;
    G* const grads = tile_address<G>(plan, tile, step.buffers.grads);
    const W* const weights = tile_address<const W>(plan, tile, step.buffers.weights);
    if (tile.count == kTileElements && is_aligned(grads) && is_aligned(weights)) {
#pragma unroll 1
      for (int first = 0; first < kRows; first += kRowsInFlight) {
        FloatQuad g[kRowsInFlight], w[kRowsInFlight] = {};
#pragma unroll
        for (int row = 0; row < kRowsInFlight; ++row) {
          g[row] = load_quad<LastUse>(grads + row_element(first + row));
          if (decayed) w[row] = load_quad<LastUse>(weights + row_element(first + row));
        }
#pragma unroll
        for (int row = 0; row < kRowsInFlight; ++row)
          store_quad(grads + row_element(first + row), scaled_quad<W, G>(decayed, layer, g[row], w[row]));
      }
    } else {
#pragma unroll 1
      for (int row = 0; row * kAccumulators < tile.count; ++row) {
        const int i = row_element(row);
        const FloatQuad g = load_elements(grads, i, tile.count);
        const FloatQuad w = decayed ? load_elements(weights, i, tile.count) : FloatQuad{};
        store_elements(grads, i, tile.count, scaled_quad<W, G>(decayed, layer, g, w));
      }
    }
  }
}

template <class W, class G, class M>
struct Pointers {
  W* weights;
  const G* grads;
  M* moments;  // null without momentum
  void* extra;
  Dtype extra_dtype;
};

__device__ __forceinline__ void sgd_quad(bool nesterov, const LarcElement& layer, const FloatQuad& g, FloatQuad& b,
                                         FloatQuad& w) {
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i) {
    const float h = larc_decayed_element(layer, g.element[i], w.element[i]);
    b.element[i] = sgd_momentum(layer, h, b.element[i]);
    w.element[i] = sgd_weight(layer, nesterov, h, b.element[i], w.element[i]);
  }
}

template <class W, class G, class M>
__device__ __forceinline__ void sgd_whole_tile(const Pointers<W, G, M>& at, bool nesterov, const LarcElement& layer) {
#pragma unroll 1
  for (int first = 0; first < kRows; first += kRowsInFlight) {
    FloatQuad g[kRowsInFlight], b[kRowsInFlight] = {}, w[kRowsInFlight];
#pragma unroll
    for (int row = 0; row < kRowsInFlight; ++row) {
      const int i = row_element(first + row);
      g[row] = load_quad<LastUse>(at.grads + i);
      w[row] = load_quad<LastUse>(at.weights + i);
      if (at.moments) b[row] = load_quad<LastUse>(at.moments + i);
    }
#pragma unroll
    for (int row = 0; row < kRowsInFlight; ++row) {
      const int i = row_element(first + row);
      sgd_quad(nesterov, layer, g[row], b[row], w[row]);
      if (at.moments) store_quad(at.moments + i, b[row]);
      store_quad(at.weights + i, w[row]);
      if (at.extra) store_extra_quad(at.extra, at.extra_dtype, i, w[row]);
    }
  }
}

template <class W, class G, class M>
__device__ __forceinline__ void sgd_part_tile(const Pointers<W, G, M>& at, bool nesterov, const LarcElement& layer,
                                              int count) {
#pragma unroll 1
  for (int row = 0; row * kAccumulators < count; ++row) {
    const int i = row_element(row);
    const FloatQuad g = load_elements(at.grads, i, count);
    FloatQuad b = at.moments ? load_elements(at.moments, i, count) : FloatQuad{};
    FloatQuad w = load_elements(at.weights, i, count);
    sgd_quad(nesterov, layer, g, b, w);
    if (at.moments) store_elements(at.moments, i, count, b);
    store_elements(at.weights, i, count, w);
    if (at.extra) store_extra_elements(at.extra, at.extra_dtype, i, count, w);
  }
}

template <class W, class G, class M>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    larc_sgd_update(const __grid_constant__ DevicePlan plan, const __grid_constant__ Dtype extra_dtype,
                    const __grid_constant__ LarcStep step) {
  if (step_is_cancelled(step.buffers)) return;
  advance_step(step.buffers);
  for (int64_t t = plan.tiles - 1 - blockIdx.x; t >= 0; t -= gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer) || !plan.updates[tile.layer].takes_part) continue;
    const LarcElement layer = plan.updates[tile.layer].larc;
    void* const momentum = step.buffers.first_moment;
    const Pointers<W, G, M> at{tile_address<W>(plan, tile, step.buffers.weights),
                               tile_address<const G>(plan, tile, step.buffers.grads),
                               momentum ? tile_address<M>(plan, tile, momentum) : nullptr,
                               extra_address(plan, tile, step.buffers.weights_extra), extra_dtype};
    if (tile.count == kTileElements && is_aligned(at.weights) && is_aligned(at.grads) && is_aligned(at.moments) &&
        is_extra_aligned(at.extra))
      sgd_whole_tile(at, step.sgd.nesterov, layer);
    else
      sgd_part_tile(at, step.sgd.nesterov, layer, tile.count);
  }
}

}  // namespace

cudaError_t launch_larc_update(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                               const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    if (!step.applies_sgd) return launch(&larc_scale_update<W, G>, plan, kUpdateBlocks, device, stream, step);
    return launch(&larc_sgd_update<W, G, M>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

}  // namespace layerwise
