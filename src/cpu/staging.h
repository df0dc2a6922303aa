// What the loops over tiles do not read or write where it is stored: split weights, and moments that are rounded
// stochastically. A tile of it is worked on as float32, in memory of the thread's own, and stored from there.
#pragma once

#include "cpu/staged.h"
#include "cpu/tile.h"
#include "numerics/summation.h"

namespace layerwise {

// One thread's.
struct StagedTile {
  alignas(64) float weights[kTileElements];
  alignas(64) float moments[kTileElements];
  alignas(64) float decayed[kTileElements];  // gradients, where their norm is taken after weight decay
};

inline namespace LAYERWISE_ISA {

class Staging {
 public:
  Staging(const Dtypes& dtypes, const StepBuffers& buffers)
      : dtypes_(dtypes),
        weights_(dtypes.weights_extra == Dtype::kRemainder16 && buffers.weights_extra),
        moments_(buffers.stochastic_moment) {}

  bool is_used() const { return weights_ || moments_; }
  // As the loops see them.
  Dtypes dtypes() const {
    Dtypes seen = dtypes_;
    if (weights_) seen.weights = Dtype::kFloat32;
    if (moments_) seen.first_moment = Dtype::kFloat32;
    return seen;
  }

  // A tile's weights alone.
  const void* weights(const TileBuffers& stored, StagedTile& stage) const {
    if (!weights_) return stored.weights;
    load_weights(stored.weights, stored.weights_extra, stage.weights, stored.count);
    return stage.weights;
  }
  // One tile at most.
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
  // first: the tile's first element of the layer.
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
