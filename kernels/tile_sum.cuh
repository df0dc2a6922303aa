// The sums of a tile, of the gradients or of gradients and weights. A block and a single warp give the same bits.
#pragma once

#include "kernels/layer_tree.cuh"
#include "kernels/tile_io.cuh"

namespace layerwise {

// The last levels of the tree, for kSums sums at once; every thread of the team gets the roots. The inputs are the
// roots over count runs of neighbouring accumulators. In a warp, lane l holds the root of run l % count; in a block,
// lane l of warp w holds that of run l * kWarps + w, as far as there are that many runs.
template <Reduction R, TileTeam T, int kSums>
__device__ __forceinline__ void meet(typename R::Accumulator (&roots)[kSums], int count) {
  if constexpr (T::kThreads > kWarpThreads) {
    LAYERWISE_SHARED(runs, typename R::Accumulator[kSums][kWarpThreads]);
    if (lane() < count / kWarps)
#pragma unroll
      for (int s = 0; s < kSums; ++s) runs[s][lane() * kWarps + warp()] = roots[s];
    T::sync();
#pragma unroll
    for (int s = 0; s < kSums; ++s) roots[s] = runs[s][lane() & (count - 1)];
    T::sync();  // the next tile overwrites runs
  }
#pragma unroll
  for (int s = 0; s < kSums; ++s) roots[s] = lane_tree<R>(roots[s], count);
}

// What is summed. load_* read element i, or the four elements from i on, of kSums buffers. take_* then see every
// element exactly once, before it is added: they may keep a copy and change what is added.
template <class T>
concept Summands = requires(const T summands, int i, FloatQuad (&quads)[T::kSums], float (&values)[T::kSums]) {
  { summands.aligned() } -> std::same_as<bool>;
  summands.load_four(i, quads);
  summands.load_one(i, values);
  summands.take_four(i, quads);
  summands.take_one(i, values);
  summands.again();
};

// The accumulators of one thread, for each sum.
template <class T, Reduction R, int kSums>
using ThreadSums = typename R::Accumulator[kSums][kAccumulators / T::kThreads];

// Sums a full aligned tile. Thread t reads quads t, t + kThreads and so on, with several loads in flight.
template <Reduction R, TileTeam T, Summands S>
__device__ __forceinline__ void add_quads(const S& summands, ThreadSums<T, R, S::kSums>& sums) {
  constexpr int kQuads = kAccumulators / T::kThreads / kThreadElements;  // quads of a row per thread
  // Fewer loads in flight where registers are short: a kernel for weights that may be split contains two versions of
  // this loop, and a warp that takes two sums has twice the accumulators.
  constexpr int kAtOnce = kQuadsInFlight / S::kBuffers / (T::kThreads == kWarpThreads ? S::kSums : 1);
  constexpr int kTurn = kQuads > kAtOnce ? kQuads : kAtOnce;
#pragma unroll 1
  for (int turn = 0; turn < kRows * kQuads; turn += kTurn) {
#pragma unroll
    for (int part = 0; part < kTurn; part += kAtOnce) {
      FloatQuad quads[kAtOnce][S::kSums];
      const auto element = [&](int quad) { return ((turn + part + quad) * T::kThreads + T::rank()) * kThreadElements; };
#pragma unroll
      for (int q = 0; q < kAtOnce; ++q) summands.load_four(element(q), quads[q]);
#pragma unroll
      for (int q = 0; q < kAtOnce; ++q) {
        summands.take_four(element(q), quads[q]);
#pragma unroll
        for (int s = 0; s < S::kSums; ++s)
#pragma unroll
          for (int i = 0; i < kThreadElements; ++i) {
            auto& sum = sums[s][(part + q) % kQuads * kThreadElements + i];
            sum = R::accumulate(sum, quads[q][s].element[i]);
          }
      }
    }
  }
}

// Sums any tile. Thread t reads elements t, t + kThreads and so on, so that the accesses of a warp are coalesced.
template <Reduction R, TileTeam T, Summands S>
__device__ __forceinline__ void add_singles(const S& summands, int count, const float (&by)[S::kSums],
                                            ThreadSums<T, R, S::kSums>& sums) {
  constexpr int kEach = kAccumulators / T::kThreads, kAtOnce = T::kThreads == kWarpThreads && S::kSums == 2 ? 1 : kSinglesInFlight / S::kSums;
  static_assert(kEach % kAtOnce == 0);
#pragma unroll 1
  for (int row = 0; row < count; row += kAccumulators) {
#pragma unroll
    for (int part = 0; part < kEach; part += kAtOnce) {
      float values[kAtOnce][S::kSums];
#pragma unroll
      for (int e = 0; e < kAtOnce; ++e) {
        const int i = row + (part + e) * T::kThreads + T::rank();
        if (i < count) summands.load_one(i, values[e]);
      }
#pragma unroll
      for (int e = 0; e < kAtOnce; ++e) {
        const int i = row + (part + e) * T::kThreads + T::rank();
        if (i >= count) continue;
        summands.take_one(i, values[e]);
#pragma unroll
        for (int s = 0; s < S::kSums; ++s)
          sums[s][part + e] = R::accumulate(sums[s][part + e], values[e][s], Rescale{by[s], 0});
      }
    }
  }
}

// Reduce the accumulators of all threads, as add_quads and add_singles leave them; every thread gets the roots.
template <Reduction R, TileTeam T, int kSums, int kEach>
__device__ __forceinline__ void meet_quads(const typename R::Accumulator (&sums)[kSums][kEach],
                                           typename R::Accumulator (&roots)[kSums]) {
  constexpr int kQuads = kEach / kThreadElements;
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
    typename R::Accumulator quads[kQuads];
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      typename R::Accumulator neighbours[kThreadElements];
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) neighbours[i] = sums[s][q * kThreadElements + i];
      quads[q] = value_tree<R>(neighbours);
    }
    roots[s] = lane_trees<R>(quads);
  }
  meet<R, T>(roots, kAccumulators / kThreadElements / kWarpThreads);
}
template <Reduction R, TileTeam T, int kSums, int kEach>
__device__ __forceinline__ void meet_singles(const typename R::Accumulator (&sums)[kSums][kEach],
                                             typename R::Accumulator (&roots)[kSums]) {
#pragma unroll
  for (int s = 0; s < kSums; ++s) roots[s] = lane_trees<R>(sums[s]);
  meet<R, T>(roots, kAccumulators / kWarpThreads);
}

// The sums of a tile; called by the whole team, and every thread gets them. If a sum leaves the safe range of float32,
// the tile is summed a second time, from summands.again(): that sum with scaled elements, the other one as before.
template <Reduction R, TileTeam T, Summands S>
__device__ __forceinline__ Sums<S::kSums> tile_sums(const S& summands, int count) {
  typename R::Accumulator roots[S::kSums];
  float by[S::kSums];
  for (int s = 0; s < S::kSums; ++s) by[s] = 1;
  {
    ThreadSums<T, R, S::kSums> sums = {};
    if (count == kTileElements && summands.aligned()) {
      add_quads<R, T>(summands, sums);
      meet_quads<R, T>(sums, roots);
    } else {
      add_singles<R, T>(summands, count, by, sums);
      meet_singles<R, T>(sums, roots);
    }
  }
  bool in_range = true;
#pragma unroll
  for (int s = 0; s < S::kSums; ++s) {
    if (R::in_range(roots[s])) continue;
    in_range = false;
    by[s] = R::rescale(roots[s]).element;
  }
  if (!in_range) {
    ThreadSums<T, R, S::kSums> sums = {};
    add_singles<R, T>(summands.again(), count, by, sums);
    meet_singles<R, T>(sums, roots);
  }
  Sums<S::kSums> widened;
#pragma unroll
  for (int s = 0; s < S::kSums; ++s) widened.of[s] = R::widen(roots[s], R::scaled(by[s]));
  return widened;
}

// ---- The sum of the gradients ----

template <Elements Grads, Holder Held>
struct GradSummands {
  static constexpr int kSums = 1, kBuffers = 1;
  Grads grads;
  Held held;

  __device__ __forceinline__ bool aligned() const { return grads.aligned(); }
  __device__ __forceinline__ void load_four(int i, FloatQuad (&quads)[1]) const {
    quads[0] = grads.load_four(i, are_read_again(held));
  }
  __device__ __forceinline__ void load_one(int i, float (&values)[1]) const { values[0] = grads.load_one(i); }
  __device__ __forceinline__ void take_four(int i, FloatQuad (&quads)[1]) const { keep_grads(held, i, quads[0]); }
  __device__ __forceinline__ void take_one(int i, float (&values)[1]) const { keep_grad(held, i, values[0]); }
  __device__ __forceinline__ auto again() const {
    if constexpr (Held::kHolds)
      return grad_summands(held.grads_to_sum_again(grads.address), NotHeld());
    else
      return grad_summands(grads, NotHeld());
  }
};
template <Elements Grads, Holder Held>
__device__ __forceinline__ GradSummands<Grads, Held> grad_summands(const Grads& grads, const Held& held) {
  return {grads, held};
}

// ---- The sums of the gradients and the weights ----

// The gradients' sum is that of g + decay*w. With decay 0 it is that of g alone, and w is not even multiplied by 0:
// 0 * infinity would be NaN.
template <Elements Grads, Elements Weights, Holder Held>
struct BothSummands {
  static constexpr int kSums = 2, kBuffers = Weights::kMayBeTwo ? 4 : 2;
  Grads grads;
  Weights weights;
  float decay;
  Held held;

  __device__ __forceinline__ bool aligned() const { return grads.aligned() && weights.aligned(); }
  __device__ __forceinline__ void load_four(int i, FloatQuad (&quads)[2]) const {
    quads[0] = grads.load_four(i, are_read_again(held));
    quads[1] = weights.load_four(i, are_read_again(held));
  }
  __device__ __forceinline__ void load_one(int i, float (&values)[2]) const {
    values[0] = grads.load_one(i);
    values[1] = weights.load_one(i);
  }
  __device__ __forceinline__ void take_four(int i, FloatQuad (&quads)[2]) const {
    keep_grads(held, i, quads[0]);
    if constexpr (kHoldsWeights)
      if (held.keeps_weights()) keep_four(held.weights, i, quads[1]);
#pragma unroll
    for (int e = 0; e < kThreadElements; ++e)
      quads[0].element[e] = decayed(quads[0].element[e], quads[1].element[e]);
  }
  __device__ __forceinline__ void take_one(int i, float (&values)[2]) const {
    keep_grad(held, i, values[0]);
    if constexpr (kHoldsWeights)
      if (held.keeps_weights()) store(held.weights[i], values[1]);
    values[0] = decayed(values[0], values[1]);
  }
  __device__ __forceinline__ auto again() const {
    if constexpr (kHoldsWeights)
      return both_summands(held.grads_to_sum_again(grads.address), held.weights_to_sum_again(weights.address), decay,
                           NotHeld());
    else if constexpr (Held::kHolds)
      return both_summands(held.grads_to_sum_again(grads.address), weights, decay, NotHeld());
    else
      return both_summands(grads, weights, decay, NotHeld());
  }

 private:
  // Split weights are not held: a read joins both halves into a float32, but the slot for held weights has only the two
  // bytes of a bfloat16.
  static constexpr bool kHoldsWeights = Held::kHoldsWeights && !cuda::std::is_same_v<Weights, SplitElements>;

  __device__ __forceinline__ float decayed(float g, float w) const { return decay == 0 ? g : fma(decay, w, g); }
};
template <Elements Grads, Elements Weights, Holder Held>
__device__ __forceinline__ BothSummands<Grads, Weights, Held> both_summands(const Grads& grads, const Weights& weights,
                                                                            float decay, const Held& held) {
  return {grads, weights, decay, held};
}

}  // namespace layerwise
