// The floating-point modes of the threads that run a step.
#pragma once

#include <cstdint>

namespace layerwise {

// Sets round to nearest, no flush to zero and no traps for its lifetime, then restores what was set before: the
// caller's modes must not change the result, and ours must not change the caller's.
class FloatingPointModes {
 public:
  FloatingPointModes();
  ~FloatingPointModes();
  FloatingPointModes(const FloatingPointModes&) = delete;
  FloatingPointModes& operator=(const FloatingPointModes&) = delete;

 private:
  uint64_t saved_;
};

}  // namespace layerwise
