// A step as one persistent launch: a tile's gradients (LARC: and weights) wait in shared memory while the layer's norm
// completes, so that memory is read once.
//
//   reads    gradients, weights, first moment once; what a layer has beyond the blocks' capacity twice
//   writes   as the update of the two-pass step, and what its norms write
//   bytes    20 an element of float32 where all layers fit (18 with 16-bit gradients); larc_scale 12
//   grid     every block is resident; blocks draw tickets of the plan's work list, in its order
//   aliasing none; what is written is read by the same thread, after the layer's norm
//
// A block draws only while it has room for a tile, sums a tile and hands the sum on as soon as it has drawn it, and
// waits for the layer of its oldest tile only when it is full or the list is at its end. Tickets are drawn in order, so
// the tiles that are missing from the oldest unfinished layer go to blocks that do not wait: no deadlock as long as no
// layer holds more tiles than all blocks together have room for.
#pragma once

#include "kernels/norms.cuh"

namespace layerwise {

template <class T>
using DeviceAtomic = cuda::atomic_ref<T, cuda::thread_scope_device>;

// What a block's threads know together.
struct OnePassBlock {
  WorkItem item;    // drawn last
  uint64_t launch;  // the number of this one
  Tile held[kMostHeldTiles];
};

// The barriers also let every thread be done with what the block shares.
__device__ __forceinline__ void draw_item(const OnePassWork& work, OnePassBlock& block) {
  __syncthreads();
  if (threadIdx.x == 0) {
    const int64_t ticket = DeviceAtomic<int64_t>(work.control->next_ticket).fetch_add(1, cuda::std::memory_order_relaxed);
    block.item = ticket < work.count ? work.items[ticket] : WorkItem{0, 0, 0, WorkKind::kEnd};
  }
  __syncthreads();
}

// Until the layer's constants are there for every thread of the block.
__device__ __forceinline__ void wait_for_layer(const OnePassWork& work, const OnePassBlock& block, int64_t layer) {
  if (threadIdx.x == 0) {
    const DeviceAtomic<uint64_t> finished(work.finished[layer]);
    while (finished.load(cuda::std::memory_order_acquire) != block.launch) __nanosleep(kPollNanoseconds);
  }
  __syncthreads();
}

template <class Norm, class Policy, class Held>
__device__ __forceinline__ void sum_tile(const DevicePlan& plan, const OnePassWork& work, const OnePassBlock& block,
                                         const typename Norm::Step& step, const Tile& tile, const Held& held) {
  auto sums = Norm::template of_tile<Policy>(plan, step, tile, held);
  if (finish_tile<Norm>(plan, step, tile, sums))
    DeviceAtomic<uint64_t>(work.finished[tile.layer]).store(block.launch, cuda::std::memory_order_release);
}

// The last block to leave makes all ready for the next launch.
__device__ __forceinline__ void leave(const OnePassWork& work, const OnePassBlock& block, const StepBuffers& buffers) {
  if (threadIdx.x != 0) return;
  OnePassControl& control = *work.control;
  const uint32_t earlier = DeviceAtomic<uint32_t>(control.blocks_left).fetch_add(1, cuda::std::memory_order_acq_rel);
  if (earlier != gridDim.x - 1) return;
  control.blocks_left = 0;
  control.next_ticket = 0;
  control.launches = block.launch;
  if (buffers.advanced_step) ++*buffers.advanced_step;
}

// The tiles that a block holds, oldest first.
template <class W, class G>
class HeldTiles {
 public:
  __device__ __forceinline__ HeldTiles(const OnePassWork& work, unsigned char* memory, Tile* tiles)
      : work_(work), memory_(memory), tiles_(tiles) {}

  __device__ __forceinline__ bool full() const { return count_ == work_.slots; }
  __device__ __forceinline__ bool empty() const { return count_ == 0; }
  __device__ __forceinline__ Tile oldest() const { return tiles_[oldest_]; }
  __device__ __forceinline__ HeldTile<W, G> oldest_held() const { return slot(oldest_); }

  // A barrier must follow before oldest() is read.
  __device__ __forceinline__ HeldTile<W, G> push(const Tile& tile) {
    const int free = wrapped(oldest_ + count_++);
    if (threadIdx.x == 0) tiles_[free] = tile;
    return slot(free);
  }
  __device__ __forceinline__ void pop() {
    oldest_ = wrapped(oldest_ + 1);
    --count_;
  }

 private:
  __device__ __forceinline__ int wrapped(int slot) const { return slot < work_.slots ? slot : slot - work_.slots; }
  __device__ __forceinline__ HeldTile<W, G> slot(int index) const {
    constexpr int kGrads = kTileElements * sizeof(G), kWeights = kTileElements * sizeof(W);
    unsigned char* const grads = memory_ + index * (work_.holds_weights ? kGrads + kWeights : kGrads);
    return {reinterpret_cast<Quad<G>*>(grads), work_.holds_weights ? reinterpret_cast<Quad<W>*>(grads + kGrads) : nullptr};
  }

  const OnePassWork& work_;
  unsigned char* const memory_;
  Tile* const tiles_;
  int oldest_ = 0, count_ = 0;
};

template <class Norm, class Update, class W, class G>
__global__ void __launch_bounds__(kBlockThreads, kOnePassBlocks)
    one_pass(const __grid_constant__ DevicePlan plan, const __grid_constant__ OnePassWork work,
             const __grid_constant__ Dtype extra_dtype, const __grid_constant__ typename Update::Step step) {
  if (step_is_cancelled(step.buffers)) return;
  LAYERWISE_DYNAMIC_SHARED(memory);
  LAYERWISE_SHARED(block, OnePassBlock);
  if (threadIdx.x == 0) block.launch = work.control->launches + 1;
  HeldTiles<W, G> held(work, memory, block.held);
  const auto update_tile_from = [&](const auto& source, const Tile& tile) {
    wait_for_layer(work, block, tile.layer);
    const DeviceUpdate& layer = plan.updates[tile.layer];
    if (layer.takes_part) Update::of_tile(plan, step, extra_dtype, tile, Update::element(layer), source);
  };

  for (bool more = true; more || !held.empty();) {
    if (!more || held.full()) {
      update_tile_from(held.oldest_held(), held.oldest());
      held.pop();
      continue;
    }
    draw_item(work, block);
    more = block.item.kind != WorkKind::kEnd;
    if (!more || !takes_part(step.buffers, plan.scattered, block.item.layer)) continue;
    for (int i = 0; i < block.item.tiles; ++i) {
      const Tile tile = tile_of_layer(plan, block.item.layer, block.item.tile + i);
      if (block.item.kind == WorkKind::kHold)
        sum_tile<Norm, LastUse>(plan, work, block, step, tile, held.push(tile));
      else if (block.item.kind == WorkKind::kNorm)
        sum_tile<Norm, KeepInCache>(plan, work, block, step, tile, NotHeldHere());
      else
        update_tile_from(NotHeldHere(), tile);
    }
  }
  leave(work, block, step.buffers);
}

// Loads a kernel onto the current device and allows it the shared memory there is; blocks: how many of the wanted
// shape's blocks a multiprocessor holds.
template <class... Parameters>
cudaError_t prepare_one_pass(void (*kernel)(Parameters...), int most_shared_bytes, int shared_bytes, int* blocks) {
  cudaFuncAttributes attributes;
  if (const cudaError_t status = cudaFuncGetAttributes(&attributes, kernel)) return status;
  const int dynamic = most_shared_bytes - static_cast<int>(attributes.sharedSizeBytes);
  if (const cudaError_t status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, dynamic))
    return status;
  // Left to itself the driver may give L1 what several blocks on a multiprocessor need.
  if (const cudaError_t status = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                                      cudaSharedmemCarveoutMaxShared))
    return status;
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kernel, kBlockThreads, shared_bytes);
}

template <class Step>
cudaError_t launch_one_pass(void (*kernel)(DevicePlan, OnePassWork, Dtype, Step), const DevicePlan& plan,
                            const OnePassWork& work, const OnePassShape& shape, Dtype extra_dtype, const Step& step,
                            cudaStream_t stream) {
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
  config.blockDim = dim3(kBlockThreads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = &cooperative;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, plan, work, extra_dtype, step);
}

}  // namespace layerwise
