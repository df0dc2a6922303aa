// Holds a call's buffers against each other: none that is written may share a byte with another.
#pragma once

#include <vector>

#include "numerics/step.h"

namespace layerwise {

struct Buffer {
  const char* name;
  const void* address;
  int64_t bytes;
  int64_t element_size;  // 0: every byte counts; else a packed buffer, of which the layers' elements count
  bool written;
};

void check_no_overlap(const std::vector<Buffer>& buffers, const std::vector<LayerExtent>& layers);

}  // namespace layerwise
