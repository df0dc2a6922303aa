// The other instruction sets compile the same text: in a mutation run the first stands in for them.
#include "cpu/work.h"

namespace layerwise {

const StepFunctions& step_functions_avx2() { return step_functions_baseline(); }
const StepFunctions& step_functions_avx512() { return step_functions_baseline(); }

}  // namespace layerwise
