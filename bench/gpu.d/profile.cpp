// A few steps of ResNet-50 for a profiler that reads the memory's counters: two passes, then one. Two sets of buffers in turn,
// so that a step finds nothing of its own in the cache and its writes push out those of the step before.
#include "gpu.d/paths.h"
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"
#include "cost.h"
#include "models.h"

namespace bench {

bool profile_stage() {
  constexpr int kSteps = 6;
  const Layers layers(layer_sizes("resnet50"), kFull);
  const double elements = static_cast<double>(layers.elements());
  const StepCost cost = cost_of(Op::kNovograd, layers.sizes, layers.dtypes, this_gpu(1), kOnePass);
  DeviceModel sets[] = {DeviceModel(layers), DeviceModel(layers)};
  for (DeviceModel& set : sets) set.fill();
  const Stream stream;
  for (const int32_t path : {kTwoPass, kOnePass}) {
    PlanSettings settings{layers.dtypes, 0};
    settings.path = path;
    const Plan plan(layers.sizes, settings);
    for (int i = 0; i < kSteps; ++i) step(Op::kNovograd, plan, sets[i % 2].buffers(), {}, stream.get());
    stream.wait();
    const PathCost& model = path == kOnePass ? cost.one_pass : cost.two_pass;
    path_line(Op::kNovograd, path, plan)
        .add("kind", "profiled")
        .add("op", name_of(Op::kNovograd))
        .add("model", "resnet50")
        .add("dtypes", short_name(layers.dtypes))
        .add("parameters", layers.elements())
        .add("steps", kSteps)
        .add("model_bytes_asked", static_cast<double>(model.bytes) / elements)
        .add("model_bytes_from_memory", static_cast<double>(model.memory_bytes) / elements)
        .print();
  }
  check_device();
  return true;
}

}  // namespace bench
