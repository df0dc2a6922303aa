// Split weights and stochastically rounded moments are not read and written in place by the loops over tiles. A tile of
// them is converted to float32 in a buffer of the thread, updated there, and then stored.
#pragma once

#include "cpu/staged.h"
#include "cpu/tile.h"
#include "numerics/summation.h"

namespace layerwise {

// The buffers of one thread.
struct StagedTile {
  alignas(64) float weights[kTileElements];
  alignas(64) float moments[kTileElements];
  alignas(64) float decayed[kTileElements];  // decayed gradients, if LARC's norm is that of g' + weight_decay*w
};

inline namespace LAYERWISE_ISA {

class Staging {
 public:
  Staging(const Dtypes& dtypes, const StepBuffers& buffers)
      : dtypes_(dtypes),
        weights_(dtypes.weights_extra == Dtype::kRemainder16 && buffers.weights_extra),
        moments_(buffers.stochastic_moment) {}

  bool is_used() const { return weights_ || moments_; }
  // The dtypes that the loops see.
  Dtypes dtypes() const {
    Dtypes seen = dtypes_;
    if (weights_) seen.weights = Dtype::kFloat32;
    if (moments_) seen.first_moment = Dtype::kFloat32;
    return seen;
  }

  // Only the weights of a tile.
  const void* weights(const TileBuffers& stored, StagedTile& stage) const {
    if (!weights_) return stored.weights;
    load_weights(stored.weights, stored.weights_extra, stage.weights, stored.count);
    return stage.weights;
  }
  // For at most one tile.
  TileBuffers load(const TileBuffers& stored, StagedTile& stage) const {
    TileBuffers seen = stored;
    if (weights_) {
      weights(stored, stage);
      seen.weights = stage.weights;
    }
    if (moments_) {
      load_moments(stored.first_moment, stage.moments, stored.count);
      seen.first_moment = stage.moments;
    }
    return seen;
  }
  // first: index of the tile's first element in the whole layer.
  void store(const StagedTile& stage, const TileBuffers& stored, const RandomKey& key, int64_t first) const {
    if (weights_) store_weights(stage.weights, stored.weights, stored.weights_extra, stored.count);
    if (moments_) store_moments(stage.moments, stored.first_moment, stored.count, key, first);
  }

 private:
  const Dtypes dtypes_;
  const bool weights_, moments_;
};

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
