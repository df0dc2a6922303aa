// The CPU step for what every processor of the architecture runs.
#include "cpu/step.h"

namespace layerwise {

const StepFunctions& step_functions_baseline() {
  static constexpr StepFunctions functions = step_functions("baseline");
  return functions;
}

}  // namespace layerwise
