// A step in one pass whose tiles come by asynchronous bulk copies. Where the device has them (compute capability 9.0 and
// newer) and the plan asks for it; the same work list as one_pass.cuh, the same bits, and its traffic:
//
//   reads    gradients (LARC: and weights) once, by copies straight into shared memory, up to a slot ahead of what is
//            summed; the weights and moments of an update through a ring of two stages (row_ring.cuh). What is not
//            whole, not aligned to 16 bytes, split or rounded at random as in one_pass.cuh
//   grid     every block is resident. A block has two producer warps, of which one thread each works: one draws tickets
//            and fetches their tiles, the other fetches the rows of updates. Its other warps, the consumers, sum and
//            update
//
// The block's slots are a ring, filled in the order of the tickets. A ticket is drawn only when the ring's next slot is
// free. The consumers wait for a layer only when that slot is not free, or the list is at its end: a tile that was drawn
// is summed and its sum handed on before anything is waited for, which one_pass.cuh's argument against deadlock rests on.
// While the next tile is on its way they update the oldest one, if its layer is finished. Tiles are updated in the order
// of their slots, so the producer of rows knows which comes next.
#pragma once

#include "kernels/one_pass.cuh"

namespace layerwise {

inline constexpr int kBulkThreads = kBlockThreads + kProducerWarps * kWarpThreads;

// The warps that sum and update.
struct Consumers {
  static constexpr int kThreads = kBlockThreads;
  static __device__ __forceinline__ int rank() { return static_cast<int>(threadIdx.x); }
  static __device__ __forceinline__ void sync() { sync_on_named_barrier<kBlockThreads>(); }
};

// What a slot holds: a tile that is to be summed, updated or both, or the end of the list.
struct SlotTile {
  Tile tile;
  WorkKind kind;
  bool is_fetched;   // its bytes are in the slot when the slot is full; else they are read from memory
  bool is_streamed;  // the rows of its update come through the ring
  bool is_end;
};

struct BulkBlock {
  uint64_t launch;                           // the number of this one
  TransactionBarrier full[kMostHeldTiles];   // the tiles' producer arrives, with the bytes: the slot's tile is there
  TransactionBarrier empty[kMostHeldTiles];  // consumer warps and the rows' producer arrive: none needs the slot any more
  SlotTile tiles[kMostHeldTiles];
  StageBarriers stages;
  bool updates[2];  // thread 0's choice between the oldest tile and the next; two, since a warp may read one late
};

// ---- The producers: one thread each ----

template <Norm N, Update U, class W, class G>
__device__ __forceinline__ void fetch_tile(const DevicePlan& plan, const OnePassWork& work, const typename U::Step& step,
                                           unsigned char* slots, BulkBlock& block, int slot, const Tile& tile,
                                           WorkKind kind) {
  const G* const grads = tile_address<const G>(plan, tile, step.buffers.grads);
  const auto at = held_in<W, G, N::kSums == 2>(slots, work, slot);
  const W* const weights = at.weights ? tile_address<const W>(plan, tile, step.buffers.weights) : nullptr;
  const bool is_fetched = tile.count == kTileElements && can_be_fetched(grads) && can_be_fetched(weights);
  const bool is_streamed =
      is_fetched && kind != WorkKind::kNorm && U::streamed(plan, step, tile, !work.holds_weights).any();
  block.tiles[slot] = {tile, kind, is_fetched, is_streamed, false};
  if (!is_fetched) return arrive(block.full[slot]);
  constexpr int kGrads = kTileElements * sizeof(G), kWeights = kTileElements * sizeof(W);
  arrive_expecting(block.full[slot], weights ? kGrads + kWeights : kGrads);
  fetch(at.grads, grads, kGrads, block.full[slot]);
  if (weights) fetch(at.weights, weights, kWeights, block.full[slot]);
}

template <Norm N, Update U, class W, class G>
__device__ __forceinline__ void fetch_tiles(const DevicePlan& plan, const OnePassWork& work, const typename U::Step& step,
                                            unsigned char* slots, BulkBlock& block) {
  RingPlace slot;
  for (;;) {
    wait_for_end(block.empty[slot.at], slot.parity ^ 1);
    const uint32_t ticket =
        DeviceAtomic<uint32_t>(work.control->next_ticket).fetch_add(1, cuda::std::memory_order_relaxed);
    if (ticket >= work.count) break;
    const WorkItem item = work.items[ticket];
    if (is_masked(step.buffers, plan.scattered, item.layer)) continue;
    for (int t = 0; t < item.tiles; ++t) {
      if (t > 0) wait_for_end(block.empty[slot.at], slot.parity ^ 1);
      const Tile tile = tile_of_layer(plan, item.layer, static_cast<uint32_t>(item.tile + t));
      fetch_tile<N, U, W, G>(plan, work, step, slots, block, slot.at, tile, item.kind);
      slot.advance(work.slots);
    }
  }
  block.tiles[slot.at].is_end = true;
  arrive(block.full[slot.at]);
}

template <Update U>
__device__ __forceinline__ void fetch_rows(const DevicePlan& plan, const OnePassWork& work, const typename U::Step& step,
                                           unsigned char* ring, BulkBlock& block) {
  RingPlace slot, stage;
  for (;; slot.advance(work.slots)) {
    wait_for_end(block.full[slot.at], slot.parity);
    const SlotTile tile = block.tiles[slot.at];
    if (tile.is_end) return;
    arrive(block.empty[slot.at]);
    if (tile.is_streamed) U::streamed(plan, step, tile.tile, !work.holds_weights).fetch(ring, block.stages, stage);
  }
}

// ---- The consumers ----

// The slots of a ring whose tiles wait for their update.
class HeldSlots {
 public:
  __device__ __forceinline__ bool any() const { return held_ != 0; }
  __device__ __forceinline__ bool has(int slot) const { return held_ >> slot & 1; }
  __device__ __forceinline__ void add(int slot) { held_ |= 1u << slot; }
  __device__ __forceinline__ void remove(int slot) { held_ &= ~(1u << slot); }
  // The one that was filled first, given the slot that will be filled next.
  __device__ __forceinline__ int oldest(int next) const {
    const uint32_t from_next = held_ >> next << next;
    return __ffs(static_cast<int>(from_next ? from_next : held_)) - 1;
  }

 private:
  uint32_t held_ = 0;
};

// A tile's layer: known to be finished by every consumer, or waited for by all of them.
template <class Coefficients>
struct ConsumersLayer {
  static constexpr bool kMayWait = true, is_for_warp = false;
  const DevicePlan& plan;
  const OnePassWork& work;
  const BulkBlock& block;
  uint32_t layer;
  bool is_known_finished;

  __device__ __forceinline__ LayerConstants<Coefficients> wait() const {
    if (!is_known_finished) wait_for_layer<Consumers>(work, block.launch, layer);
    return load_constants<Coefficients>(plan, layer);
  }
  __device__ __forceinline__ void begin() const {}
  __device__ __forceinline__ void go_on() const {}
};

// Called by every consumer, which does not read the slot afterwards.
__device__ __forceinline__ void give_back(BulkBlock& block, int slot) {
  let_copies_overwrite();
  __syncwarp();
  if (lane() == 0) arrive(block.empty[slot]);
}

template <Norm N, Update U, class W, class G>
__device__ __forceinline__ void consume(const DevicePlan& plan, const OnePassWork& work, const typename U::Step& step,
                                        const typename N::End::Call& call, unsigned char* slots,
                                        const unsigned char* ring, BulkBlock& block) {
  constexpr bool kWithWeights = N::kSums == 2;
  RingPlace stage;
  const RowRing rows{ring, block.stages, stage};
  // A tile that is summed alone, or updated, and was not fetched is read from memory each time.
  const auto in_slot = [&](int slot, const SlotTile& tile) {
    const bool is_there = tile.is_fetched || tile.kind == WorkKind::kHold;
    return FetchedTile<W, G, kWithWeights>{
        is_there ? held_in<W, G, kWithWeights>(slots, work, slot) : HeldTile<W, G, kWithWeights>{nullptr, nullptr},
        tile.is_fetched, tile.is_streamed, rows};
  };
  HeldSlots held;
  RingPlace next;  // slot to be filled
  bool is_at_end = false, choice = false;
  for (;;) {
    const bool may_come = !is_at_end && !held.has(next.at);
    if (!may_come && !held.any()) break;
    bool updates = !may_come;
    if (may_come && held.any()) {
      if (threadIdx.x == 0) {
        const uint32_t layer = block.tiles[held.oldest(next.at)].tile.layer;
        block.updates[choice] = !has_ended(block.full[next.at], next.parity) && is_finished(work, block.launch, layer);
      }
      Consumers::sync();
      updates = block.updates[choice];
      choice = !choice;
    }
    if (updates) {
      const int slot = held.oldest(next.at);
      const SlotTile tile = block.tiles[slot];
      const bool is_known_finished = may_come;  // else the choice would have been to wait for the next tile
      U::of_tile(plan, step, tile.tile, in_slot(slot, tile),
                 ConsumersLayer<typename U::Coefficients>{plan, work, block, tile.tile.layer, is_known_finished});
      held.remove(slot);
      give_back(block, slot);
      continue;
    }
    wait_for_end(block.full[next.at], next.parity);
    const SlotTile tile = block.tiles[next.at];
    is_at_end = tile.is_end;
    if (is_at_end) continue;
    if (tile.kind != WorkKind::kUpdate) {
      auto sums = N::template of_tile<Consumers>(plan, step, tile.tile, in_slot(next.at, tile));
      hand_on<N>(plan, work, block.launch, step, call, tile.tile, sums);
    }
    if (tile.kind == WorkKind::kNorm)
      give_back(block, next.at);
    else
      held.add(next.at);
    next.advance(work.slots);
  }
  leave(work, block.launch, step.buffers);
}

template <Norm N, Update U, class W, class G>
__global__ void __launch_bounds__(kBulkThreads, kOnePassBlocks)
    bulk_pass(const __grid_constant__ DevicePlan plan, const __grid_constant__ OnePassWork work,
              const __grid_constant__ typename U::Step step) {
#if defined(SIMT_HARNESS) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900)
  if (step_is_cancelled_for_block(step.buffers)) return;
  LAYERWISE_DYNAMIC_SHARED(memory);
  LAYERWISE_SHARED(block, BulkBlock);
  if (threadIdx.x == 0) {
    block.launch = work.control->launches + 1;
    for (int slot = 0; slot < work.slots; ++slot) {
      init_barrier(block.full[slot], 1);
      init_barrier(block.empty[slot], kWarps + 1);
    }
    for (int stage = 0; stage < kRingStages; ++stage) {
      init_barrier(block.stages.full[stage], 1);
      init_barrier(block.stages.empty[stage], kWarps);
    }
    let_copies_see_barriers();
  }
  const typename N::End::Call& call = call_for_block<typename N::End>(step);
  __syncthreads();
  unsigned char *const ring = memory, *const slots = ring + kRingBytes;
  if (warp() < kWarps)
    consume<N, U, W, G>(plan, work, step, call, slots, ring, block);
  else if (lane() == 0 && warp() == kWarps)
    fetch_tiles<N, U, W, G>(plan, work, step, slots, block);
  else if (lane() == 0)
    fetch_rows<U>(plan, work, step, ring, block);
#else
  __trap();  // a plan asks for it only where it is compiled
#endif
}

template <Norm N, Update U, class W, class G>
OnePassKernels<typename U::Step> bulk_pass_kernels() {
  return persistent_kernels<&bulk_pass<N, U, W, G>, kBulkThreads, typename U::Step>();
}

}  // namespace layerwise
