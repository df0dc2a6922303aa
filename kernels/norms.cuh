// The sums that a step takes of each tile: of the gradients, or of the gradients and the weights.
#pragma once

#include "kernels/layer_state.cuh"
#include "kernels/tile_sum.cuh"

namespace layerwise {

// How a step sums a tile, passes the sums up the tree, and finishes a layer.
template <class T>
concept Norm = LayerEnd<typename T::End> && requires {
  { T::kSums } -> std::convertible_to<int>;
  { T::kBlocks } -> std::convertible_to<int>;
};

template <class G, LayerEnd GivenEnd>
struct GradNorm {
  using End = GivenEnd;
  using Step = typename End::Step;
  static constexpr int kSums = 1, kBlocks = kNormBlocks;

  template <TileTeam T, Holder Held>
  static __device__ __forceinline__ Sums<1> of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                    const Held& held) {
    const G* const stored = tile_address<const G>(plan, tile, step.buffers.grads);
    const auto grads = grad_summands(held.grads_to_sum(stored), held);
    return End::uses_infinity_norm(step) ? tile_sums<LargestMagnitude, T>(grads, tile.count)
                                         : tile_sums<SquareSum, T>(grads, tile.count);
  }
  // Called by one warp; true if that warp ends up with the sums of the layer.
  static __device__ __forceinline__ bool hand_up(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                 Sums<1>& sums) {
    return finish_layer(plan, tile, sums, End::uses_infinity_norm(step));
  }
};

template <class W, class G, LayerEnd GivenEnd>
struct BothNorms {
  using End = GivenEnd;
  using Step = typename End::Step;
  static constexpr int kSums = 2, kBlocks = kBothNormBlocks;

  template <TileTeam T, Holder Held>
  static __device__ __forceinline__ Sums<2> of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                    const Held& held) {
    const auto grads = held.grads_to_sum(tile_address<const G>(plan, tile, step.buffers.grads));
    W* const weights = tile_address<W>(plan, tile, step.buffers.weights);
    const float decay = End::decay_in_norm(plan, step, tile.layer);
    if constexpr (kMayBeSplit<W>) {
      if (step.buffers.weights_extra) {
        const SplitElements split{weights, tile_address<remainder16>(plan, tile, step.buffers.weights_extra)};
        return tile_sums<SquareSum, T>(both_summands(grads, split, decay, held), tile.count);
      }
    }
    const auto whole = held.weights_to_sum(static_cast<const W*>(weights));
    return tile_sums<SquareSum, T>(both_summands(grads, whole, decay, held), tile.count);
  }
  static __device__ __forceinline__ bool hand_up(const DevicePlan& plan, const Step&, const Tile& tile, Sums<2>& sums) {
    return finish_layer(plan, tile, sums, false);
  }
};

}  // namespace layerwise
