// A plan's device tables, built once on the host: which layer each tile belongs to, and where each layer's tree of
// sums stands in the scratch arrays.
#pragma once

#include <vector>

#include "backend.h"
#include "kernels/launch.h"

namespace layerwise {

struct Worklist {
  std::vector<DeviceLayer> layers;
  std::vector<uint32_t> tile_layer;
};

Worklist build_worklist(const Layout& layout);

// How the plan's device memory is divided; offsets in bytes from its start.
struct WorkspaceLayout {
  int64_t layers, options, tile_layer;    // written by the host
  int64_t sums, arrivals, updates;        // scratch
  int64_t bytes;
  int64_t arrivals_bytes;

  explicit WorkspaceLayout(const Layout& layout);
  DevicePlan device_plan(const Layout& layout, void* workspace) const;
};

inline constexpr int64_t kWorkspaceAlignment = 256;

}  // namespace layerwise
