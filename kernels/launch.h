// The interface between the CUDA backend and the kernels. A step is either two launches, the norms and then the update,
// or one launch that keeps the gradients in shared memory in between. If the caller provides the norms, a small launch
// takes the place of the first of the two.
#pragma once

#include <cuda_runtime_api.h>

#include "numerics/step.h"

namespace layerwise {

// A layer, and where its sums and counters are in the scratch arrays.
struct DeviceLayer {
  LayerExtent extent;
  int64_t first_sum;      // index of its tile sums, which the sums of each higher level follow
  int64_t first_arrival;  // index of its arrival counters, one per group of sums, level by level
};

// What the norms pass to the update for each layer: the bytes of a LayerConstants of the optimizer's coefficients.
inline constexpr int kUpdateWords = 3;
struct DeviceUpdate {
  uint4 word[kUpdateWords];
};

// The unit of work of an update's block: one tile, or several small tiles, one per warp.
struct UpdateUnit {
  uint32_t first_tile, tiles;
};

// The queue of a launch whose warps draw their tiles. All zero between launches.
struct TileDraw {
  int64_t next_tile;  // counts the tiles after those that the warps start with
  uint32_t blocks_done;
};

// A plan's device memory. The host writes layers, options, tile_layer and update_units; the rest is scratch.
struct DevicePlan {
  const DeviceLayer* layers;
  const LayerOptions* options;
  const uint32_t* tile_layer;       // [tiles]
  const UpdateUnit* update_units;   // [units]
  double* sums;                     // [sums][2]: of gradients, of weights
  uint32_t* arrivals;               // 0 between steps
  TileDraw* draw;
  DeviceUpdate* updates;            // [layers]
  int64_t tiles, units, layer_count;
  Dtype extra_dtype;                // of the low-precision copy of the weights, or kRemainder16
  bool scattered;
};

// The device properties that bound a launch's grid.
struct DeviceLimits {
  int multiprocessors;
  bool overlaps_launches;  // the second launch of a step may begin before its first has ended
};

// ---- The one-pass step ----

// kHold: sum a tile and keep it until the norm of its layer is known, then update it. Layers that do not fit are summed
// by kNorm items and updated, from memory, by later kUpdate items.
enum class WorkKind : uint16_t { kHold, kNorm, kUpdate };

// One entry of the work queue: tiles [tile, tile + tiles) of a layer.
struct WorkItem {
  int64_t tile;
  uint32_t layer;
  uint16_t tiles;
  WorkKind kind;
};

// Shared by the blocks of a launch. All zero before the first launch.
struct OnePassControl {
  uint64_t launches;  // completed so far
  uint32_t next_ticket, blocks_left;
};

struct OnePassWork {
  const WorkItem* items;
  int64_t count;
  uint64_t* finished;  // [layers], scratch: the number of the last launch that finished this layer
  OnePassControl* control;
  int32_t slots;       // tiles that fit into a block's shared memory
  bool holds_weights;  // the weights of a tile are kept beside its gradients
};

struct OnePassShape {
  int blocks;
  int shared_bytes;  // of dynamic shared memory per block
};

// ---- An optimizer's kernels for a plan's dtypes, looked up once per plan ----

// One pass.
template <class Step>
struct OnePassKernels {
  cudaError_t (*load)();
  // Allows the kernel this much shared memory per block, static shared memory included.
  cudaError_t (*allow_shared)(int most_shared_bytes);
  // How many blocks with this much dynamic shared memory are resident on a multiprocessor at once.
  cudaError_t (*resident_blocks)(int shared_bytes, int* blocks);
  // Launches nothing and returns an error if not all blocks can be resident.
  cudaError_t (*launch)(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape, const Step& step,
                        cudaStream_t stream);
};

template <class Step>
struct StepKernels {
  // Loads the kernels onto the current device, so that the first step is as fast as the others and can be captured.
  cudaError_t (*load)();

  // Two passes, one launch each.
  cudaError_t (*norms)(const DevicePlan& plan, const Step& step, const DeviceLimits& device, cudaStream_t stream);
  cudaError_t (*update)(const DevicePlan& plan, const Step& step, const DeviceLimits& device, cudaStream_t stream);
  // Takes the place of norms if step.given holds the caller's sums; null if the optimizer does not support that.
  cudaError_t (*given_norms)(const DevicePlan& plan, const Step& step, const DeviceLimits& device, cudaStream_t stream);

  // The compute capability, times 10, that these kernels were compiled for. It may be older than the device's: the driver
  // compiles a library's PTX for newer devices, without what only they have.
  cudaError_t (*compiled_for)(int* capability);

  OnePassKernels<Step> one_pass;
};

StepKernels<NovogradStep> novograd_kernels(const Dtypes& dtypes);
StepKernels<NovogradStep> larc_novograd_kernels(const Dtypes& dtypes);  // LARC, then NovoGrad
StepKernels<LarcStep> sgd_kernels(const Dtypes& dtypes);
StepKernels<LarcStep> scale_kernels(const Dtypes& dtypes);

// What takes the place of one_pass where a plan asks for it: bulk copies fetch what is summed, in place of the threads
// that sum. For compute capability 9.0 and newer.
OnePassKernels<NovogradStep> novograd_bulk_pass(const Dtypes& dtypes);
OnePassKernels<NovogradStep> larc_novograd_bulk_pass(const Dtypes& dtypes);
OnePassKernels<LarcStep> sgd_bulk_pass(const Dtypes& dtypes);
OnePassKernels<LarcStep> scale_bulk_pass(const Dtypes& dtypes);

// For layerwise_partial_norms: the sums are written out and nothing is updated.
struct SumKernels {
  cudaError_t (*load)();
  using Launch = cudaError_t(const DevicePlan& plan, const PartialNorms& norms, const DeviceLimits& device,
                             cudaStream_t stream);
  Launch* of_grads;
  Launch* of_both;
};
SumKernels sum_kernels(const Dtypes& dtypes);

}  // namespace layerwise
