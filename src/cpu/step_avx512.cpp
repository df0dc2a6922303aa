// The CPU step for AVX-512.
#include "cpu/step.h"

namespace layerwise {

const StepFunctions& step_functions_avx512() {
  static constexpr StepFunctions functions = step_functions("avx512");
  return functions;
}

}  // namespace layerwise
