// Where a model's layers lie in its buffers, and how a step is told.
#pragma once

#include <vector>

#include "step.h"

namespace bench {

enum class Placement {
  kPacked,     // one layer after the other
  kUnaligned,  // every layer but the first begins 1, 2 or 3 elements beyond a multiple of 4
  kAllocated,  // every layer begins at a multiple of 256 elements, as where each has memory of its own
};

// Element i of a layer is element offsets[layer] + i of every buffer.
struct Layers {
  std::vector<int64_t> sizes, offsets;
  int64_t extent = 0;  // elements of a buffer
  BufferDtypes dtypes;
  bool scattered = false;   // a step is given tables of the layers' addresses
  bool zero_grads = false;  // instead of random ones

  Layers(std::vector<int64_t> layer_sizes, const BufferDtypes& of, Placement placement = Placement::kPacked);
  int64_t elements() const;
  int64_t aligned() const;  // layers that begin at a multiple of 4 elements
};

// Of a plan on device 0; what it points to is the layers'.
PlanSettings plan_settings(const Layers& layers, int32_t path);

std::vector<int64_t> all_layers(const Layers& layers);
// As many layers as fit into `elements`, from both ends of the buffer inwards.
std::vector<int64_t> some_layers(const Layers& layers, int64_t elements);

}  // namespace bench
