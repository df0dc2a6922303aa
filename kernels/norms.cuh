// A tile's sums, by a whole block: of the gradients, or of theirs and the weights'.
#pragma once

#include "kernels/layer.cuh"
#include "kernels/weights.cuh"

namespace layerwise {

// The tree over a block's threads, in every thread. Whatever was summed, the shared memory is one.
template <class Reduction>
__device__ __forceinline__ typename Reduction::Accumulator block_tree(typename Reduction::Accumulator value) {
  using Accumulator = typename Reduction::Accumulator;
  LAYERWISE_SHARED(warp_sums, Accumulator[kWarps]);
  const Accumulator sum = warp_tree<Reduction>(value);
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
  __syncthreads();
  Accumulator tree[kWarps];
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) tree[warp] = warp_sums[warp];
  __syncthreads();  // before the next tile's sums overwrite these
#pragma unroll
  for (int pairs = kWarps / 2; pairs > 0; pairs /= 2)
#pragma unroll
    for (int i = 0; i < kWarps / 2; ++i)
      if (i < pairs) tree[i] = Reduction::combine(tree[2 * i], tree[2 * i + 1]);
  return tree[0];
}

// A thread's accumulators, one for each of the elements of its quads, in every thread of a block.
template <class Reduction>
__device__ __forceinline__ typename Reduction::Accumulator block_sum(
    const typename Reduction::Accumulator (&sums)[kThreadElements]) {
  return block_tree<Reduction>(
      Reduction::combine(Reduction::combine(sums[0], sums[1]), Reduction::combine(sums[2], sums[3])));
}

// A tile of one buffer. keep(i, quad) sees every quad that this thread reads.
template <class Reduction, class Policy, class T, class Keep, class... By>
__device__ __forceinline__ typename Reduction::Accumulator tile_sum(const Elements<T>& elements, int count, Keep keep,
                                                                    By... by) {
  typename Reduction::Accumulator sums[kThreadElements] = {};
  if (count == kTileElements && elements.aligned()) {
    FloatQuad rows[kRows];
#pragma unroll
    for (int row = 0; row < kRows; ++row) rows[row] = elements.template load_four<Policy>(row_element(row));
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      keep(row_element(row), rows[row]);
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i)
        sums[i] = Reduction::accumulate(sums[i], rows[row].element[i], by...);
    }
  } else {
#pragma unroll 2
    for (int row = 0; row * kAccumulators < count; ++row) {
      const FloatQuad quad = elements.load_some(row_element(row), count);
      keep(row_element(row), quad);
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) sums[i] = Reduction::accumulate(sums[i], quad.element[i], by...);
    }
  }
  return block_sum<Reduction>(sums);
}

// Its norm, in every thread. Called by whole blocks.
template <class Reduction, class Policy, class T, class Keep>
__device__ __forceinline__ double tile_norm(const Elements<T>& elements, int count, Keep keep) {
  const auto sum = tile_sum<Reduction, Policy>(elements, count, keep);
  if (Reduction::in_range(sum)) return Reduction::widen(sum);
  const Rescale by = Reduction::rescale(sum);
  return Reduction::widen(tile_sum<Reduction, Policy>(elements, count, KeepNothing(), by), by);
}

// What a norm of gradients is of: g, or g + decay*w. A decay of 0 gives the sum of g alone wherever a layer is stepped, since
// its weights are finite then.
struct Undecayed {
  __device__ __forceinline__ float operator()(float g, float) const { return g; }
};
struct Decayed {
  float decay;
  __device__ __forceinline__ float operator()(float g, float w) const { return fma(decay, w, g); }
};

// A tile's two norms, of gradients and weights, in every thread; as many rows of both are in flight as of one buffer alone.
// Called by whole blocks. One copy of the loop serves both ranges: scaling by 1 changes no bit.
template <class Policy, class G, class Weights, class Summed, class KeepGrads, class KeepWeights>
__device__ __forceinline__ Sums<2> tile_norms(const Elements<G>& grads, const Weights& weights, const Summed& summed,
                                              int count, KeepGrads keep_grads, KeepWeights keep_weights) {
  constexpr int kRowsAtOnce = kRows / 2;
  const bool whole = count == kTileElements && grads.aligned() && weights.aligned();
  // What scales the elements. What undoes it in the sums follows from it; kept as well, it would take four registers.
  float by_grads = 1, by_weights = 1;
#pragma unroll 1
  for (;;) {
    float of_grads[kThreadElements] = {}, of_weights[kThreadElements] = {};
    const auto add = [&](int at, const FloatQuad& g, const FloatQuad& w) {
      keep_grads(at, g);
      keep_weights(at, w);
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) {
        of_grads[i] = SquareSum::accumulate(of_grads[i], summed(g.element[i], w.element[i]), Rescale{by_grads, 0});
        of_weights[i] = SquareSum::accumulate(of_weights[i], w.element[i], Rescale{by_weights, 0});
      }
    };
    if (whole) {
#pragma unroll 1
      for (int first = 0; first < kRows; first += kRowsAtOnce) {
        FloatQuad g[kRowsAtOnce], w[kRowsAtOnce];
#pragma unroll
        for (int row = 0; row < kRowsAtOnce; ++row) {
          g[row] = grads.template load_four<Policy>(row_element(first + row));
          w[row] = weights.template load_four<Policy>(row_element(first + row));
        }
#pragma unroll
        for (int row = 0; row < kRowsAtOnce; ++row) add(row_element(first + row), g[row], w[row]);
      }
    } else {
#pragma unroll 1
      for (int row = 0; row * kAccumulators < count; ++row) {
        const int at = row_element(row);
        add(at, grads.load_some(at, count), weights.load_some(at, count));
      }
    }
    const float g = block_sum<SquareSum>(of_grads), w = block_sum<SquareSum>(of_weights);
    const bool in_range = SquareSum::in_range(g) && SquareSum::in_range(w);
    if (in_range || by_grads != 1 || by_weights != 1)
      return {{SquareSum::widen(g, SquareSum::scaled(by_grads)), SquareSum::widen(w, SquareSum::scaled(by_weights))}};
    if (!SquareSum::in_range(g)) by_grads = SquareSum::rescale(g).element;
    if (!SquareSum::in_range(w)) by_weights = SquareSum::rescale(w).element;
  }
}

// What becomes of the sums decides: Step is NovogradStep or PartialNorms.
__device__ __forceinline__ bool uses_infinity_norm(const NovogradStep& step) { return step.hyper.infinity_norm; }
__device__ __forceinline__ bool uses_infinity_norm(const PartialNorms& norms) { return norms.infinity_norm; }

template <class G, class GivenStep>
struct GradNorm {
  using Step = GivenStep;
  static constexpr int kBlocks = kNormBlocks;

  template <class Policy, class Held>
  static __device__ __forceinline__ Sums<1> of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                    const Held& held) {
    const Elements<G> grads{tile_address<const G>(plan, tile, step.buffers.grads)};
    return {{uses_infinity_norm(step) ? tile_norm<LargestMagnitude, Policy>(grads, tile.count, keep_in(held.grads))
                                      : tile_norm<SquareSum, Policy>(grads, tile.count, keep_in(held.grads))}};
  }
  // By the block's first warp; true where it ends with the layer's sums.
  static __device__ __forceinline__ bool hand_up(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                 Sums<1>& sums) {
    return uses_infinity_norm(step) ? finish_layer<LargestMagnitude>(plan, tile, sums)
                                    : finish_layer<SquareSum>(plan, tile, sums);
  }
};

// Step: LarcStep, NovogradStep with LARC before it, or PartialNorms.
template <class W, class G, class GivenStep>
struct BothNorms {
  using Step = GivenStep;
  static constexpr int kBlocks = cuda::std::is_same_v<Step, NovogradStep> ? kLarcNovogradNormBlocks : kNormBlocks;

  template <class Policy, class Held>
  static __device__ __forceinline__ Sums<2> of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                    const Held& held) {
    const Elements<G> grads{tile_address<const G>(plan, tile, step.buffers.grads)};
    if constexpr (cuda::std::is_same_v<Step, LarcStep>) {
      const float decay = step.larc.decayed_norm ? decay_of_raw_gradient(step.larc, plan.options[tile.layer]) : 0.0f;
      return of_both<Policy>(plan, step, tile, held, grads, Decayed{decay});
    } else {
      return of_both<Policy>(plan, step, tile, held, grads, Undecayed());
    }
  }
  static __device__ __forceinline__ bool hand_up(const DevicePlan& plan, const Step&, const Tile& tile, Sums<2>& sums) {
    return finish_layer<SquareSum>(plan, tile, sums);
  }

 private:
  // Split weights are not held: they are float32 where they are read, and two bytes short of it where they would wait.
  template <class Policy, class Held, class Summed>
  static __device__ __forceinline__ Sums<2> of_both(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                    const Held& held, const Elements<G>& grads, const Summed& summed) {
    W* const weights = tile_address<W>(plan, tile, step.buffers.weights);
    if constexpr (kMayBeSplit<W>) {
      if (step.buffers.weights_extra) {
        const SplitElements split{weights, tile_address<remainder16>(plan, tile, step.buffers.weights_extra)};
        return tile_norms<Policy>(grads, split, summed, tile.count, keep_in(held.grads), KeepNothing());
      }
    }
    return tile_norms<Policy>(grads, Elements<W>{weights}, summed, tile.count, keep_in(held.grads),
                              keep_in(held.weights));
  }
};

// Hands a tile's sums on. True in the one thread that has finished the layer.
template <class Norm, class TileSums>
__device__ __forceinline__ bool finish_tile(const DevicePlan& plan, const typename Norm::Step& step, const Tile& tile,
                                            TileSums& sums) {
  if (threadIdx.x >= 32 || !Norm::hand_up(plan, step, tile, sums) || threadIdx.x != 0) return false;
  finish(plan, step, tile.layer, sums);
  return true;
}

}  // namespace layerwise
