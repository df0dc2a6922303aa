// A tile's sums, of the gradients or of theirs and the weights', by a whole block or by one warp: the same bits.
#pragma once

#include "kernels/layer_tree.cuh"
#include "kernels/tile_io.cuh"

namespace layerwise {

// The root of the tree over count runs of neighbouring accumulators, of kSums sums, in every thread of a team. Each
// lane brings the roots of runs: in a warp, lane l that of run l % count; in a block, lane l of warp w that of run l *
// kWarps + w, as long as there are so many.
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
    T::sync();  // before the next tile's runs overwrite these
  }
#pragma unroll
  for (int s = 0; s < kSums; ++s) roots[s] = lane_tree<R>(roots[s], count);
}

// What is summed: element i, or the four from i on, of kSums buffers as they are read, and what is to be added of them.
// take sees each element once, before it is added, so that it can be kept.
template <class T>
concept Summands = requires(const T summands, int i, FloatQuad (&quads)[T::kSums], float (&values)[T::kSums]) {
  { summands.aligned() } -> std::same_as<bool>;
  summands.load_four(i, quads);
  summands.load_one(i, values);
  summands.take_four(i, quads);
  summands.take_one(i, values);
  summands.again();
};

// A thread's accumulators of each sum.
template <class T, Reduction R, int kSums>
using ThreadSums = typename R::Accumulator[kSums][kAccumulators / T::kThreads];

// Of a whole aligned tile: thread t reads quads t, t + kThreads and so on, some of them at a time.
template <Reduction R, TileTeam T, Summands S>
__device__ __forceinline__ void add_quads(const S& summands, ThreadSums<T, R, S::kSums>& sums) {
  constexpr int kQuads = kAccumulators / T::kThreads / kThreadElements;  // that a thread has of a row
  // Where weights may be split two kinds of sums share a kernel, and a warp's accumulators of two sums leave less room.
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

// Of any tile: thread t reads elements t, t + kThreads and so on, which keeps accesses of a warp together.
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

// The roots of the trees over a row's accumulators, in every thread of the team.
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

// A tile's sums, in every thread of the team, which calls this as a whole. One that left float32's comfortable range is
// summed again, scaled, from where summands.again() says; one that had not is summed again unscaled.
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

// ---- Of gradients ----

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
  __device__ __forceinline__ auto again() const { return grad_summands(grads_to_sum_again(held, grads.address), NotHeld()); }
};
template <Elements Grads, Holder Held>
__device__ __forceinline__ GradSummands<Grads, Held> grad_summands(const Grads& grads, const Held& held) {
  return {grads, held};
}

// ---- Of gradients and weights ----

// decay multiplies w in the sum of gradients, of g + decay*w: 0 where the norm is g's alone, which it then is wherever
// a layer is stepped, since its weights are finite.
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
    const auto kept = grads_to_sum_again(held, grads.address);
    if constexpr (kHoldsWeights)
      return both_summands(kept, HeldElements{weights.address, static_cast<decltype(weights.address)>(held.weights)},
                           decay, NotHeld());
    else
      return both_summands(kept, weights, decay, NotHeld());
  }

 private:
  // Split weights are not held: they are float32 where they are read, and two bytes short of it where they would wait.
  static constexpr bool kHoldsWeights = Held::kHoldsWeights && !cuda::std::is_same_v<Weights, SplitElements>;

  __device__ __forceinline__ float decayed(float g, float w) const { return decay == 0 ? g : fma(decay, w, g); }
};
template <Elements Grads, Elements Weights, Holder Held>
__device__ __forceinline__ BothSummands<Grads, Weights, Held> both_summands(const Grads& grads, const Weights& weights,
                                                                            float decay, const Held& held) {
  return {grads, weights, decay, held};
}

}  // namespace layerwise
