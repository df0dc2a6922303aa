// A few steps for a profiler that reads counters, in two passes and then in one. Every step has a set of buffers that
// left the cache, so that it finds nothing of its own there and its writes push out those of the step before.
#include <algorithm>
#include <sstream>

#include "cost.h"
#include "gpu.d/attempt.h"
#include "gpu.d/paths.h"
#include "gpu.d/rows.h"
#include "gpu.d/stages.h"
#include "gpu.d/timer.h"

namespace bench {
namespace {

constexpr Op kOp = Op::kNovograd;
constexpr int kSteps = 3;  // a profiler runs each kernel again for every few of its counters

std::vector<Row> usual_rows() {
  return {{"resnet50", kFull, kOp}, {"resnet50", kAllBf16, kOp}, {"10000x64", kFull, kOp}};
}

std::vector<Row> profiled_rows(const std::string& models) {
  if (models.empty()) return usual_rows();
  std::vector<Row> rows;
  std::istringstream names(models);
  for (std::string model; std::getline(names, model, ',');)
    for (const BufferDtypes& dtypes : {kFull, kAllBf16}) rows.push_back({model, dtypes, kOp});
  return rows;
}

// What ran, by the names of its kernels: one value for each.
template <class Value>
JsonLine by_kernel(bool one_pass, Value whole, Value norms, Value update) {
  JsonLine line;
  if (one_pass) return line.add("one_pass", whole);
  return line.add("norms", norms).add("update", update);
}

void report(const Row& row, const Layers& layers, int32_t path, const Plan& plan, const StepCost& cost) {
  const bool one_pass = plan.query(LAYERWISE_QUERY_PATH) == kOnePass;
  const PathCost& model = one_pass ? cost.one_pass : cost.two_pass;
  const double elements = static_cast<double>(layers.elements()), asked = static_cast<double>(model.bytes) / elements;
  const ElementBytes bytes = element_bytes(row.dtypes);
  path_line(row.op, path, plan)
      .add("kind", "profiled")
      .add("op", name_of(row.op))
      .add("model", row.model)
      .add("dtypes", short_name(row.dtypes))
      .add("layers", static_cast<int64_t>(layers.sizes.size()))
      .add("parameters", layers.elements())
      .add("steps", kSteps)
      .add("launches", by_kernel(one_pass, kSteps, kSteps, kSteps))
      .add("kernel_bytes_asked", by_kernel<double>(one_pass, asked, bytes_of(traffic_of(row.op).norms, bytes),
                                                   bytes_of(traffic_of(row.op).update, bytes)))
      .add("model_bytes_asked", asked)
      .add("model_bytes_from_memory", static_cast<double>(model.memory_bytes) / elements)
      .print();
}

bool profile_row(const Row& row, const Layers& layers) {
  const StepCost cost = cost_of(row.op, layers.sizes, row.dtypes, this_gpu(1), kOnePass);
  std::list<DeviceModel> sets;
  for (int count = std::max(set_count(layers), 2); count > 0; --count) sets.emplace_back(layers).fill();
  auto set = sets.begin();
  const Stream stream;
  for (const int32_t path : {kTwoPass, kOnePass}) {
    const Plan plan(layers.sizes, plan_settings(layers, path));
    for (int i = 0; i < kSteps; ++i) {
      step(row.op, plan, set->arguments(), {}, stream.get());
      if (++set == sets.end()) set = sets.begin();
    }
    stream.wait();
    report(row, layers, path, plan, cost);
  }
  check_device();
  return true;
}

}  // namespace

bool profile_stage(const StageOptions& options) {
  const Deadline deadline(options.seconds);
  bool all = true;
  for (const Row& row : profiled_rows(options.models)) {
    const Layers layers = layers_of(row);
    all &= attempt("profile: " + name_of(row), 2 * DeviceModel::bytes(layers), deadline,
                   [&] { return profile_row(row, layers); });
  }
  return all;
}

}  // namespace bench
