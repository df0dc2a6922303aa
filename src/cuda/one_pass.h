// Which of a plan's steps run in one pass, and in what shape: decided once, when the plan is made.
#pragma once

#include "cuda/workspace.h"

namespace layerwise {

// Whether the caller lets steps run in one pass, and how many multiprocessors they fill.
bool allows_one_pass(const PlanDescription& plan);
int usable_multiprocessors(const PlanDescription& plan);

struct OnePassLaunch {
  OnePassWork work;
  OnePassShape shape;
  int64_t held_elements;  // read from memory once
};

class OnePass {
 public:
  OnePass() = default;
  // Uploads the work lists. The plan's device is current.
  OnePass(const PlanDescription& plan, const WorkspaceLayout& layout, const Workspace& workspace);

  // For steps whose update reads the gradients again, and for those whose update reads the weights again too; null where
  // two passes are better, or the device cannot.
  const OnePassLaunch* grads() const { return chosen(0); }
  const OnePassLaunch* grads_and_weights() const { return chosen(1) ? chosen(1) : chosen(0); }

  // Elements held by steps of the first kind, and those of which steps of the second kind hold the weights too.
  int64_t held_grads() const { return launches_[0].held_elements; }
  int64_t held_weights() const { return launches_[1].held_elements; }

 private:
  const OnePassLaunch* chosen(int list) const { return launches_[list].shape.blocks > 0 ? &launches_[list] : nullptr; }

  OnePassLaunch launches_[kOnePassLists]{};
};

}  // namespace layerwise
