// A step as one persistent launch: a tile's gradients (LARC: and weights) wait in shared memory while the layer's norm
// completes, so that memory is read once.
//
//   reads    gradients, weights, first moment once; what a layer has beyond the blocks' capacity twice
//   writes   as the update of the two-pass step, and what its norms write
//   bytes    20 an element of float32 where all layers fit (18 with 16-bit gradients); larc_scale 12
//   grid     every block is resident; blocks draw tickets of the plan's work list, in its order
//   aliasing none; what is written is read by the same thread, after the layer's norm
//
// A block draws only while it has room for a tile, sums what it has drawn and hands the sum on before it waits for
// anything, and waits for the layer of its oldest tile only when it is full or the list is at its end. Tickets are
// drawn in order, so the tiles that are missing from the oldest unfinished layer go to blocks that do not wait: no
// deadlock as long as no layer holds more tiles than all blocks together have room for.
//
// A ticket takes two round trips to L2, so it is drawn ahead: while a tile is summed, if there is room for one more;
// while a tile is updated, once its layer need not be waited for any more, since that tile's room is free when the
// update ends. Between the draw and the sum of what was drawn nothing is waited for, so that the argument above holds.
#pragma once

#include "kernels/two_pass.cuh"

namespace layerwise {

// Draws a block's tickets: another warp than the one that hands sums up.
inline constexpr int kDrawingThread = kWarpThreads;

// What a block's threads know together. They read it from the barrier that begins a turn to the turn's next barrier;
// what changes is written after that, by one thread each: all that is here and not in registers would cost four of
// every thread.
struct OnePassBlock {
  WorkItem item;        // drawn last
  uint64_t launch;      // the number of this one
  int oldest, count;    // of the tiles held
  bool is_drawn;        // the item, and not begun
  bool is_at_end;       // of the list
  Tile held[kMostHeldTiles];
};

// Draws a block's tickets, in two steps between which there is time for other work.
class Tickets {
 public:
  __device__ __forceinline__ Tickets(const OnePassWork& work, OnePassBlock& block) : work_(work), block_(block) {}

  __device__ __forceinline__ void begin() {
    if (draws_here())
      ticket_ = DeviceAtomic<uint32_t>(work_.control->next_ticket).fetch_add(1, cuda::std::memory_order_relaxed);
  }
  __device__ __forceinline__ void go_on() {
    if (!draws_here()) return;
    block_.is_drawn = ticket_ < work_.count;
    block_.is_at_end = !block_.is_drawn;
    if (block_.is_drawn) block_.item = work_.items[ticket_];
  }
  // In place of both: the item that was drawn is begun, and there is no room for another.
  __device__ __forceinline__ void pause() {
    if (threadIdx.x == kDrawingThread) block_.is_drawn = false;
  }

 private:
  __device__ __forceinline__ bool draws_here() const { return threadIdx.x == kDrawingThread && !block_.is_at_end; }

  const OnePassWork& work_;
  OnePassBlock& block_;
  uint32_t ticket_ = 0;
};

// Whether a layer's constants are there, for the thread that looks.
__device__ __forceinline__ bool is_finished(const OnePassWork& work, uint64_t launch, uint32_t layer) {
  return DeviceAtomic<uint64_t>(work.finished[layer]).load(cuda::std::memory_order_acquire) == launch;
}

// Until they are there for every thread of a team. One look acquires; a wait looks without, since each look that does
// empties the L1 of the SM, and acquires once at its end.
template <TileTeam T>
__device__ __forceinline__ void wait_for_layer(const OnePassWork& work, uint64_t launch, uint32_t layer) {
  if (T::rank() == 0) {
    const DeviceAtomic<uint64_t> finished(work.finished[layer]);
    while (!is_finished(work, launch, layer))
      while (finished.load(cuda::std::memory_order_relaxed) != launch) __nanosleep(kPollNanoseconds);
  }
  T::sync();
}

// A tile's layer, waited for. When it is there the tile gives up its place, if it has one, and a ticket is drawn.
template <class Coefficients>
struct AwaitedLayer {
  static constexpr bool kMayWait = true, is_for_warp = false;
  const DevicePlan& plan;
  const OnePassWork& work;
  OnePassBlock& block;
  Tickets& tickets;
  uint32_t layer;
  bool was_held;

  __device__ __forceinline__ LayerConstants<Coefficients> wait() const {
    wait_for_layer<WholeBlock>(work, block.launch, layer);
    return load_constants<Coefficients>(plan, layer);
  }
  __device__ __forceinline__ void begin() const {
    if (was_held && threadIdx.x == 0) {
      block.oldest = block.oldest + 1 < work.slots ? block.oldest + 1 : 0;
      --block.count;
    }
    tickets.begin();
  }
  __device__ __forceinline__ void go_on() const { tickets.go_on(); }
};

// Hands a tile's sums on, by the block's first warp.
template <Norm N>
__device__ __forceinline__ void hand_on(const DevicePlan& plan, const OnePassWork& work, uint64_t launch,
                                        const typename N::End::Step& step, const typename N::End::Call& call,
                                        const Tile& tile, Sums<N::kSums>& sums) {
  if (warp() != 0 || !N::hand_up(plan, step, tile, sums) || lane() != 0) return;
  N::End::finish(plan, step, call, tile.layer, sums);
  DeviceAtomic<uint64_t>(work.finished[tile.layer]).store(launch, cuda::std::memory_order_release);
}

// The last block to leave makes all ready for the next launch.
__device__ __forceinline__ void leave(const OnePassWork& work, uint64_t launch, const StepBuffers& buffers) {
  if (threadIdx.x != 0) return;
  OnePassControl& control = *work.control;
  const uint32_t earlier = DeviceAtomic<uint32_t>(control.blocks_left).fetch_add(1, cuda::std::memory_order_acq_rel);
  if (earlier != gridDim.x - 1) return;
  control.blocks_left = 0;
  control.next_ticket = 0;
  control.launches = launch;
  if (buffers.advanced_step) ++*buffers.advanced_step;
}

// Room for a tile in shared memory.
template <class W, class G, bool kWithWeights>
__device__ __forceinline__ HeldTile<W, G, kWithWeights> held_in(unsigned char* memory, const OnePassWork& work, int slot) {
  constexpr int kGrads = kTileElements * sizeof(G), kWeights = kTileElements * sizeof(W);
  const bool with_weights = kWithWeights && work.holds_weights;
  unsigned char* const grads = memory + slot * (with_weights ? kGrads + kWeights : kGrads);
  return {reinterpret_cast<G*>(grads), with_weights ? reinterpret_cast<W*>(grads + kGrads) : nullptr};
}

template <Norm N, Update U, class W, class G>
__global__ void __launch_bounds__(kBlockThreads, kOnePassBlocks)
    one_pass(const __grid_constant__ DevicePlan plan, const __grid_constant__ OnePassWork work,
             const __grid_constant__ typename U::Step step) {
  if (step_is_cancelled_for_block(step.buffers)) return;
  LAYERWISE_DYNAMIC_SHARED(memory);
  LAYERWISE_SHARED(block, OnePassBlock);
  if (threadIdx.x == 0) {
    block.launch = work.control->launches + 1;
    block.oldest = block.count = 0;
  }
  if (threadIdx.x == kDrawingThread) block.is_drawn = block.is_at_end = false;
  const typename N::End::Call& call = call_for_block<typename N::End>(step);
  Tickets tickets(work, block);
  constexpr bool kWithWeights = N::kSums == 2;
  const auto update = [&](const Tile& tile, const HeldTile<W, G, kWithWeights>& at, bool was_held) {
    U::of_tile(plan, step, tile, at,
               AwaitedLayer<typename U::Coefficients>{plan, work, block, tickets, tile.layer, was_held});
  };

  for (;;) {
    __syncthreads();  // what the turn before has left is there for every thread, and all are done with its tile
    Tile tile;
    HeldTile<W, G, kWithWeights> at{nullptr, nullptr};
    const bool is_full = block.count == work.slots, was_held = is_full || block.is_at_end;
    bool updates = was_held, draws = false;
    int further = 0;  // tiles of the item beside this
    if (was_held) {
      if (block.count == 0) break;
      tile = block.held[block.oldest];
      at = held_in<W, G, kWithWeights>(memory, work, block.oldest);
    } else {
      if (!block.is_drawn) {
        __syncthreads();  // every thread has seen that nothing is drawn
        tickets.begin();
        tickets.go_on();
        __syncthreads();
        if (block.is_at_end) continue;
      }
      const WorkItem item = block.item;
      if (is_masked(step.buffers, plan.scattered, item.layer)) {
        __syncthreads();  // every thread has seen the item
        tickets.pause();
        continue;
      }
      tile = tile_of_layer(plan, item.layer, static_cast<uint32_t>(item.tile));
      updates = item.kind == WorkKind::kUpdate;
      further = item.tiles - 1;
      draws = block.count + 1 < work.slots || item.kind != WorkKind::kHold;
      if (item.kind == WorkKind::kHold) {
        const int free = block.oldest + block.count;
        at = held_in<W, G, kWithWeights>(memory, work, free < work.slots ? free : free - work.slots);
      }
    }
    if (updates) {
      update(tile, at, was_held);
      continue;
    }
    for (;; --further) {
      if (draws && further == 0) tickets.begin();
      auto sums = N::template of_tile<WholeBlock>(plan, step, tile, at);
      if (further == 0) {
        if (draws)
          tickets.go_on();
        else
          tickets.pause();
        if (at.grads && threadIdx.x == 0) {
          const int free = block.oldest + block.count++;
          block.held[free < work.slots ? free : free - work.slots] = tile;
        }
      }
      hand_on<N>(plan, work, block.launch, step, call, tile, sums);
      if (further == 0) break;
      tile = tile_of_layer(plan, tile.layer, tile.index + 1);
    }
  }
  leave(work, block.launch, step.buffers);
}

// ---- As the backend gets it ----

template <auto* kKernel>
cudaError_t allow_shared(int most_shared_bytes) {
  cudaFuncAttributes attributes;
  if (const cudaError_t status = cudaFuncGetAttributes(&attributes, kKernel)) return status;
  const int dynamic = most_shared_bytes - static_cast<int>(attributes.sharedSizeBytes);
  if (const cudaError_t status = cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, dynamic))
    return status;
  // Left to itself the driver may give L1 what several blocks on a multiprocessor need.
  return cudaFuncSetAttribute(kKernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
}

template <auto* kKernel, int kThreads>
cudaError_t resident_blocks(int shared_bytes, int* blocks) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kKernel, kThreads, shared_bytes);
}

template <auto* kKernel, int kThreads, class Step>
cudaError_t launch_persistent(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape,
                              const Step& step, cudaStream_t stream) {
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = &cooperative;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kKernel, plan, work, step);
}

template <auto* kKernel, int kThreads, class Step>
OnePassKernels<Step> persistent_kernels() {
  return {[] { return load_kernels(kKernel); }, &allow_shared<kKernel>, &resident_blocks<kKernel, kThreads>,
          &launch_persistent<kKernel, kThreads, Step>};
}

}  // namespace layerwise
