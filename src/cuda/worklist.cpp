#include "cuda/worklist.h"

#include <algorithm>

#include "kernels/tuning.h"

namespace layerwise {
namespace {

struct TreeSize {
  int64_t sums = 0, groups = 0;
};

// A layer's tile sums and those of every further level; a layer of one tile needs no tree.
TreeSize tree_size(int64_t elements) {
  TreeSize size;
  for (int64_t count = tiles_of(elements); count > 1; count = groups_of(count)) {
    size.sums += count;
    size.groups += groups_of(count);
  }
  return size;
}

TreeSize tree_size(const Layout& layout) {
  TreeSize total;
  for (const LayerExtent& layer : layout.layers) {
    const TreeSize size = tree_size(layer.size);
    total.sums += size.sums;
    total.groups += size.groups;
  }
  return total;
}

// Deals tiles, in their order, to the blocks of an update.
class UpdateUnits {
 public:
  void add(int64_t elements_of_tile) {
    const bool small = elements_of_tile <= kSmallTile;
    if (small && last_has_room_) {
      ++units_.back().tiles;
    } else {
      units_.push_back({tiles_, 1});
    }
    last_has_room_ = small && units_.back().tiles < kSmallTilesAUnit;
    ++tiles_;
  }
  std::vector<UpdateUnit> take() && { return std::move(units_); }

 private:
  std::vector<UpdateUnit> units_;
  uint32_t tiles_ = 0;
  bool last_has_room_ = false;  // for another small tile
};

}  // namespace

Worklist build_worklist(const Layout& layout) {
  Worklist list;
  list.layers.reserve(layout.layers.size());
  list.tile_layer.reserve(layout.tiles);
  TreeSize before;
  UpdateUnits units;
  for (const LayerExtent& layer : layout.layers) {
    for (int64_t first = 0; first < layer.size; first += kTileElements)
      units.add(std::min<int64_t>(layer.size - first, kTileElements));
    list.tile_layer.insert(list.tile_layer.end(), tiles_of(layer.size), static_cast<uint32_t>(list.layers.size()));
    list.layers.push_back({layer, before.sums, before.groups});
    const TreeSize size = tree_size(layer.size);
    before.sums += size.sums;
    before.groups += size.groups;
  }
  list.update_units = std::move(units).take();
  return list;
}

OnePassList one_pass_list(const Layout& layout, int64_t capacity) {
  OnePassList list;
  list.items.reserve(most_one_pass_items(layout));
  for (size_t l = 0; l < layout.layers.size(); ++l) {
    const int64_t size = layout.layers[l].size, tiles = tiles_of(size), held = std::min(tiles, capacity);
    const auto layer = static_cast<uint32_t>(l);
    for (int64_t tile = 0; tile < tiles - held; tile += kNormTilesPerTicket)
      list.items.push_back({tile, layer, static_cast<uint16_t>(std::min<int64_t>(kNormTilesPerTicket, tiles - held - tile)),
                            WorkKind::kNorm});
    for (int64_t tile = tiles - held; tile < tiles; ++tile) list.items.push_back({tile, layer, 1, WorkKind::kHold});
    for (int64_t tile = tiles - held; tile-- > 0;) list.items.push_back({tile, layer, 1, WorkKind::kUpdate});
    list.held_elements += size - (tiles - held) * kTileElements;
  }
  return list;
}

bool is_better_in_one_pass(const OnePassList& list, const Layout& layout) {
  const auto elements = static_cast<double>(layout.elements);
  return static_cast<double>(list.held_elements) >= kLeastHeldShare * elements &&
         elements >= kLeastTileShare * kTileElements * static_cast<double>(layout.tiles);
}

int64_t most_one_pass_items(const Layout& layout) {
  int64_t items = 0;
  for (const LayerExtent& layer : layout.layers) {
    const int64_t tiles = tiles_of(layer.size);
    items += tiles + (tiles + kNormTilesPerTicket - 1) / kNormTilesPerTicket;
  }
  return items;
}

WorkspaceLayout::WorkspaceLayout(const Layout& layout, bool one_pass) : bytes(0) {
  const auto take = [&](int64_t count, size_t size) {
    const int64_t offset = bytes, wanted = count * static_cast<int64_t>(size);
    bytes += (wanted + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
    return offset;
  };
  const int64_t count = static_cast<int64_t>(layout.layers.size());
  const TreeSize tree = tree_size(layout);
  layers = take(count, sizeof(DeviceLayer));
  options = take(count, sizeof(LayerOptions));
  tile_layer = take(layout.tiles, sizeof(uint32_t));
  update_units = take(layout.tiles, sizeof(UpdateUnit));
  for (int64_t& list : items) list = take(one_pass ? most_one_pass_items(layout) : 0, sizeof(WorkItem));
  sums = take(tree.sums, 2 * sizeof(double));
  updates = take(count, sizeof(DeviceUpdate));
  arrivals = take(tree.groups, sizeof(uint32_t));
  draw = take(1, sizeof(TileDraw));
  finished = take(one_pass ? count : 0, sizeof(uint64_t));
  control = take(one_pass, sizeof(OnePassControl));
  zeroed_bytes = bytes - arrivals;
}

DevicePlan WorkspaceLayout::device_plan(const Layout& layout, void* workspace) const {
  char* const base = static_cast<char*>(workspace);
  return {reinterpret_cast<const DeviceLayer*>(base + layers),
          reinterpret_cast<const LayerOptions*>(base + options),
          reinterpret_cast<const uint32_t*>(base + tile_layer),
          reinterpret_cast<const UpdateUnit*>(base + update_units),
          reinterpret_cast<double*>(base + sums),
          reinterpret_cast<uint32_t*>(base + arrivals),
          reinterpret_cast<TileDraw*>(base + draw),
          reinterpret_cast<DeviceUpdate*>(base + updates),
          layout.tiles,
          0,
          static_cast<int64_t>(layout.layers.size()),
          Dtype::kNone,
          layout.scattered};
}

OnePassWork WorkspaceLayout::one_pass_work(int list, int64_t items_count, void* workspace) const {
  char* const base = static_cast<char*>(workspace);
  return {reinterpret_cast<const WorkItem*>(base + items[list]), items_count,
          reinterpret_cast<uint64_t*>(base + finished), reinterpret_cast<OnePassControl*>(base + control), 0, false};
}

}  // namespace layerwise
