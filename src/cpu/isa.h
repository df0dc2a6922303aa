// The instruction sets of this processor, and the steps that are compiled for each.
#pragma once

#include "cpu/work.h"

namespace layerwise {

// The instruction set that a plan asks for, AUTO replaced by the best one there is. An error if this processor lacks
// it.
int32_t checked_isa(int32_t isa);

const StepFunctions& step_functions_for(int32_t isa);

}  // namespace layerwise
