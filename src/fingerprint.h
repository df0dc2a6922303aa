// Hashes of what a plan is: FNV-1a.
#pragma once

#include <cstdint>

#include "numerics/step.h"

namespace layerwise {

class Fingerprint {
 public:
  void add_byte(uint8_t byte) { hash_ = (hash_ ^ byte) * 0x100000001b3; }
  void add(int64_t value) {
    for (int byte = 0; byte < 8; ++byte) add_byte(static_cast<uint8_t>(value >> (8 * byte)));
  }
  void add(const Dtypes& dtypes) {
    for (Dtype dtype : {dtypes.weights, dtypes.grads, dtypes.first_moment, dtypes.second_moment, dtypes.weights_extra})
      add(static_cast<int64_t>(dtype));
  }
  int64_t value() const { return static_cast<int64_t>(hash_); }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace layerwise
