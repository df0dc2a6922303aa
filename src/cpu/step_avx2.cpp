// The CPU step for AVX2.
#include "cpu/step.h"

namespace layerwise {

const StepFunctions& step_functions_avx2() {
  static constexpr StepFunctions functions = step_functions("avx2");
  return functions;
}

}  // namespace layerwise
