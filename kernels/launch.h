// What the CUDA backend may ask of the kernels: a step is two launches, norms and then the update, or one that holds the
// gradients in between; with norms that the caller has it is one launch too.
#pragma once

#include <cuda_runtime_api.h>

#include "numerics/step.h"

namespace layerwise {

// A layer, and where its tree of sums stands in the scratch arrays.
struct DeviceLayer {
  LayerExtent extent;
  int64_t first_sum;      // its tile sums, then the sums of each further level
  int64_t first_arrival;  // its groups' arrival counters, level after level
};

// A layer's constants from the norms to the update.
struct DeviceUpdate {
  int32_t takes_part;
  union {
    NovogradElement novograd;
    LarcElement larc;
  };
};

// A plan's device memory. Written once by the host: layers, options, tile_layer. Scratch: the rest.
struct DevicePlan {
  const DeviceLayer* layers;
  const LayerOptions* options;
  const uint32_t* tile_layer;  // [tiles]
  double* sums;                // [sums][2]: gradients', weights'
  uint32_t* arrivals;          // 0 between steps
  uint32_t* blocks_done;       // of a launch that applies; 0 between steps
  DeviceUpdate* updates;       // [layers]
  int64_t tiles, layer_count;
  bool scattered;
};

// The device's share of a launch's shape.
struct DeviceLimits {
  int multiprocessors;
};

// Loads what a plan of these dtypes may launch, so that a first step may be captured and is as quick as the others.
cudaError_t load_norms(const Dtypes& dtypes);
cudaError_t load_novograd_update(const Dtypes& dtypes);
cudaError_t load_larc_scale_update(const Dtypes& dtypes);
cudaError_t load_larc_sgd_update(const Dtypes& dtypes);
cudaError_t load_apply(const Dtypes& dtypes);

cudaError_t launch_novograd_norms(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_novograd_update(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                   const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_larc_norms(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_larc_scale_update(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                                     const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_larc_sgd_update(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                                   const DeviceLimits& device, cudaStream_t stream);

cudaError_t launch_partial_norms(const DevicePlan& plan, const Dtypes& dtypes, const PartialNorms& norms,
                                 const DeviceLimits& device, cudaStream_t stream);
// With the norms that step.given has.
cudaError_t launch_novograd_apply(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_larc_apply(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream);

// ---- The one-pass step ----

// A tile is summed and held until its layer's norm is there; or, where a layer does not fit, summed, and updated later.
enum class WorkKind : uint16_t { kEnd, kHold, kNorm, kUpdate };

// What a block draws with one ticket: tiles [tile, tile + tiles) of a layer.
struct WorkItem {
  int64_t tile;
  uint32_t layer;
  uint16_t tiles;
  WorkKind kind;
};

// Shared by the blocks of a launch. All zero before the first launch.
struct OnePassControl {
  int64_t next_ticket;
  uint64_t launches;  // completed
  uint32_t blocks_left;
};

struct OnePassWork {
  const WorkItem* items;
  int64_t count;
  uint64_t* finished;  // [layers]: the number of the launch that last finished the layer; scratch
  OnePassControl* control;
  int32_t slots;       // tiles that a block has room for
  bool holds_weights;  // a tile's weights wait beside its gradients
};

struct OnePassShape {
  int blocks;
  int shared_bytes;  // dynamic, a block
};

// Loads the kernel and lets it use shared memory up to most_shared_bytes, its static share included. blocks receives how
// many blocks of shared_bytes a multiprocessor holds at once.
cudaError_t prepare_novograd_one_pass(const Dtypes& dtypes, int most_shared_bytes, int shared_bytes, int* blocks);
cudaError_t prepare_larc_novograd_one_pass(const Dtypes& dtypes, int most_shared_bytes, int shared_bytes, int* blocks);
cudaError_t prepare_larc_scale_one_pass(const Dtypes& dtypes, int most_shared_bytes, int shared_bytes, int* blocks);
cudaError_t prepare_larc_sgd_one_pass(const Dtypes& dtypes, int most_shared_bytes, int shared_bytes, int* blocks);

// cudaErrorCooperativeLaunchTooLarge, with nothing launched, where the blocks cannot all be resident.
cudaError_t launch_novograd_one_pass(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape,
                                     const Dtypes& dtypes, const NovogradStep& step, cudaStream_t stream);
cudaError_t launch_larc_novograd_one_pass(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape,
                                          const Dtypes& dtypes, const NovogradStep& step, cudaStream_t stream);
cudaError_t launch_larc_scale_one_pass(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape,
                                       const Dtypes& dtypes, const LarcStep& step, cudaStream_t stream);
cudaError_t launch_larc_sgd_one_pass(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape,
                                     const Dtypes& dtypes, const LarcStep& step, cudaStream_t stream);

}  // namespace layerwise
