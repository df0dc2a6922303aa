// What the rivals' kernels share.
#pragma once

#include "gpu.d/rivals.h"

namespace bench {

inline constexpr int kPlainThreads = 256;

template <class Visitor>
cudaError_t visit_rival_dtypes(const BufferDtypes& of, Visitor&& visitor) {
  using layerwise::bfloat16;
  if (of.grads == kF32) return visitor.template operator()<float, float, float>();
  if (of.weights == kF32) return visitor.template operator()<float, bfloat16, float>();
  return visitor.template operator()<bfloat16, bfloat16, bfloat16>();
}

}  // namespace bench
