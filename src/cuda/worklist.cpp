#include "cuda/worklist.h"

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

}  // namespace

Worklist build_worklist(const Layout& layout) {
  Worklist list;
  list.layers.reserve(layout.layers.size());
  list.tile_layer.reserve(layout.tiles);
  TreeSize before;
  for (const LayerExtent& layer : layout.layers) {
    list.tile_layer.insert(list.tile_layer.end(), tiles_of(layer.size), static_cast<uint32_t>(list.layers.size()));
    list.layers.push_back({layer, before.sums, before.groups});
    const TreeSize size = tree_size(layer.size);
    before.sums += size.sums;
    before.groups += size.groups;
  }
  return list;
}

WorkspaceLayout::WorkspaceLayout(const Layout& layout) : bytes(0) {
  const auto take = [&](int64_t size) {
    const int64_t offset = bytes;
    bytes += (size + kWorkspaceAlignment - 1) / kWorkspaceAlignment * kWorkspaceAlignment;
    return offset;
  };
  const int64_t count = static_cast<int64_t>(layout.layers.size());
  const TreeSize tree = tree_size(layout);
  arrivals_bytes = (tree.groups + 1) * static_cast<int64_t>(sizeof(uint32_t));  // the last one counts blocks
  layers = take(count * static_cast<int64_t>(sizeof(DeviceLayer)));
  options = take(count * static_cast<int64_t>(sizeof(LayerOptions)));
  tile_layer = take(layout.tiles * static_cast<int64_t>(sizeof(uint32_t)));
  sums = take(tree.sums * static_cast<int64_t>(2 * sizeof(double)));
  arrivals = take(arrivals_bytes);
  updates = take(count * static_cast<int64_t>(sizeof(DeviceUpdate)));
}

DevicePlan WorkspaceLayout::device_plan(const Layout& layout, void* workspace) const {
  char* const base = static_cast<char*>(workspace);
  return {reinterpret_cast<const DeviceLayer*>(base + layers),
          reinterpret_cast<const LayerOptions*>(base + options),
          reinterpret_cast<const uint32_t*>(base + tile_layer),
          reinterpret_cast<double*>(base + sums),
          reinterpret_cast<uint32_t*>(base + arrivals),
          reinterpret_cast<uint32_t*>(base + arrivals + arrivals_bytes) - 1,
          reinterpret_cast<DeviceUpdate*>(base + updates),
          layout.tiles,
          layout.scattered};
}

}  // namespace layerwise
