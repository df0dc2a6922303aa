// What the CUDA backend may ask of the kernels: a step is two launches, norms and then the update, or one that holds
// the gradients in between; with norms that the caller has it is a small one and then the update.
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

// A layer's constants from the norms to the update: a LayerConstants of its optimizer's coefficients.
inline constexpr int kUpdateWords = 3;
struct DeviceUpdate {
  uint4 word[kUpdateWords];
};

// What a block of an update takes at once: a tile, or up to a warp's number of small ones.
struct UpdateUnit {
  uint32_t first_tile, tiles;
};

// Shared by the warps of a launch that draws its tiles. All zero between launches.
struct TileDraw {
  int64_t next_tile;  // beyond those that each warp begins with
  uint32_t blocks_done;
};

// A plan's device memory. Written once by the host: layers, options, tile_layer, update_units. Scratch: the rest.
struct DevicePlan {
  const DeviceLayer* layers;
  const LayerOptions* options;
  const uint32_t* tile_layer;       // [tiles]
  const UpdateUnit* update_units;   // [units]
  double* sums;                     // [sums][2]: gradients', weights'
  uint32_t* arrivals;               // 0 between steps
  TileDraw* draw;
  DeviceUpdate* updates;            // [layers]
  int64_t tiles, units, layer_count;
  Dtype extra_dtype;                // of the weights' copy, or kRemainder16
  bool scattered;
};

// The device's share of a launch's shape.
struct DeviceLimits {
  int multiprocessors;
  bool overlaps_launches;  // a step's second launch may begin before its first has ended
};

// ---- The one-pass step ----

// A tile is summed and held until its layer's norm is there; or, where a layer does not fit, summed, and updated later.
enum class WorkKind : uint16_t { kHold, kNorm, kUpdate };

// What a block draws with one ticket: tiles [tile, tile + tiles) of a layer.
struct WorkItem {
  int64_t tile;
  uint32_t layer;
  uint16_t tiles;
  WorkKind kind;
};

// Shared by the blocks of a launch. All zero before the first launch.
struct OnePassControl {
  uint64_t launches;  // completed
  uint32_t next_ticket, blocks_left;
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

// ---- An optimizer's kernels for a plan's dtypes, looked up once a plan ----

// One pass.
template <class Step>
struct OnePassKernels {
  cudaError_t (*load)();
  // Lets the kernel use shared memory up to most_shared_bytes, its static share included.
  cudaError_t (*allow_shared)(int most_shared_bytes);
  // How many blocks of shared_bytes a multiprocessor holds at once.
  cudaError_t (*resident_blocks)(int shared_bytes, int* blocks);
  // An error, with nothing launched, where the blocks cannot all be resident.
  cudaError_t (*launch)(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape, const Step& step,
                        cudaStream_t stream);
};

template <class Step>
struct StepKernels {
  // Loads them onto the current device, so that a first step may be captured and is as quick as the others.
  cudaError_t (*load)();

  // Two passes: a launch each.
  cudaError_t (*norms)(const DevicePlan& plan, const Step& step, const DeviceLimits& device, cudaStream_t stream);
  cudaError_t (*update)(const DevicePlan& plan, const Step& step, const DeviceLimits& device, cudaStream_t stream);
  // In place of norms, with what step.given has; null where there is no such step.
  cudaError_t (*given_norms)(const DevicePlan& plan, const Step& step, const DeviceLimits& device, cudaStream_t stream);

  OnePassKernels<Step> one_pass;   // each thread loads what it sums
  OnePassKernels<Step> bulk_pass;  // bulk copies bring it: of compute capability 9.0 and newer
};

StepKernels<NovogradStep> novograd_kernels(const Dtypes& dtypes);
StepKernels<NovogradStep> larc_novograd_kernels(const Dtypes& dtypes);  // LARC before it
StepKernels<LarcStep> sgd_kernels(const Dtypes& dtypes);
StepKernels<LarcStep> scale_kernels(const Dtypes& dtypes);

// The sums alone.
struct SumKernels {
  cudaError_t (*load)();
  using Launch = cudaError_t(const DevicePlan& plan, const PartialNorms& norms, const DeviceLimits& device,
                             cudaStream_t stream);
  Launch* of_grads;
  Launch* of_both;
};
SumKernels sum_kernels(const Dtypes& dtypes);

}  // namespace layerwise
