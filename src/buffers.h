// The buffers of a step call: each there where it must be, aligned to its elements, and none that is written sharing a
// byte with another.
#pragma once

#include <vector>

#include "backend.h"

namespace layerwise {

struct Buffer {
  const char* name;
  const void* address;
  int64_t bytes;
  int64_t element_size;  // 0: every byte counts; else a packed buffer, of which the layers' elements count
  bool written;
};

// Collects a call's buffers, then holds them against each other. Null buffers are left out.
class BufferCheck {
 public:
  explicit BufferCheck(const PlanDescription& plan) : plan_(plan) {}

  int64_t layer_count() const { return static_cast<int64_t>(plan_.layout.layers.size()); }

  // One element buffer, or the table of its layers' pointers.
  void elements(const void* address, const char* name, Dtype dtype, bool written);
  void required_elements(const void* address, const char* name, Dtype dtype, bool written);
  // count values, or one value a layer.
  void values(const void* address, const char* name, int64_t size, int64_t count, bool written);
  void per_layer(const void* address, const char* name, int64_t size, bool written);
  // Of all collected.
  void no_overlap() const;

 private:
  const PlanDescription& plan_;
  std::vector<Buffer> buffers_;
};

// A CPU plan's tables can be read here: a layer that takes part must have all its buffers. moment_name: what the call's
// argument for the first moment is called.
void check_tables(const PlanDescription& plan, const StepBuffers& buffers, const char* moment_name);

}  // namespace layerwise
