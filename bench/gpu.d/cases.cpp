// Some 60 small cases for a checker that slows everything down: every op and dtype in one pass and in two, layers of 0, 1,
// one less and one more than a tile, aligned and not, packed and scattered; each compared with the CPU.
#include "gpu.d/paths.h"
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"

namespace bench {
namespace {

struct SmallCase {
  Op op;
  BufferDtypes dtypes;
  int64_t gap;  // elements between layers: 1 makes all but the first unaligned
  bool scattered;
  int32_t path;
};

std::vector<SmallCase> small_cases() {
  std::vector<SmallCase> cases;
  const BufferDtypes dtypes[] = {kFull, kMasters, kAllBf16, kHalf};
  for (const Op op : kSteps)
    for (const BufferDtypes& of : dtypes)
      for (const int32_t path : {kTwoPass, kOnePass}) {
        cases.push_back({op, of, 0, false, path});
        if (of.grads != kF16) cases.push_back({op, of, 1, of.weights == kF32, path});
      }
  for (const Op op : kApplies)
    for (const bool scattered : {false, true}) cases.push_back({op, kMasters, scattered, scattered, 0});
  return cases;
}

// The address of every layer in one buffer, as a scattered plan wants it.
DeviceBuffer pointer_table(void* buffer, int32_t dtype, const Layers& layers) {
  std::vector<void*> pointers;
  for (const int64_t offset : layers.offsets) pointers.push_back(element_address(buffer, dtype, offset));
  DeviceBuffer table(static_cast<int64_t>(pointers.size() * sizeof(void*)));
  BENCH_CUDA(cudaMemcpy, table.get(), pointers.data(), pointers.size() * sizeof(void*), cudaMemcpyHostToDevice);
  return table;
}

constexpr int kCaseSteps = 2;

Plan plan_of(const SmallCase& small, const Layers& layers) {
  PlanSettings settings{layers.dtypes, 0};
  settings.path = small.path;
  if (small.scattered)
    settings.layout = LAYERWISE_LAYOUT_SCATTERED;
  else
    settings.offsets = layers.offsets.data();
  return Plan(layers.sizes, settings);
}

void run_steps(const SmallCase& small, const Plan& plan, const StepBuffers& buffers, const StepSettings& settings) {
  const Stream stream;
  if (is_apply(small.op)) partial_norms(small.op, plan, buffers, stream.get());
  for (int i = 0; i < kCaseSteps; ++i) step(small.op, plan, buffers, settings, stream.get());
  stream.wait();
}

void run_scattered(const SmallCase& small, const Plan& plan, const Layers& layers, const StepBuffers& packed,
                   const StepSettings& settings) {
  const DeviceBuffer weights = pointer_table(packed.weights, layers.dtypes.weights, layers);
  const DeviceBuffer grads = pointer_table(packed.grads, layers.dtypes.grads, layers);
  const DeviceBuffer moment = pointer_table(packed.moment, layers.dtypes.moment, layers);
  StepBuffers tables = packed;
  tables.weights = weights.get(), tables.grads = grads.get(), tables.moment = moment.get();
  run_steps(small, plan, tables, settings);
}

bool run_case(const SmallCase& small) {
  const Layers layers({5, 8192, 0, 1, 8191, 8193, 2 * 8192, 20'000, 64}, small.dtypes, small.gap);
  const Plan plan = plan_of(small, layers);
  DeviceModel model(layers, true);
  CpuTwin cpu(layers, all_layers(layers), true);
  model.fill();
  cpu.fill();
  StepSettings settings;
  settings.lr = 0.02;
  if (small.scattered)
    run_scattered(small, plan, layers, model.buffers(), settings);
  else
    run_steps(small, plan, model.buffers(), settings);
  if (is_apply(small.op)) cpu.partial_norms(small.op);
  for (int i = 0; i < kCaseSteps; ++i) cpu.step(small.op, settings);
  return report_check(std::string("cases: ") + name_of(small.op) + " " + short_name(small.dtypes) +
                          (small.gap ? ", unaligned" : "") + (small.scattered ? ", scattered" : "") +
                          (small.path ? std::string(", ") + path_name(small.path) : ""),
                      cpu.difference(model.buffers()), path_line(small.op, small.path, plan));
}

}  // namespace

bool cases_stage() {
  bool all = true;
  for (const SmallCase& small : small_cases()) all &= run_case(small);
  return all;
}

}  // namespace bench
