// The loop over layers and their tiles: norm, scalars, update.
#pragma once

#include "cpu/operations.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// An update processes a layer from its end, in runs of this many tiles, and goes forwards within a run. Runs of a
// single tile were measured to take 5 to 15 % longer.
constexpr int64_t kRunTiles = 8;
// The first lines of a tile's rows are prefetched this many tiles before it is summed.
constexpr int64_t kOpenedTiles = 2;
// Large layers are summed in two streams at once. The streams start half of kTwoStreamTiles apart, no more, so that the
// update still finds in the cache what was summed last. Fewer tiles than kFewestForTwoStreams are summed in one stream.
constexpr int64_t kTwoStreamTiles = 128, kFewestForTwoStreams = 16;

template <class Operation>
class LayerLoop final : public LayerWork {
 public:
  template <class Step>
  LayerLoop(const LayerTable& layers, const Step& step)
      : layers_(layers), operation_(layers.dtypes, step), copy_(copy_for(layers.dtypes.weights_extra)) {}

  void step_layers(int64_t begin, int64_t end, Scratch& scratch) const override {
    [[maybe_unused]] TwoRowAccumulators rows;
    bool is_summed = false;
    for (int64_t layer = next_layer(begin, end), next; layer < end; layer = next) {
      next = next_layer(layer + 1, end);
      const int64_t tiles = tiles_of(layers_.extents[layer].size);
      if (!is_summed) sum_layer(layer, tiles, scratch);
      const auto layer_update = finish(layer, scratch.sums, scratch);
      is_summed = false;
      if (!layer_update.is_finite) continue;
      if constexpr (Operation::kSumsBeside) {
        if (next < end && is_summed_beside(next, layer)) {
          is_summed = update_beside(layer, layer_update.coefficients, next, scratch.sums, rows);
          continue;
        }
      }
      update(layer, 0, tiles, layer_update.coefficients, scratch);
    }
  }

  bool takes_part(int64_t layer) const override {
    if (Operation::kSumsCounted && layers_.options[layer].not_counted) return false;
    return !is_masked(operation_.buffers(), layers_.scattered, layer);
  }
  void sum_tiles(int64_t layer, int64_t begin, int64_t end, LayerSums sums, Scratch& scratch) const override {
    sum(layer, begin, end, sums, scratch);
  }
  void finish_norms(int64_t layer, LayerSums sums, Scratch& scratch) override {
    shared_ = finish(layer, sums, scratch);
  }
  void update_tiles(int64_t layer, int64_t begin, int64_t end, Scratch& scratch) const override {
    if (shared_.is_finite) update(layer, begin, end, shared_.coefficients, scratch);
  }

 private:
  using Coefficients = typename Operation::Coefficients;

  LAYERWISE_INLINE int64_t next_layer(int64_t layer, int64_t end) const {
    while (layer < end && !(layers_.extents[layer].size > 0 ? takes_part(layer) : is_applied_elsewhere(layer))) ++layer;
    return layer;
  }
  // Whether the layer has no elements here but is stepped on other ranks: its second moment has to be updated here too.
  LAYERWISE_INLINE bool is_applied_elsewhere(int64_t layer) const {
    return !operation_.sums_tiles() && takes_part_elsewhere(operation_.buffers(), layers_.options[layer], layer);
  }

  LAYERWISE_INLINE void sum_layer(int64_t layer, int64_t tiles, Scratch& scratch) const {
    if (tiles == 0) return;
    const TileBuffers first = this->tiles(layer, 0, 1);
    if (first.count <= kShort) {
      Fetched(first.weights, layers_.dtypes.weights).elements(0, first.count);
      Fetched(first.first_moment, layers_.dtypes.first_moment).elements(0, first.count);
    }
    sum(layer, 0, tiles, scratch.sums, scratch);
  }

  LAYERWISE_INLINE void sum(int64_t layer, int64_t begin, int64_t end, LayerSums sums, Scratch& scratch) const {
    if (!operation_.sums_tiles()) return;
    if (end - begin == 1) return sum_tile(layer, begin, tiles(layer, begin, end), sums, scratch);
    if (!operation_.sums_two_tiles() || end - begin < kFewestForTwoStreams)
      return sum_streams(layer, begin, end, end, end, sums, scratch);
    for (int64_t part = begin, next; part < end; part = next) {
      next = part + kTwoStreamTiles < end ? part + kTwoStreamTiles : end;
      sum_streams(layer, part, part + (next - part + 1) / 2, next, end, sums, scratch);
    }
  }
  LAYERWISE_INLINE void sum_tile(int64_t layer, int64_t index, const TileBuffers& tile, LayerSums sums,
                                 Scratch& scratch) const {
    operation_.sum_tile(tile, sums, index, layers_.options[layer], *scratch.stage);
  }
  // Sums tiles [begin, middle) in one stream and [middle, end), which are not more, in the other. last is the end of
  // all tiles that are summed before the update, which begins there.
  void sum_streams(int64_t layer, int64_t begin, int64_t middle, int64_t end, int64_t last, LayerSums sums,
                   Scratch& scratch) const {
    for (int64_t i = 0; i < kOpenedTiles; ++i) {
      open_summed(layer, begin + i, middle);
      open_summed(layer, middle + i, end);
    }
    for (int64_t first = begin, second = middle; first < middle; ++first, ++second) {
      const TileBuffers tile = opened(layer, first, middle, last);
      const TileBuffers other = second < end ? opened(layer, second, end, last) : TileBuffers{};
      if (other.count == kTileElements) {
        operation_.sum_two_tiles(tile, other, sums.grads[first], sums.grads[second]);
      } else {
        sum_tile(layer, first, tile, sums, scratch);
        if (other.count > 0) sum_tile(layer, second, other, sums, scratch);
      }
    }
  }
  LAYERWISE_INLINE void open_summed(int64_t layer, int64_t tile, int64_t end) const {
    if (tile < end) operation_.open_summed(tiles(layer, tile, tile + 1));
  }
  // A tile that is about to be summed. Prefetches the first lines of the rows that are needed after it.
  LAYERWISE_INLINE TileBuffers opened(int64_t layer, int64_t index, int64_t end, int64_t last) const {
    open_summed(layer, index + kOpenedTiles, end);
    const TileBuffers tile = tiles(layer, index, index + 1);
    if (index + kRunTiles >= last) operation_.open_updated(tile);
    return tile;
  }

  LAYERWISE_INLINE LayerUpdate<Coefficients> finish(int64_t layer, LayerSums sums, Scratch& scratch) const {
    const int64_t tiles = tiles_of(layers_.extents[layer].size);
    const auto layer_update = operation_.scalars(layer, layers_.options[layer], sums, tiles);
    if (!layer_update.is_finite)
      ++scratch.nonfinite_layers;
    else if (operation_.buffers().layer_stats)
      operation_.buffers().layer_stats[layer] = layer_update.stats;
    return layer_update;
  }

  LAYERWISE_INLINE void update(int64_t layer, int64_t begin, int64_t end, const Coefficients& coefficients,
                               Scratch& scratch) const {
    if (operation_.staging().is_used()) return update_staged(layer, begin, end, coefficients, *scratch.stage);
    const auto run_before = [&](int64_t tile) { return tile - kRunTiles > begin ? tile - kRunTiles : begin; };
    for (int64_t first = run_before(end); end > begin; end = first, first = run_before(end)) {
      const TileBuffers run = tiles(layer, first, end);
      operation_.update(run, (first - run_before(first)) * kTileElements, coefficients);
      if (run.weights_extra) copy_(run);
    }
  }

  LAYERWISE_INLINE bool is_summed_beside(int64_t next, int64_t layer) const {
    return is_worth_summing_beside(layers_.extents[layer].size) &&
           is_worth_summing_beside(layers_.extents[next].size) && operation_.sums_what_is_stored();
  }
  // Returns whether the next layer is summed now. If its sum left the safe range of float32, it has to be summed again.
  LAYERWISE_INLINE bool update_beside(int64_t layer, const Coefficients& coefficients, int64_t next, LayerSums sums,
                                      TwoRowAccumulators& rows) const {
    const TileBuffers tile = tiles(layer, 0, 1);
    const bool is_summed = operation_.update_beside(tile, coefficients, tiles(next, 0, 1), sums, rows);
    if (tile.weights_extra) copy_(tile);
    return is_summed;
  }

  void update_staged(int64_t layer, int64_t begin, int64_t end, const Coefficients& coefficients, StagedTile& stage) const {
    const RandomKey key = random_key(operation_.buffers(), layer, coefficients.step);
    for (int64_t tile = end - 1; tile >= begin; --tile) {
      const TileBuffers stored = tiles(layer, tile, tile + 1);
      operation_.update(operation_.staging().load(stored, stage), 0, coefficients);
      operation_.staging().store(stage, stored, key, layers_.options[layer].begin + tile * kTileElements);
      if (stored.weights_extra && layers_.dtypes.weights == Dtype::kFloat32) copy_(stored);
    }
  }

  // Tiles [begin, end) of a layer.
  LAYERWISE_INLINE TileBuffers tiles(int64_t layer, int64_t begin, int64_t end) const {
    const StepBuffers& buffers = operation_.buffers();
    const LayerExtent& extent = layers_.extents[layer];
    const int64_t first = begin * kTileElements, last = end * kTileElements;
    const auto address = [&](void* buffer, Dtype dtype) -> void* {
      if (!buffer) return nullptr;
      return layer_address(buffer, layers_.scattered, layer, extent.offset + first, size_of(dtype));
    };
    const Dtypes& dtypes = layers_.dtypes;
    return {address(buffers.weights, dtypes.weights), address(buffers.grads, dtypes.grads),
            address(buffers.first_moment, dtypes.first_moment), address(buffers.weights_extra, dtypes.weights_extra),
            (extent.size < last ? extent.size : last) - first};
  }

  const LayerTable layers_;
  const Operation operation_;
  const Copy copy_;
  LayerUpdate<Coefficients> shared_{};  // of the layer that all threads are working on
};

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
