// A step as two launches. The first, every layer's norm and, from it, every layer's constants:
//
//   reads    the gradients (LARC: and the weights) once, the second moment
//   writes   the second moment, the statistics, the plan's updates; partial norms: the caller's sums alone
//   bytes    4 an element of float32, 2 of 16-bit dtypes, for each buffer read
//   grid     one tile a block, tiles a grid's width apart; a layer's last block to arrive finishes the layer
//   aliasing none: what is read is not written by this launch
//
// The second, every element's update:
//
//   reads    gradients, weights and first moment once; larc_scale: gradients, with folded decay weights too
//   writes   weights, first moment, the weights' low-precision copy where there is one; larc_scale: gradients
//   bytes    20 an element of float32 (18 with 16-bit gradients), 2 more with the copy, 12 without a moment; larc_scale
//            8, folded 12; the gradient's 4 may be L2 hits
//   grid     one tile a block, tiles a grid's width apart, from the last one backwards, so that the gradients the norms
//            read last are found in L2
//   aliasing none; what is written is read by the same thread
#pragma once

#include "kernels/norms.cuh"

namespace layerwise {

template <class Norm>
__global__ void __launch_bounds__(kBlockThreads, Norm::kBlocks)
    norms(const __grid_constant__ DevicePlan plan, const __grid_constant__ typename Norm::Step step) {
  if (step_is_cancelled(step.buffers)) return;
  finish_absent_layers(plan, step);
  for (int64_t t = blockIdx.x; t < plan.tiles; t += gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!is_summed(plan, step, tile.layer)) continue;
    auto sums = Norm::template of_tile<KeepInCache>(plan, step, tile, NotHeld());
    finish_tile<Norm>(plan, step, tile, sums);
  }
}

template <class Update>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    update(const __grid_constant__ DevicePlan plan, const __grid_constant__ Dtype extra_dtype,
           const __grid_constant__ typename Update::Step step) {
  if (step_is_cancelled(step.buffers)) return;
  advance_step(step.buffers);
  for (int64_t t = plan.tiles - 1 - blockIdx.x; t >= 0; t -= gridDim.x) {
    const Tile tile = tile_at(plan, t);
    if (!takes_part(step.buffers, plan.scattered, tile.layer)) continue;
    const DeviceUpdate& layer = plan.updates[tile.layer];
    if (layer.takes_part)
      Update::of_tile(plan, step, extra_dtype, tile, Update::element(layer), NotHeld());
  }
}

}  // namespace layerwise
