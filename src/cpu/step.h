// The steps as compiled code. This file is compiled once for each instruction set.
#pragma once

#include "cpu/layers.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

template <class Operation, class Step>
void run_step(const LayerTable& layers, const Step& step, LayerWorkers& workers) {
  LayerLoop<Operation> loop(layers, step);
  workers.run(loop);
}

inline constexpr StepFunctions step_functions(const char* name) {
  return {name, &run_step<NovogradOperation, NovogradStep>, &run_step<LarcOperation, LarcStep>,
          &run_step<NormsOperation, PartialNorms>};
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
