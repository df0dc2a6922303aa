#include "cpu/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "error.h"
#include "layerwise.h"

namespace layerwise {
namespace {

#if defined(__x86_64__)
// Uses cpuid, because __builtin_cpu_supports does not know "f16c" before clang 18. Whether the operating system saves
// the registers is checked together with AVX2. A virtual machine may have AVX2 without F16C.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

bool has(int32_t isa) {
  switch (isa) {
    case LAYERWISE_ISA_BASELINE:
      return true;
#if defined(__x86_64__)
    case LAYERWISE_ISA_AVX2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    case LAYERWISE_ISA_AVX512:
      return has(LAYERWISE_ISA_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#elif defined(__aarch64__)
    case LAYERWISE_ISA_NEON:
      return true;
#endif
  }
  return false;
}

}  // namespace

int32_t checked_isa(int32_t isa) {
  if (isa == LAYERWISE_ISA_AUTO)
    for (int32_t best : {LAYERWISE_ISA_NEON, LAYERWISE_ISA_AVX512, LAYERWISE_ISA_AVX2, LAYERWISE_ISA_BASELINE})
      if (has(best)) return best;
  if (!has(isa)) fail(LAYERWISE_ERROR_UNSUPPORTED_ISA, "isa is %d; this processor does not have it", isa);
  return isa;
}

const StepFunctions& step_functions_for(int32_t isa) {
  switch (isa) {
#if defined(__x86_64__)
    case LAYERWISE_ISA_AVX512:
      return step_functions_avx512();
    case LAYERWISE_ISA_AVX2:
      return step_functions_avx2();
#elif defined(__aarch64__)
    case LAYERWISE_ISA_NEON:
      return step_functions_neon();
#endif
  }
  return step_functions_baseline();
}

}  // namespace layerwise
