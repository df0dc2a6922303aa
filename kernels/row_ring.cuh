// A ring of stages in shared memory, through which the weights and moments of an update come: one thread fills it by bulk
// copies, up to kRingStages stages ahead of the warps that update the rows.
#pragma once

#include "kernels/tile_io.cuh"

namespace layerwise {

// A place in a ring, and the parity of the round that it is in.
struct RingPlace {
  int at = 0;
  unsigned parity = 0;

  __device__ __forceinline__ void advance(int places) {
    if (++at < places) return;
    at = 0;
    parity ^= 1;
  }
};

// Rows of a tile in a stage: the weights' first, then the moments'.
template <class W, class M>
inline constexpr int kStageRows = 4 * kAccumulators * (sizeof(W) + sizeof(M)) <= kStageBytes ? 4 : 2;
static_assert(2 * kAccumulators * 2 * sizeof(float) <= kStageBytes && kRows % 4 == 0);

struct StageBarriers {
  TransactionBarrier full[kRingStages];   // the producer arrives, with the bytes: the stage's rows are there
  TransactionBarrier empty[kRingStages];  // every consumer warp arrives: none needs the stage any more
};

// What the update of a whole tile reads beside its gradients, as far as it is streamed: null where it is not.
template <class W, class M>
struct StreamedRows {
  const W* weights = nullptr;
  const M* moments = nullptr;

  __device__ __forceinline__ bool any() const { return weights || moments; }
  __device__ __forceinline__ bool can_be_fetched() const {
    return layerwise::can_be_fetched(weights) && layerwise::can_be_fetched(moments);
  }

  // By the thread that fills the ring.
  __device__ __forceinline__ void fetch(unsigned char* ring, StageBarriers& barriers, RingPlace& stage) const {
    constexpr int kElements = kStageRows<W, M> * kAccumulators;
    constexpr int kWeights = kElements * sizeof(W), kMoments = kElements * sizeof(M);
    for (int first = 0; first < kTileElements; first += kElements) {
      wait_for_end(barriers.empty[stage.at], stage.parity ^ 1);
      TransactionBarrier& full = barriers.full[stage.at];
      unsigned char* const to = ring + stage.at * kStageBytes;
      arrive_expecting(full, (weights ? kWeights : 0) + (moments ? kMoments : 0));
      if (weights) layerwise::fetch(to, weights + first, kWeights, full);
      if (moments) layerwise::fetch(to + kWeights, moments + first, kMoments, full);
      stage.advance(kRingStages);
    }
  }
};

// The ring as the consumers see it: the stage whose rows are updated now.
struct RowRing {
  const unsigned char* memory;
  StageBarriers& barriers;
  RingPlace& stage;

  template <class W, class M>
  __device__ __forceinline__ const W* weights(int i) const {
    return reinterpret_cast<const W*>(memory + stage.at * kStageBytes) + i % (kStageRows<W, M> * kAccumulators);
  }
  template <class W, class M>
  __device__ __forceinline__ const M* moments(int i) const {
    constexpr int kElements = kStageRows<W, M> * kAccumulators;
    return reinterpret_cast<const M*>(memory + stage.at * kStageBytes + kElements * sizeof(W)) + i % kElements;
  }
  // Waits for the rows of the next stage; gives the stage back.
  __device__ __forceinline__ void begin() const { wait_for_end(barriers.full[stage.at], stage.parity); }
  __device__ __forceinline__ void end() const {
    let_copies_overwrite();
    __syncwarp();
    if (lane() == 0) arrive(barriers.empty[stage.at]);
    stage.advance(kRingStages);
  }
};

// A tile in shared memory, where a bulk copy may have put it before it is summed.
template <class W, class G, bool kWithWeights>
struct FetchedTile : HeldTile<W, G, kWithWeights> {
  static constexpr int kMostRowsInFlight = 1;  // where they are not streamed, which spares registers
  bool is_fetched;
  bool is_streamed;  // the rest that its update reads comes through the ring
  RowRing ring;

  __device__ __forceinline__ bool keeps_grads() const { return this->grads && !is_fetched; }
  __device__ __forceinline__ bool keeps_weights() const { return this->weights && !is_fetched; }
  __device__ __forceinline__ HeldElements<G> grads_to_sum(const G* stored) const {
    return {stored, is_fetched ? this->grads : nullptr};
  }
  __device__ __forceinline__ HeldElements<W> weights_to_sum(const W* stored) const {
    return {stored, is_fetched ? this->weights : nullptr};
  }
};

// Weights and moments of an update that come through the ring.
template <class W, class M>
struct StreamedWeights : WholeWeights<W> {
  RowRing ring;
  bool is_streamed;  // else they wait beside the gradients

  __device__ __forceinline__ FloatQuad load_four(int i, bool again) const {
    if (!is_streamed) return WholeWeights<W>::load_four(i, again);
    return unpack(*reinterpret_cast<const Quad<W>*>(ring.weights<W, M>(i)));
  }
};
template <class W, class M>
struct StreamedMoments : NearestMoments<M> {
  RowRing ring;

  __device__ __forceinline__ FloatQuad load_four(const M*, int i) const {
    return unpack(*reinterpret_cast<const Quad<M>*>(ring.moments<W, M>(i)));
  }
};

}  // namespace layerwise
