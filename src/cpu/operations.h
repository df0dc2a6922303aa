// What each of the library's calls does with a layer, for the loop in layers.h: how a tile is summed, how the scalars
// follow from the sums, and how tiles are updated.
#pragma once

#include "cpu/norm.h"
#include "cpu/staging.h"
#include "cpu/update.h"
#include "cpu/work.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// The arrays of a tile that are worth prefetching for what follows.
class Fetchable {
 public:
  explicit Fetchable(const Dtypes& dtypes) : dtypes_(dtypes) {}
  Fetched weights(const TileBuffers& tile) const { return {tile.weights, dtypes_.weights}; }
  Fetched moments(const TileBuffers& tile) const { return {tile.first_moment, dtypes_.first_moment}; }
  Fetched next_grads(const TileBuffers& tile) const {
    return {static_cast<const char*>(tile.grads) + tile.count * size_of(dtypes_.grads), dtypes_.grads};
  }

  // Prefetch the first lines of the rows of a tile that will be summed, or updated, a few tiles later.
  void open_summed(const TileBuffers& tile, bool with_weights) const {
    Fetched(tile.grads, dtypes_.grads).open(tile.count);
    if (with_weights) weights(tile).open(tile.count);
  }
  void open_updated(const TileBuffers& tile) const {
    weights(tile).open(tile.count);
    moments(tile).open(tile.count);
  }

 private:
  const Dtypes dtypes_;
};

// NovoGrad, with or without LARC before it.
class NovogradOperation {
 public:
  static constexpr bool kSumsBeside = false, kSumsCounted = false;
  using Coefficients = NovogradCoefficients;

  NovogradOperation(const Dtypes& dtypes, const NovogradStep& step)
      : step_(step),
        fetchable_(dtypes),
        staging_(dtypes, step.buffers, Written::kWeights),
        call_(novograd_call(step.hyper)),
        norm_(norm_for(dtypes.grads, step.hyper.infinity_norm)),
        weight_norm_(norm_for(staging_.summed_weights_dtype(), false)),
        two_norms_(norms_for(dtypes.grads, step.applies_larc ? staging_.summed_weights_dtype() : dtypes.grads)),
        update_(novograd_for(staging_.dtypes(), step.hyper.decoupled)) {}

  const StepBuffers& buffers() const { return step_.buffers; }
  const Staging& staging() const { return staging_; }
  bool sums_tiles() const { return !step_.given.grads; }
  bool sums_two_tiles() const { return !step_.applies_larc && !step_.hyper.infinity_norm; }
  void open_summed(const TileBuffers& tile) const { fetchable_.open_summed(tile, step_.applies_larc); }
  void open_updated(const TileBuffers& tile) const { fetchable_.open_updated(tile); }

  void sum_tile(const TileBuffers& tile, LayerSums sums, int64_t index, const LayerOptions&, StagedTile& stage) const {
    if (!step_.applies_larc) {
      sums.grads[index] = norm_(tile.grads, tile.count, {{}, fetchable_.weights(tile), fetchable_.moments(tile)});
      return;
    }
    const void* const weights = staging_.summed_weights(tile, stage);
    if (tile.count == kTileElements && !step_.hyper.infinity_norm)
      return two_norms_(tile.grads, weights, sums.grads[index], sums.weights[index]);
    sums.grads[index] = norm_(tile.grads, tile.count, {fetchable_.weights(tile), {}, {}});
    sums.weights[index] = weight_norm_(weights, tile.count, {{}, fetchable_.moments(tile), {}});
  }
  // For full tiles.
  void sum_two_tiles(const TileBuffers& first, const TileBuffers& second, double& first_sum, double& second_sum) const {
    two_norms_(first.grads, second.grads, first_sum, second_sum);
  }
  LayerUpdate<Coefficients> scalars(int64_t layer, const LayerOptions& options, LayerSums sums, int64_t tiles) const {
    SecondMoment moment = load_second_moment(step_, layer);
    const double sum = sums_tiles() ? reduce(sums.grads, tiles, step_.hyper.infinity_norm) : step_.given.grads[layer];
    const auto update = step_.applies_larc ? larc_novograd_layer(step_.larc, step_.hyper, call_, options,
                                                                 weight_sum(layer, sums, tiles), sum, moment)
                                           : novograd_layer(step_.hyper, call_, options, sum, moment);
    if (update.is_finite) store_second_moment(step_, layer, moment);
    return update;
  }
  void update(const TileBuffers& tiles, int64_t to_next_run, const Coefficients& layer) const {
    update_(tiles, to_next_run, layer);
  }

 private:
  double weight_sum(int64_t layer, LayerSums sums, int64_t tiles) const {
    return sums_tiles() ? reduce(sums.weights, tiles, false) : step_.given.weights[layer];
  }

  const NovogradStep& step_;
  const Fetchable fetchable_;
  const Staging staging_;
  const NovogradCall call_;
  const Norm norm_, weight_norm_;
  const TwoNorms two_norms_;  // with LARC of gradients and weights, else of two tiles of gradients
  const NovogradUpdates update_;
};

// LARC, alone or followed by SGD.
class LarcOperation {
 public:
  static constexpr bool kSumsBeside = true;  // the next layer is summed in the same loop as an update
  static constexpr bool kSumsCounted = false;
  using Coefficients = LarcCoefficients;

  LarcOperation(const Dtypes& dtypes, const LarcStep& step)
      : step_(step),
        fetchable_(dtypes),
        staging_(dtypes, step.buffers, step.applies_sgd ? Written::kWeights : Written::kGrads),
        call_(larc_call(step.larc, step.sgd)),
        grad_norm_(norm_for(step.larc.decayed_norm ? Dtype::kFloat32 : dtypes.grads, false)),
        weight_norm_(norm_for(staging_.summed_weights_dtype(), false)),
        two_norms_(norms_for(step.larc.decayed_norm ? Dtype::kFloat32 : dtypes.grads, staging_.summed_weights_dtype())),
        decay_(decay_for(staging_.summed_weights_dtype(), dtypes.grads)),
        update_(step.applies_sgd ? larc_sgd_for(staging_.dtypes(), step.sgd.momentum != 0, step.sgd.nesterov)
                                 : larc_scale_for(staging_.dtypes(), step.larc.decay_in_factor)) {}

  const StepBuffers& buffers() const { return step_.buffers; }
  const Staging& staging() const { return staging_; }
  bool sums_tiles() const { return !step_.given.grads; }
  bool sums_two_tiles() const { return false; }  // the gradients and weights of a tile are two streams already
  void sum_two_tiles(const TileBuffers&, const TileBuffers&, double&, double&) const {}
  void open_summed(const TileBuffers& tile) const { fetchable_.open_summed(tile, true); }
  void open_updated(const TileBuffers& tile) const { fetchable_.open_updated(tile); }
  // Whether the norms are of the elements as they are stored; only then can update_beside sum them.
  bool sums_what_is_stored() const { return sums_tiles() && !staging_.is_used() && !step_.larc.decayed_norm; }

  void sum_tile(const TileBuffers& tile, LayerSums sums, int64_t index, const LayerOptions& layer,
                StagedTile& stage) const {
    const Fetched next = step_.applies_sgd ? fetchable_.moments(tile) : fetchable_.next_grads(tile);
    const void* const weights = staging_.summed_weights(tile, stage);
    const bool decayed = step_.larc.decayed_norm;
    if (decayed) decay_(tile.grads, weights, decay_of_raw_gradient(step_.larc, layer), stage.decayed, tile.count);
    const void* const grads = decayed ? stage.decayed : tile.grads;
    if (tile.count == kTileElements) return two_norms_(grads, weights, sums.grads[index], sums.weights[index]);
    sums.grads[index] = grad_norm_(grads, tile.count, {decayed ? Fetched() : fetchable_.weights(tile), {}, {}});
    sums.weights[index] = weight_norm_(weights, tile.count, {{}, next, {}});
  }
  LayerUpdate<Coefficients> scalars(int64_t layer, const LayerOptions& options, LayerSums sums, int64_t tiles) const {
    const double weights = sums_tiles() ? reduce(sums.weights, tiles, false) : step_.given.weights[layer];
    const double grads = sums_tiles() ? reduce(sums.grads, tiles, false) : step_.given.grads[layer];
    return larc_layer(step_.larc, step_.sgd, call_, options, weights, grads);
  }
  void update(const TileBuffers& tiles, int64_t to_next_run, const Coefficients& layer) const {
    update_.tiles(tiles, to_next_run, layer);
  }

  // Updates a layer and sums the next one; false if the next one has to be summed again.
  bool update_beside(const TileBuffers& tile, const Coefficients& layer, const TileBuffers& next, LayerSums sums,
                     TwoRowAccumulators& rows) const {
    update_.beside(tile, layer, next, rows);
    const bool grads_held = norm_of(rows.first, *sums.grads), weights_held = norm_of(rows.second, *sums.weights);
    return grads_held && weights_held;
  }

 private:
  const LarcStep& step_;
  const Fetchable fetchable_;
  const Staging staging_;
  const LarcCall call_;
  const Norm grad_norm_, weight_norm_;
  const TwoNorms two_norms_;
  const Decay decay_;
  const LarcUpdates update_;
};

// layerwise_partial_norms: the sums of a layer are written out, and nothing is updated.
class NormsOperation {
 public:
  static constexpr bool kSumsBeside = false;
  static constexpr bool kSumsCounted = true;  // only the layers that this rank counts
  struct Coefficients {
    uint32_t step;
  };

  NormsOperation(const Dtypes& dtypes, const PartialNorms& norms)
      : norms_(norms),
        fetchable_(dtypes),
        staging_(dtypes, norms.buffers, Written::kNothing),
        grad_norm_(norm_for(dtypes.grads, norms.infinity_norm)),
        weight_norm_(norm_for(staging_.summed_weights_dtype(), false)),
        two_norms_(norms_for(dtypes.grads, norms.weight_sums ? staging_.summed_weights_dtype() : dtypes.grads)) {}

  const StepBuffers& buffers() const { return norms_.buffers; }
  const Staging& staging() const { return staging_; }
  bool sums_tiles() const { return true; }
  bool sums_two_tiles() const { return !norms_.weight_sums && !norms_.infinity_norm; }
  void open_summed(const TileBuffers& tile) const { fetchable_.open_summed(tile, norms_.weight_sums); }
  void open_updated(const TileBuffers&) const {}

  void sum_tile(const TileBuffers& tile, LayerSums sums, int64_t index, const LayerOptions&, StagedTile& stage) const {
    const Fetched next = fetchable_.next_grads(tile);
    if (!norms_.weight_sums) {
      sums.grads[index] = grad_norm_(tile.grads, tile.count, {next, {}, {}});
      return;
    }
    const void* const weights = staging_.summed_weights(tile, stage);
    if (tile.count == kTileElements && !norms_.infinity_norm)
      return two_norms_(tile.grads, weights, sums.grads[index], sums.weights[index]);
    sums.grads[index] = grad_norm_(tile.grads, tile.count, {fetchable_.weights(tile), {}, {}});
    sums.weights[index] = weight_norm_(weights, tile.count, {next, {}, {}});
  }
  void sum_two_tiles(const TileBuffers& first, const TileBuffers& second, double& first_sum, double& second_sum) const {
    two_norms_(first.grads, second.grads, first_sum, second_sum);
  }
  LayerUpdate<Coefficients> scalars(int64_t layer, const LayerOptions&, LayerSums sums, int64_t tiles) const {
    norms_.grad_sums[layer] = sum_for_caller(reduce(sums.grads, tiles, norms_.infinity_norm), norms_.infinity_norm);
    if (norms_.weight_sums) norms_.weight_sums[layer] = reduce(sums.weights, tiles, false);
    return {};
  }
  void update(const TileBuffers&, int64_t, const Coefficients&) const {}

 private:
  const PartialNorms& norms_;
  const Fetchable fetchable_;
  const Staging staging_;
  const Norm grad_norm_, weight_norm_;
  const TwoNorms two_norms_;  // of gradients and weights, or of two tiles of gradients
};

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
