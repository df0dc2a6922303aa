// A step as two launches. The first, every layer's norm and, from it, every layer's constants:
//
//   reads    the gradients (LARC: and the weights) once, the second moment
//   writes   the second moment, the statistics, the plan's updates; partial norms: the caller's sums alone
//   bytes    4 an element of float32, 2 of 16-bit dtypes, for each buffer read
//   grid     one tile a warp, the first by its number and the others drawn; a layer's last warp to arrive finishes it. No
//            barrier but the call's: while one warp hands its sum up, the others read
//   aliasing none: what is read is not written by this launch
//
// The second, every element's update:
//
//   reads    gradients, weights and first moment once; larc_scale: gradients, with folded decay weights too
//   writes   weights, first moment, the weights' low-precision copy where there is one; larc_scale: gradients
//   bytes    20 an element of float32 (18 with 16-bit gradients), 2 more with the copy, 12 without a moment; larc_scale
//            8, folded 12; the gradient's 4 may be L2 hits
//   grid     one tile a block, or a small one a warp; units a grid's width apart, from the last one backwards, so that the
//            gradients the norms read last are found in L2
//   aliasing none; what is written is read by the same thread
//
// Where the device has it and the plan asks for it, the second begins while the first ends (programmatic dependent
// launch): its blocks take the places that the first's leave, and wait there for its end.
#pragma once

#include "kernels/norms.cuh"
#include "kernels/tile_update.cuh"

namespace layerwise {

// How a step updates a tile once its layer's constants are there, and what its update reads beside gradients that can be
// streamed.
template <class T>
concept Update = requires(const DevicePlan& plan, const typename T::Step& step, const Tile& tile, bool with_weights) {
  typename T::Coefficients;
  { T::streamed(plan, step, tile, with_weights).any() } -> std::same_as<bool>;
};

// The tiles of a launch, a warp at a time: each begins with that of its own number, and draws further ones, each while
// the one before is summed. Static strides would leave whoever ends layers ever further behind.
class DrawnTiles {
 public:
  __device__ __forceinline__ explicit DrawnTiles(const DevicePlan& plan)
      : plan_(plan), tile_(static_cast<int64_t>(blockIdx.x) * kWarps + warp()) {}

  __device__ __forceinline__ bool more() const { return tile_ < plan_.tiles; }
  __device__ __forceinline__ int64_t tile() const { return tile_; }
  __device__ __forceinline__ void draw() {
    if (lane() == 0)
      drawn_ = DeviceAtomic<int64_t>(plan_.draw->next_tile).fetch_add(1, cuda::std::memory_order_relaxed);
  }
  __device__ __forceinline__ void next() {
    tile_ = static_cast<int64_t>(gridDim.x) * kWarps + __shfl_sync(0xffffffffu, drawn_, 0);
  }
  // By the whole block, after the last draw of each of its warps.
  __device__ __forceinline__ void leave() const {
    __syncthreads();
    if (warp() == 0 && last_to_arrive(&plan_.draw->blocks_done, gridDim.x) && lane() == 0) plan_.draw->next_tile = 0;
  }

 private:
  const DevicePlan& plan_;
  int64_t tile_, drawn_ = 0;
};

// Of layers that no warp finishes.
template <LayerEnd End>
__device__ __forceinline__ void end_absent_layers(const DevicePlan& plan, const typename End::Step& step) {
  if constexpr (End::is_done_for_absent_layers) {
    const int64_t threads = static_cast<int64_t>(gridDim.x) * kBlockThreads;
    for (int64_t layer = static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x; layer < plan.layer_count;
         layer += threads)
      if (plan.layers[layer].extent.size == 0 || is_masked(step.buffers, plan.scattered, layer)) End::absent(step, layer);
  }
}

template <Norm N>
__global__ void __launch_bounds__(kBlockThreads, N::kBlocks)
    norms(const __grid_constant__ DevicePlan plan, const __grid_constant__ typename N::End::Step step) {
  using End = typename N::End;
  let_later_launch_begin();
  if (step_is_cancelled_for_block(step.buffers)) return;
  const typename End::Call& call = call_for_block<End>(step);
  end_absent_layers<End>(plan, step);
  DrawnTiles tiles(plan);
  if constexpr (cuda::std::is_empty_v<typename End::Call>) {  // nothing to wait for, which spares registers
    for (; tiles.more(); tiles.next()) {
      tiles.draw();
      const Tile tile = tile_at(plan, tiles.tile());
      if (is_masked(step.buffers, plan.scattered, tile.layer)) continue;
      auto sums = N::template of_tile<OneWarp>(plan, step, tile, NotHeld());
      if (N::hand_up(plan, step, tile, sums) && lane() == 0) End::finish(plan, step, call, tile.layer, sums);
    }
  } else {
    bool call_is_known = false;
    do {
      Tile tile{};
      Sums<N::kSums> sums{};
      bool summed = false;
      if (tiles.more()) {
        tiles.draw();
        tile = tile_at(plan, tiles.tile());
        summed = !is_masked(step.buffers, plan.scattered, tile.layer);
        if (summed) sums = N::template of_tile<OneWarp>(plan, step, tile, NotHeld());
      }
      if (!call_is_known) __syncthreads();  // not before the first tile is read
      call_is_known = true;
      if (summed && N::hand_up(plan, step, tile, sums) && lane() == 0) End::finish(plan, step, call, tile.layer, sums);
      if (tiles.more()) tiles.next();
    } while (tiles.more());
  }
  tiles.leave();
}

template <Norm N>
cudaError_t launch_norms(const DevicePlan& plan, const typename N::End::Step& step, const DeviceLimits& device,
                         cudaStream_t stream) {
  return launch(&norms<N>, (plan.tiles + kWarps - 1) / kWarps, int64_t{device.multiprocessors} * N::kBlocks, false, stream,
                plan, step);
}

template <Update U>
__global__ void __launch_bounds__(kBlockThreads, kUpdateBlocks)
    update(const __grid_constant__ DevicePlan plan, const __grid_constant__ typename U::Step step) {
  wait_for_earlier_launch();
  if (step_is_cancelled_for_block(step.buffers)) return;
  advance_step(step.buffers);
  for (int64_t u = plan.units - 1 - blockIdx.x; u >= 0; u -= gridDim.x) {
    const UpdateUnit unit = plan.update_units[u];
    const bool is_small = unit.tiles > 1;
    if (is_small && warp() >= static_cast<int>(unit.tiles)) continue;
    const Tile tile = tile_at(plan, unit.first_tile + (is_small ? warp() : 0));
    if (is_masked(step.buffers, plan.scattered, tile.layer)) continue;
    U::of_tile(plan, step, tile, NotHeld(), FinishedLayer<typename U::Coefficients>{plan, tile.layer, is_small});
  }
}

template <Update U>
cudaError_t launch_update(const DevicePlan& plan, const typename U::Step& step, const DeviceLimits& device,
                          cudaStream_t stream) {
  return launch(&update<U>, plan.units, int64_t{device.multiprocessors} * kUpdateBlocks, device.overlaps_launches, stream,
                plan, step);
}

}  // namespace layerwise
