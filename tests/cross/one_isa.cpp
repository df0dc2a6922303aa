// In the harness AVX2's code stands in for the other instruction sets: compiled with sanitizers, each of them takes minutes.
#include "cpu/work.h"

namespace layerwise {

const StepFunctions& step_functions_baseline() { return step_functions_avx2(); }
const StepFunctions& step_functions_avx512() { return step_functions_avx2(); }

}  // namespace layerwise
