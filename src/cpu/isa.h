// Which instruction sets this processor has, and the step compiled for each.
#pragma once

#include "cpu/work.h"

namespace layerwise {

// The instruction set a plan asks for as a number of the C ABI, AUTO resolved to the best there is.
int32_t checked_isa(int32_t isa);

const StepFunctions& step_functions_for(int32_t isa);

}  // namespace layerwise
