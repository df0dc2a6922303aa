// The floating-point modes of a thread that computes.
#pragma once

#include <cstdint>

namespace layerwise {

// Round to nearest, no flush to zero, no trap while it lives: the caller's floating-point modes must not reach the
// result, nor ours the caller.
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
