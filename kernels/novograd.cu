// The second launch of a NovoGrad step: every element's update.
//
//   reads    gradients, weights and first moment once
//   writes   weights, first moment; the weights' low-precision copy where there is one
//   bytes    20 an element of float32 (18 with 16-bit gradients), 2 more with the copy; the gradient's 4 may be L2 hits
//   grid     one tile a block, from the last tile backwards: the norms' newest gradients are still in L2
//   aliasing none; weights and moment are read and written by the same thread
#include "kernels/device.cuh"

namespace layerwise {
namespace {

template <class W, class G, class M>
struct Pointers {
  W* weights;
  const G* grads;
  M* moments;
  void* extra;
  Dtype extra_dtype;
};

__device__ __forceinline__ void update_quad(bool decoupled, const NovogradElement& layer, const FloatQuad& g,
                                            FloatQuad& m, FloatQuad& w) {
  if (decoupled) {
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i)
      novograd_decoupled_element(layer, g.element[i], m.element[i], w.element[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i) novograd_element(layer, g.element[i], m.element[i], w.element[i]);
  }
}

template <class W, class G, class M>
__device__ __forceinline__ void update_whole_tile(const Pointers<W, G, M>& at, bool decoupled,
                                                  const NovogradElement& layer) {
#pragma unroll 1
  for (int first = 0; first < kRows; first += kRowsInFlight) {
    FloatQuad g[kRowsInFlight], m[kRowsInFlight], w[kRowsInFlight];
#pragma unroll
    for (int row = 0; row < kRowsInFlight; ++row) {
      const int i = row_element(first + row);
      g[row] = load_quad<LastUse>(at.grads + i);
      m[row] = load_quad<LastUse>(at.moments + i);
      w[row] = load_quad<LastUse>(at.weights + i);
    }
#pragma unroll
    for (int row = 0; row < kRowsInFlight; ++row) {
      const int i = row_element(first + row);
      update_quad(decoupled, layer, g[row], m[row], w[row]);
      store_quad(at.moments + i, m[row]);
      store_quad(at.weights + i, w[row]);
      if (at.extra) store_extra_quad(at.extra, at.extra_dtype, i, w[row]);
    }
  }
}

template <class W, class G, class M>
__device__ __forceinline__ void update_part_tile(const Pointers<W, G, M>& at, bool decoupled,
                                                 const NovogradElement& layer, int count) {
#pragma unroll 1
  for (int row = 0; row * kAccumulators < count; ++row) {
    const int i = row_element(row);
    const FloatQuad g = load_elements(at.grads, i, count);
    FloatQuad m = load_elements(at.moments, i, count), w = load_elements(at.weights, i, count);
    update_quad(decoupled, layer, g, m, w);
    store_elements(at.moments, i, count, m);
    store_elements(at.weights, i, count, w);
    if (at.extra) store_extra_elements(at.extra, at.extra_dtype, i, count, w);
  }
}

template <class W, class G, class M>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    novograd_update(const __grid_constant__ DevicePlan plan, const __grid_constant__ Dtype extra_dtype,
                    const __grid_constant__ NovogradStep step) {
  if (step_is_cancelled(step.buffers)) return;
  advance_step(step.buffers);
  for (int64_t t = plan.tiles - 1 - blockIdx.x; t >= 0; t -= gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer) || !plan.updates[tile.layer].takes_part) continue;
    const NovogradElement layer = plan.updates[tile.layer].novograd;
    const Pointers<W, G, M> at{tile_address<W>(plan, tile, step.buffers.weights),
                               tile_address<const G>(plan, tile, step.buffers.grads),
                               tile_address<M>(plan, tile, step.buffers.first_moment),
                               extra_address(plan, tile, step.buffers.weights_extra), extra_dtype};
    const bool decoupled = step.hyper.decoupled_weight_decay;
    if (tile.count == kTileElements && is_aligned(at.weights) && is_aligned(at.grads) && is_aligned(at.moments) &&
        is_extra_aligned(at.extra))
      update_whole_tile(at, decoupled, layer);
    else
      update_part_tile(at, decoupled, layer, tile.count);
  }
}

}  // namespace

cudaError_t launch_novograd_update(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                   const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return launch(&novograd_update<W, G, M>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

}  // namespace layerwise
