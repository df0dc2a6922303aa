// The loop over layers and their tiles.
#pragma once

#include "cpu/operations.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

// Tiles that one update call walks forwards; the runs follow each other backwards. Measured: single tiles cost 5 %
// more.
constexpr int64_t kRunTiles = 8;

template <class Operation>
class LayerLoop final : public LayerWork {
 public:
  template <class Step>
  LayerLoop(const LayerTable& layers, const Step& step)
      : layers_(layers), operation_(layers.dtypes, step), copy_(copy_for(layers.dtypes.weights_extra)) {}

  void step_layers(int64_t begin, int64_t end, Scratch& scratch) const override {
    [[maybe_unused]] LayerRows rows;
    bool is_summed = false;
    for (int64_t layer = next_layer(begin, end), next; layer < end; layer = next) {
      next = next_layer(layer + 1, end);
      const int64_t tiles = tiles_of(layers_.extents[layer].size);
      if (!is_summed) sum_layer(layer, tiles, scratch);
      const auto layer_update = finish(layer, scratch.sums, scratch);
      is_summed = false;
      if (!layer_update.takes_part) continue;
      if constexpr (Operation::kSumsBeside) {
        if (next < end && is_summed_beside(next, layer)) {
          is_summed = update_beside(layer, layer_update.element, next, scratch.sums, rows);
          continue;
        }
      }
      update(layer, 0, tiles, layer_update.element, scratch);
    }
  }

  bool takes_part(int64_t layer) const override {
    return layerwise::takes_part(operation_.buffers(), layers_.scattered, layer);
  }
  void sum_tiles(int64_t layer, int64_t begin, int64_t end, LayerSums sums, Scratch& scratch) const override {
    sum(layer, begin, end, sums, scratch);
  }
  void finish_norms(int64_t layer, LayerSums sums, Scratch& scratch) override {
    shared_ = finish(layer, sums, scratch);
  }
  void update_tiles(int64_t layer, int64_t begin, int64_t end, Scratch& scratch) const override {
    if (shared_.takes_part) update(layer, begin, end, shared_.element, scratch);
  }

 private:
  using Element = typename Operation::Element;

  LAYERWISE_INLINE int64_t next_layer(int64_t layer, int64_t end) const {
    while (layer < end && (layers_.extents[layer].size == 0 || !takes_part(layer))) ++layer;
    return layer;
  }

  LAYERWISE_INLINE void sum_layer(int64_t layer, int64_t tiles, Scratch& scratch) const {
    const TileBuffers first = this->tiles(layer, 0, 1);
    if (first.count <= kShort) {
      Fetched(first.weights, layers_.dtypes.weights).elements(0, first.count);
      Fetched(first.first_moment, layers_.dtypes.first_moment).elements(0, first.count);
    }
    sum(layer, 0, tiles, scratch.sums, scratch);
  }

  LAYERWISE_INLINE void sum(int64_t layer, int64_t begin, int64_t end, LayerSums sums, Scratch& scratch) const {
    if (!operation_.sums_tiles()) return;
    for (int64_t tile = begin; tile < end; ++tile)
      operation_.sum_tile(tiles(layer, tile, tile + 1), sums, tile, layers_.options[layer], *scratch.stage);
  }

  LAYERWISE_INLINE LayerUpdate<Element> finish(int64_t layer, LayerSums sums, Scratch& scratch) const {
    const int64_t tiles = tiles_of(layers_.extents[layer].size);
    const auto layer_update = operation_.scalars(layer, layers_.options[layer], sums, tiles);
    if (!layer_update.takes_part)
      ++scratch.nonfinite_layers;
    else if (operation_.buffers().layer_stats)
      operation_.buffers().layer_stats[layer] = layer_update.stats;
    return layer_update;
  }

  LAYERWISE_INLINE void update(int64_t layer, int64_t begin, int64_t end, const Element& element,
                               Scratch& scratch) const {
    if (operation_.staging().is_used()) return update_staged(layer, begin, end, element, *scratch.stage);
    for (; end > begin; end -= kRunTiles) {
      const TileBuffers run = tiles(layer, end - kRunTiles > begin ? end - kRunTiles : begin, end);
      operation_.update(run, element);
      if (run.weights_extra) copy_(run);
    }
  }

  LAYERWISE_INLINE bool is_summed_beside(int64_t next, int64_t layer) const {
    return is_worth_summing_beside(layers_.extents[layer].size) &&
           is_worth_summing_beside(layers_.extents[next].size) && operation_.sums_what_is_stored();
  }
  // Whether the next layer is summed: it has to be again where it left float32's comfortable range.
  LAYERWISE_INLINE bool update_beside(int64_t layer, const Element& element, int64_t next, LayerSums sums,
                                      LayerRows& rows) const {
    const TileBuffers tile = tiles(layer, 0, 1);
    const bool is_summed = operation_.update_beside(tile, element, tiles(next, 0, 1), sums, rows);
    if (tile.weights_extra) copy_(tile);
    return is_summed;
  }

  void update_staged(int64_t layer, int64_t begin, int64_t end, const Element& element, StagedTile& stage) const {
    const RandomKey key = random_key(operation_.buffers(), layer, element.step);
    for (int64_t tile = end - 1; tile >= begin; --tile) {
      const TileBuffers stored = tiles(layer, tile, tile + 1);
      operation_.update(operation_.staging().load(stored, stage), element);
      operation_.staging().store(stage, stored, key, tile * kTileElements);
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
  LayerUpdate<Element> shared_{};  // of the layer that the threads share
};

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
