#include "cuda/one_pass.h"

#include <algorithm>

#include "kernels/tuning.h"

namespace layerwise {
namespace {

SharedMemory shared_memory(int device) {
  return {attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, device),
          attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          attribute(cudaDevAttrReservedSharedMemoryPerBlock, device)};
}

// The fewest blocks a multiprocessor holds of any of this plan's one-pass kernels.
int resident_blocks(const PlanKernels& kernels, int shared_bytes) {
  int fewest = kOnePassBlocks;
  for_each(kernels, [&](const auto& of_step) {
    int blocks = 0;
    LAYERWISE_CUDA(of_step.one_pass.resident_blocks, shared_bytes, &blocks);
    fewest = std::min(fewest, blocks);
  });
  return fewest;
}

// No blocks where two passes are better.
OnePassLaunch planned_launch(const PlanDescription& plan, const PlanKernels& kernels, const SharedMemory& memory,
                             const WorkspaceLayout& layout, const Workspace& workspace, int which, bool holds_weights) {
  const int64_t element_bytes = size_of(plan.dtypes.grads) + (holds_weights ? size_of(plan.dtypes.weights) : 0);
  const int tile_bytes = static_cast<int>(kTileElements * element_bytes);
  const HoldShape wanted = hold_shape(memory, tile_bytes, kernels.ring_bytes);
  if (wanted.slots == 0 || (holds_weights && !is_worth_holding_weights(wanted))) return {};
  const int shared_bytes = wanted.slots * tile_bytes + kernels.ring_bytes;
  const int64_t blocks = static_cast<int64_t>(usable_multiprocessors(plan)) *
                         std::min(wanted.blocks, resident_blocks(kernels, shared_bytes));
  const OnePassList list = one_pass_list(plan.layout, blocks * wanted.slots);
  const int64_t count = static_cast<int64_t>(list.items.size());
  const bool worth_it = plan.path == LAYERWISE_PATH_ONE_PASS || is_better_in_one_pass(list, plan.layout);
  if (blocks == 0 || !worth_it) return {};
  upload(workspace.at(layout.items[which]), list.items.data(), list.items.size() * sizeof(WorkItem));
  OnePassLaunch launch{layout.one_pass_work(which, count, workspace.address()), {}, list.held_elements};
  launch.work.slots = wanted.slots;
  launch.work.holds_weights = holds_weights;
  launch.shape = {static_cast<int>(std::clamp<int64_t>(count, 1, blocks)), shared_bytes};
  return launch;
}

}  // namespace

bool allows_one_pass(const PlanDescription& plan) { return plan.path != LAYERWISE_PATH_TWO_PASS; }

int usable_multiprocessors(const PlanDescription& plan) {
  const int all = attribute(cudaDevAttrMultiProcessorCount, plan.device);
  return plan.multiprocessors > 0 ? static_cast<int>(std::min<int64_t>(all, plan.multiprocessors)) : all;
}

PlanKernels::PlanKernels(const Dtypes& dtypes, bool copies_in_bulk)
    : novograd(novograd_kernels(dtypes)),
      larc_novograd(larc_novograd_kernels(dtypes)),
      sgd(sgd_kernels(dtypes)),
      scale(scale_kernels(dtypes)),
      sums(sum_kernels(dtypes)),
      ring_bytes(copies_in_bulk ? kRingBytes : 0) {
  if (!copies_in_bulk) return;
  novograd.one_pass = novograd_bulk_pass(dtypes);
  larc_novograd.one_pass = larc_novograd_bulk_pass(dtypes);
  sgd.one_pass = sgd_bulk_pass(dtypes);
  scale.one_pass = scale_bulk_pass(dtypes);
}

OnePass::OnePass(const PlanDescription& plan, const PlanKernels& kernels, const WorkspaceLayout& layout,
                 const Workspace& workspace) {
  if (!attribute(cudaDevAttrCooperativeLaunch, plan.device)) return;
  const SharedMemory memory = shared_memory(plan.device);
  for_each(kernels, [&](const auto& of_step) { LAYERWISE_CUDA(of_step.one_pass.allow_shared, memory.per_block); });
  launches_[0] = planned_launch(plan, kernels, memory, layout, workspace, 0, false);
  // Split weights are read in two halves each time.
  if (plan.dtypes.weights_extra != Dtype::kRemainder16)
    launches_[1] = planned_launch(plan, kernels, memory, layout, workspace, 1, true);
}

}  // namespace layerwise
