// Which of a plan's steps run in one pass, and in what shape: decided once, when the plan is made.
#pragma once

#include "cuda/workspace.h"

namespace layerwise {

// Whether the caller lets steps run in one pass, and as many multiprocessors as hold all blocks of a launch.
bool allows_one_pass(const PlanDescription& plan);
int usable_multiprocessors(const PlanDescription& plan);

// A plan's kernels, looked up once.
struct PlanKernels {
  StepKernels<NovogradStep> novograd, larc_novograd;
  StepKernels<LarcStep> sgd, scale;
  SumKernels sums;
  int ring_bytes;  // of shared memory that a one-pass block needs beside its slots

  // copies_in_bulk: a step in one pass is the bulk pass.
  PlanKernels(const Dtypes& dtypes, bool copies_in_bulk);

  const StepKernels<NovogradStep>& of(const NovogradStep& step) const {
    return step.applies_larc ? larc_novograd : novograd;
  }
  const StepKernels<LarcStep>& of(const LarcStep& step) const { return step.applies_sgd ? sgd : scale; }
};

// Calls of(kernels) for the kernels of each step.
template <class Kernels, class Of>
void for_each(Kernels& kernels, Of&& of) {
  of(kernels.novograd);
  of(kernels.larc_novograd);
  of(kernels.sgd);
  of(kernels.scale);
}

struct OnePassLaunch {
  OnePassWork work;
  OnePassShape shape;
  int64_t held_elements;  // read from memory once
};

class OnePass {
 public:
  OnePass() = default;
  // Uploads the work lists. The plan's device is current.
  OnePass(const PlanDescription& plan, const PlanKernels& kernels, const WorkspaceLayout& layout,
          const Workspace& workspace);

  // Null where two passes are better, or the device cannot. Steps whose update reads the weights again hold those too.
  const OnePassLaunch* of(const NovogradStep& step) const { return chosen(step.applies_larc); }
  const OnePassLaunch* of(const LarcStep& step) const { return chosen(step.applies_sgd || step.larc.decay_in_factor); }

  // Whether steps that read the gradients alone again run in one pass.
  bool is_chosen() const { return chosen(false); }

  // Elements held by steps of the first kind, and those of which steps of the second kind hold the weights too.
  int64_t held_grads() const { return launches_[0].held_elements; }
  int64_t held_weights() const { return launches_[1].held_elements; }

 private:
  const OnePassLaunch* chosen(bool reads_weights_again) const {
    const OnePassLaunch& launch = launches_[reads_weights_again && launches_[1].shape.blocks > 0];
    return launch.shape.blocks > 0 ? &launch : nullptr;
  }

  OnePassLaunch launches_[kOnePassLists]{};
};

}  // namespace layerwise
