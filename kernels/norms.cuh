// A tile's sums, by a whole block: of the gradients, or of theirs and the weights'.
#pragma once

#include "kernels/layer.cuh"
#include "kernels/weights.cuh"

namespace layerwise {

// Gradients of which g + decay*w is summed; what is read of them, and may be kept, is g.
template <class G, class Weights>
struct DecayedElements {
  Elements<G> grads;
  Weights weights;
  float decay;

  __device__ __forceinline__ bool aligned() const { return grads.aligned() && weights.aligned(); }
  template <class Policy>
  __device__ __forceinline__ FloatQuad load_four(int i) const {
    return grads.template load_four<Policy>(i);
  }
  __device__ __forceinline__ FloatQuad load_some(int i, int count) const { return grads.load_some(i, count); }
  __device__ __forceinline__ FloatQuad decayed(const FloatQuad& g, const FloatQuad& w) const {
    FloatQuad sum;
#pragma unroll
    for (int i = 0; i < kThreadElements; ++i) sum.element[i] = fma(decay, w.element[i], g.element[i]);
    return sum;
  }
};

// A mode that has its two streams in registers must not cost the others theirs.
template <class Source>
inline constexpr int kRowsSummedAtOnce = kRows;
template <class G, class Weights>
inline constexpr int kRowsSummedAtOnce<DecayedElements<G, Weights>> = 2;

// What a norm sums of a quad that it has read.
template <class Policy, class Source>
__device__ __forceinline__ FloatQuad summed_four(const Source&, int, const FloatQuad& read) {
  return read;
}
template <class Policy, class G, class Weights>
__device__ __forceinline__ FloatQuad summed_four(const DecayedElements<G, Weights>& elements, int i,
                                                 const FloatQuad& read) {
  return elements.decayed(read, elements.weights.template load_four<Policy>(i));
}
template <class Source>
__device__ __forceinline__ FloatQuad summed_some(const Source&, int, int, const FloatQuad& read) {
  return read;
}
template <class G, class Weights>
__device__ __forceinline__ FloatQuad summed_some(const DecayedElements<G, Weights>& elements, int i, int count,
                                                 const FloatQuad& read) {
  return elements.decayed(read, elements.weights.load_some(i, count));
}

// keep(i, quad) sees every quad that this thread reads. Source: Elements, SplitElements or DecayedElements.
template <class Reduction, class Policy, class Source, class Keep, class... By>
__device__ __forceinline__ typename Reduction::Accumulator thread_sum(const Source& elements, int count,
                                                                      Keep keep, By... by) {
  using Accumulator = typename Reduction::Accumulator;
  Accumulator sums[kThreadElements] = {};
  const bool whole = count == kTileElements && elements.aligned();
  constexpr int kRowsAtOnce = kRowsSummedAtOnce<Source>;
  if (whole) {
#pragma unroll 1
    for (int first = 0; first < kRows; first += kRowsAtOnce) {
      FloatQuad rows[kRowsAtOnce];
#pragma unroll
      for (int row = 0; row < kRowsAtOnce; ++row)
        rows[row] = elements.template load_four<Policy>(row_element(first + row));
#pragma unroll
      for (int row = 0; row < kRowsAtOnce; ++row) {
        const int at = row_element(first + row);
        keep(at, rows[row]);
        const FloatQuad quad = summed_four<Policy>(elements, at, rows[row]);
#pragma unroll
        for (int i = 0; i < kThreadElements; ++i) sums[i] = Reduction::accumulate(sums[i], quad.element[i], by...);
      }
    }
  } else {
#pragma unroll 2
    for (int row = 0; row * kAccumulators < count; ++row) {
      const FloatQuad read = elements.load_some(row_element(row), count);
      keep(row_element(row), read);
      const FloatQuad quad = summed_some(elements, row_element(row), count, read);
#pragma unroll
      for (int i = 0; i < kThreadElements; ++i) sums[i] = Reduction::accumulate(sums[i], quad.element[i], by...);
    }
  }
  return Reduction::combine(Reduction::combine(sums[0], sums[1]), Reduction::combine(sums[2], sums[3]));
}

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

// A tile's sum, in every thread. Called by whole blocks.
template <class Reduction, class Policy, class Source, class Keep, class... By>
__device__ __forceinline__ typename Reduction::Accumulator block_sum(const Source& elements, int count,
                                                                     Keep keep, By... by) {
  return block_tree<Reduction>(thread_sum<Reduction, Policy>(elements, count, keep, by...));
}

template <class Reduction, class Policy, class Source, class Keep>
__device__ __forceinline__ double tile_norm(const Source& elements, int count, Keep keep) {
  const auto sum = block_sum<Reduction, Policy>(elements, count, keep);
  if (Reduction::in_range(sum)) return Reduction::widen(sum);
  const Rescale by = Reduction::rescale(sum);
  return Reduction::widen(block_sum<Reduction, Policy>(elements, count, KeepNothing(), by), by);
}

// One copy of the loop for both ranges: scaling by 1 changes no bit.
template <class Reduction, class Policy, class G, class Weights, class Keep>
__device__ __forceinline__ double tile_norm(const DecayedElements<G, Weights>& elements, int count, Keep keep) {
  Rescale by{1.0f, 1.0};
#pragma unroll 1
  for (bool again = false;; again = true) {
    const auto sum = block_sum<Reduction, Policy>(elements, count, keep, by);
    if (again || Reduction::in_range(sum)) return Reduction::widen(sum, by);
    by = Reduction::rescale(sum);
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
    Sums<2> sums;
    sums.of[0] = of_grads<Policy>(plan, step, tile, held);
    sums.of[1] = of_weights<Policy>(plan, step, tile, held);
    return sums;
  }
  static __device__ __forceinline__ bool hand_up(const DevicePlan& plan, const Step&, const Tile& tile, Sums<2>& sums) {
    return finish_layer<SquareSum>(plan, tile, sums);
  }

 private:
  template <class Policy, class Held>
  static __device__ __forceinline__ double of_grads(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                    const Held& held) {
    const Elements<G> grads{tile_address<const G>(plan, tile, step.buffers.grads)};
    if constexpr (cuda::std::is_same_v<Step, LarcStep>) {
      if (step.larc.decayed_norm) {  // the weights are read here and again for their own norm, by the same block
        const float decay = decay_of_raw_gradient(step.larc, plan.options[tile.layer]);
        return with_weights(plan, step, tile, [&](const auto& weights) {
          const DecayedElements<G, cuda::std::remove_cvref_t<decltype(weights)>> decayed{grads, weights, decay};
          return tile_norm<SquareSum, Policy>(decayed, tile.count, keep_in(held.grads));
        });
      }
    }
    return tile_norm<SquareSum, Policy>(grads, tile.count, keep_in(held.grads));
  }
  // Calls sum(weights) for a tile's, as they are stored.
  template <class Sum>
  static __device__ __forceinline__ double with_weights(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                        const Sum& sum) {
    W* const weights = tile_address<W>(plan, tile, step.buffers.weights);
    if constexpr (kMayBeSplit<W>)
      if (step.buffers.weights_extra)
        return sum(SplitElements{weights, tile_address<remainder16>(plan, tile, step.buffers.weights_extra)});
    return sum(Elements<W>{weights});
  }
  // Split weights are not held: they are float32 where they are read, and two bytes short of it where they would wait.
  template <class Policy, class Held>
  static __device__ __forceinline__ double of_weights(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                      const Held& held) {
    return with_weights(plan, step, tile, [&](const auto& weights) {
      if constexpr (cuda::std::is_same_v<decltype(weights), const Elements<W>&>)
        return tile_norm<SquareSum, Policy>(weights, tile.count, keep_in(held.weights));
      else
        return tile_norm<SquareSum, Policy>(weights, tile.count, KeepNothing());
    });
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
