// What each call does to a layer, for the backend's loop over layers and tiles: how a tile is summed, what the sums
// make of the layer's scalars, and how its tiles are updated.
#pragma once

#include "cpu/staging.h"

namespace layerwise {

struct LayerSums {
  double* grads;
  double* weights;
};

// What the backend's loop needs of NovoGrad, with or without LARC before it: tile sums, a layer's scalars, and a tile's
// update.
class NovogradOperation {
 public:
  using Element = NovogradElement;

  NovogradOperation(const TileKernels& kernels, const Dtypes& dtypes, const NovogradStep& step)
      : kernels_(kernels),
        step_(step),
        staging_(kernels, dtypes, step.buffers),
        call_(kernels.novograd_call(step.hyper)),
        norm_(kernels.norm(dtypes.grads, step.hyper.infinity_norm)),
        weight_norm_(kernels.norm(staging_.dtypes().weights, false)),
        reduce_(kernels.reduce(step.hyper.infinity_norm)),
        update_(kernels.novograd(staging_.dtypes(), step.hyper.decoupled_weight_decay)) {}

  const StepBuffers& buffers() const { return step_.buffers; }
  const Staging& staging() const { return staging_; }
  bool sums_tiles() const { return !step_.given.grads; }

  void sum_tile(const TileBuffers& tile, LayerSums sums, int64_t index, StagedTile* stage) const {
    sums.grads[index] = norm_(tile.grads, tile.count);
    if (step_.applies_larc) sums.weights[index] = weight_norm_(staging_.weights(tile, stage), tile.count);
  }
  LayerUpdate<Element> scalars(int64_t layer, const LayerOptions& options, LayerSums sums, int64_t tiles) const {
    SecondMoment moment = load_second_moment(step_, layer);
    const double sum = sums_tiles() ? reduce_(sums.grads, tiles) : step_.given.grads[layer];
    const auto update = step_.applies_larc ? kernels_.larc_novograd_layer(step_.larc, step_.hyper, call_, options,
                                                                          reduce_(sums.weights, tiles), sum, moment)
                                           : kernels_.novograd_layer(step_.hyper, call_, options, sum, moment);
    if (update.takes_part) store_second_moment(step_, layer, moment);
    return update;
  }
  void update(const TileBuffers& tiles, const Element& layer) const { update_(tiles, layer); }

 private:
  const TileKernels& kernels_;
  const NovogradStep& step_;
  const Staging staging_;
  const NovogradCall call_;
  const TileKernels::Norm norm_, weight_norm_;
  const TileKernels::Reduce reduce_;
  const TileKernels::Novograd update_;
};

// The same of LARC, with or without SGD behind it.
class LarcOperation {
 public:
  using Element = LarcElement;

  LarcOperation(const TileKernels& kernels, const Dtypes& dtypes, const LarcStep& step)
      : kernels_(kernels),
        step_(step),
        staging_(kernels, dtypes, step.buffers),
        call_(kernels.larc_call(step.larc, step.sgd)),
        grad_norm_(kernels.norm(dtypes.grads, false)),
        weight_norm_(kernels.norm(staging_.dtypes().weights, false)),
        reduce_(kernels.reduce(false)),
        update_(step.applies_sgd ? kernels.larc_sgd(staging_.dtypes(), step.sgd.momentum != 0, step.sgd.nesterov)
                                 : kernels.larc_scale(dtypes, step.larc.fold_weight_decay)) {}

  const StepBuffers& buffers() const { return step_.buffers; }
  const Staging& staging() const { return staging_; }
  bool sums_tiles() const { return !step_.given.grads; }

  void sum_tile(const TileBuffers& tile, LayerSums sums, int64_t index, StagedTile* stage) const {
    sums.grads[index] = grad_norm_(tile.grads, tile.count);
    sums.weights[index] = weight_norm_(staging_.weights(tile, stage), tile.count);
  }
  LayerUpdate<Element> scalars(int64_t layer, const LayerOptions& options, LayerSums sums, int64_t tiles) const {
    const double weights = sums_tiles() ? reduce_(sums.weights, tiles) : step_.given.weights[layer];
    const double grads = sums_tiles() ? reduce_(sums.grads, tiles) : step_.given.grads[layer];
    return kernels_.larc_layer(step_.larc, step_.sgd, call_, options, weights, grads);
  }
  void update(const TileBuffers& tiles, const Element& layer) const { update_(tiles, layer); }

 private:
  const TileKernels& kernels_;
  const LarcStep& step_;
  const Staging staging_;
  const LarcCall call_;
  const TileKernels::Norm grad_norm_, weight_norm_;
  const TileKernels::Reduce reduce_;
  const TileKernels::Larc update_;
};

// The norms alone: a layer's scalars are its sums, and nothing is updated.
class NormsOperation {
 public:
  struct Element {
    uint32_t step;
  };

  NormsOperation(const TileKernels& kernels, const Dtypes& dtypes, const PartialNorms& norms)
      : norms_(norms),
        staging_(kernels, dtypes, norms.buffers),
        grad_norm_(kernels.norm(dtypes.grads, norms.infinity_norm)),
        weight_norm_(kernels.norm(staging_.dtypes().weights, false)),
        reduce_(kernels.reduce(norms.infinity_norm)) {}

  const StepBuffers& buffers() const { return norms_.buffers; }
  const Staging& staging() const { return staging_; }
  bool sums_tiles() const { return true; }

  void sum_tile(const TileBuffers& tile, LayerSums sums, int64_t index, StagedTile* stage) const {
    sums.grads[index] = grad_norm_(tile.grads, tile.count);
    if (norms_.weight_sums) sums.weights[index] = weight_norm_(staging_.weights(tile, stage), tile.count);
  }
  LayerUpdate<Element> scalars(int64_t layer, const LayerOptions&, LayerSums sums, int64_t tiles) const {
    norms_.grad_sums[layer] = reduce_(sums.grads, tiles);
    if (norms_.weight_sums) norms_.weight_sums[layer] = reduce_(sums.weights, tiles);
    return {};
  }
  void update(const TileBuffers&, const Element&) const {}

 private:
  const PartialNorms& norms_;
  const Staging staging_;
  const TileKernels::Norm grad_norm_, weight_norm_;
  const TileKernels::Reduce reduce_;
};

}  // namespace layerwise
