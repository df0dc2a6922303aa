// The instruction sets this machine can be asked for.
#pragma once

#include <layerwise.h>

#include <vector>

inline std::vector<int32_t> available_isas() {
  std::vector<int32_t> result;
  for (int32_t isa : {LAYERWISE_ISA_BASELINE, LAYERWISE_ISA_AVX2, LAYERWISE_ISA_AVX512, LAYERWISE_ISA_NEON}) {
    layerwise_plan_options options;
    layerwise_plan_options_init(&options, sizeof options);
    options.isa = isa;
    layerwise_plan* plan = nullptr;
    if (layerwise_plan_create(&options, &plan) == LAYERWISE_OK) result.push_back(isa);
    layerwise_plan_destroy(plan);
  }
  return result;
}
