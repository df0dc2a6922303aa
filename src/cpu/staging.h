// What the loops over tiles do not read and write in place: split weights, stochastically rounded moments, and with
// kConvertsTiles all that is not float32. A tile of it is converted to float32 in a buffer of the thread, updated there,
// and then stored.
#pragma once

#include "cpu/staged.h"
#include "cpu/tile.h"
#include "numerics/summation.h"

namespace layerwise {

// The buffers of one thread.
struct StagedTile {
  alignas(64) float weights[kTileElements];
  alignas(64) float grads[kTileElements];
  alignas(64) float moments[kTileElements];
  alignas(64) float decayed[kTileElements];  // decayed gradients, if LARC's norm is that of g' + weight_decay*w
};

inline namespace LAYERWISE_ISA {

// The arrays that an operation writes besides the first moment, if it has one.
enum class Written { kNothing, kWeights, kGrads };

class Staging {
 public:
  Staging(const Dtypes& dtypes, const StepBuffers& buffers, Written written)
      : dtypes_(dtypes),
        written_(written),
        split_(dtypes.weights_extra == Dtype::kRemainder16 && buffers.weights_extra),
        stochastic_(buffers.stochastic_moment),
        weights_(split_ || is_converted(dtypes.weights)),
        grads_(is_converted(dtypes.grads)),
        moments_(stochastic_ || (buffers.first_moment && is_converted(dtypes.first_moment))) {}

  bool is_used() const { return weights_ || grads_ || moments_; }
  // The dtypes that the loops of updates see.
  Dtypes dtypes() const {
    Dtypes seen = dtypes_;
    if (weights_) seen.weights = Dtype::kFloat32;
    if (grads_) seen.grads = Dtype::kFloat32;
    if (moments_) seen.first_moment = Dtype::kFloat32;
    return seen;
  }

  // For norms, which read every dtype but need split weights put together.
  Dtype summed_weights_dtype() const { return split_ ? Dtype::kFloat32 : dtypes_.weights; }
  const void* summed_weights(const TileBuffers& stored, StagedTile& stage) const {
    if (!split_) return stored.weights;
    load_weights(stored.weights, stored.weights_extra, stage.weights, stored.count);
    return stage.weights;
  }

  // For at most one tile.
  TileBuffers load(const TileBuffers& stored, StagedTile& stage) const {
    TileBuffers seen = stored;
    if (weights_) {
      if (split_)
        load_weights(stored.weights, stored.weights_extra, stage.weights, stored.count);
      else
        widen(stored.weights, dtypes_.weights, stage.weights, stored.count);
      seen.weights = stage.weights;
    }
    if (grads_) {
      widen(stored.grads, dtypes_.grads, stage.grads, stored.count);
      seen.grads = stage.grads;
    }
    if (moments_) {
      widen(stored.first_moment, dtypes_.first_moment, stage.moments, stored.count);
      seen.first_moment = stage.moments;
    }
    return seen;
  }
  // first: index of the tile's first element in the whole layer.
  void store(const StagedTile& stage, const TileBuffers& stored, const RandomKey& key, int64_t first) const {
    if (weights_ && written_ == Written::kWeights) {
      if (split_)
        store_weights(stage.weights, stored.weights, stored.weights_extra, stored.count);
      else
        narrow(stage.weights, stored.weights, dtypes_.weights, stored.count);
    }
    if (grads_ && written_ == Written::kGrads) narrow(stage.grads, stored.grads, dtypes_.grads, stored.count);
    if (moments_) {
      if (stochastic_)
        store_moments(stage.moments, stored.first_moment, stored.count, key, first);
      else
        narrow(stage.moments, stored.first_moment, dtypes_.first_moment, stored.count);
    }
  }

 private:
  static bool is_converted(Dtype dtype) { return kConvertsTiles && dtype != Dtype::kFloat32; }

  const Dtypes dtypes_;
  const Written written_;
  const bool split_, stochastic_;
  const bool weights_, grads_, moments_;
};

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
