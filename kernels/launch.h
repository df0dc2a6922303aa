// What the CUDA backend may ask of the kernels: a step is two launches, norms and then the update; with norms that the
// caller has it is one.
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
  int64_t tiles;
  bool scattered;
};

// The device's share of a launch's shape.
struct DeviceLimits {
  int multiprocessors;
};

// Loads what a plan of these dtypes may launch, so that a first step may be captured and is as quick as the others.
cudaError_t load_norms(const Dtypes& dtypes);
cudaError_t load_novograd_update(const Dtypes& dtypes);
cudaError_t load_larc_update(const Dtypes& dtypes);
cudaError_t load_apply(const Dtypes& dtypes);

cudaError_t launch_novograd_norms(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_novograd_update(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                   const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_larc_norms(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_larc_update(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                               const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_partial_norms(const DevicePlan& plan, const Dtypes& dtypes, const PartialNorms& norms,
                                 const DeviceLimits& device, cudaStream_t stream);
// With the norms that step.given has.
cudaError_t launch_novograd_apply(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream);
cudaError_t launch_larc_apply(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream);

}  // namespace layerwise
