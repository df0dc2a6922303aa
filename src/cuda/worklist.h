// A plan's device tables, built once on the host: which layer each tile belongs to, where each layer's tree of sums
// stands in the scratch arrays, and in which order the blocks of a one-pass step take the tiles.
#pragma once

#include <vector>

#include "backend.h"
#include "kernels/launch.h"

namespace layerwise {

struct Worklist {
  std::vector<DeviceLayer> layers;
  std::vector<uint32_t> tile_layer;
  std::vector<UpdateUnit> update_units;  // in the tiles' order; small ones beside each other share one
};

Worklist build_worklist(const Layout& layout);

// The tiles of a one-pass step whose blocks have room for capacity tiles together. A layer that fits is held; of a
// larger one the last tiles are held, the others summed before them and updated after them, backwards, since the newest
// are still in L2.
struct OnePassList {
  std::vector<WorkItem> items;
  int64_t held_elements = 0;  // read from memory once
};

OnePassList one_pass_list(const Layout& layout, int64_t capacity);

// Whether a step with this list is better than two passes.
bool is_better_in_one_pass(const OnePassList& list, const Layout& layout);

// The most items that a list can have, whatever the capacity.
int64_t most_one_pass_items(const Layout& layout);

// A plan has a list for steps that hold gradients, and one for those that hold weights too.
inline constexpr int kOnePassLists = 2;

// How the plan's device memory is divided; offsets in bytes from its start.
struct WorkspaceLayout {
  int64_t layers, options, tile_layer, update_units, items[kOnePassLists];  // written by the host
  int64_t sums, updates;                                                    // scratch
  int64_t arrivals, draw, finished, control;  // the same, 0 between steps; one after the other
  int64_t bytes;
  int64_t zeroed_bytes;

  WorkspaceLayout(const Layout& layout, bool one_pass);
  // Without units and extra_dtype, which the layout does not say.
  DevicePlan device_plan(const Layout& layout, void* workspace) const;
  // Without its shape: slots and holds_weights are the caller's.
  OnePassWork one_pass_work(int list, int64_t items_count, void* workspace) const;
};

inline constexpr int64_t kWorkspaceAlignment = 256;

}  // namespace layerwise
