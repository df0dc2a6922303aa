// The CPU step for NEON.
#include "cpu/step.h"

namespace layerwise {

const StepFunctions& step_functions_neon() {
  static constexpr StepFunctions functions = step_functions("neon");
  return functions;
}

}  // namespace layerwise
