// More than 2^31 elements in one buffer: a layer that ends beyond 2^31, small ones before and after it.
#include <algorithm>
#include <fstream>

#include "gpu.d/attempt.h"
#include "gpu.d/paths.h"
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"

namespace bench {
namespace {

constexpr BufferDtypes kSmallest{kBf16, kBf16, kBf16};

int64_t free_host_bytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string key, line; file >> key && std::getline(file, line);)
    if (key == "MemAvailable:") return std::stoll(line) * 1024;
  return 0;
}

Layers large_layers(int64_t elements) {
  // The large layer begins aligned, of those behind it some do not.
  return Layers({1000, 8192, elements, 100'003, 3, 8192, 1, 65'537, 0, 12'345}, kSmallest);
}

// The whole buffer where the host has the memory, else the layers before and after the large one.
std::vector<int64_t> checked_layers(const Layers& layers) {
  const bool whole = CpuTwin::bytes(layers, all_layers(layers)) < free_host_bytes() / 4 * 3;
  return whole ? all_layers(layers) : some_layers(layers, 1 << 20);
}

struct Run {
  Op op;
  int32_t path;
};
// In turn on the same buffers, the most telling first.
constexpr Run kRuns[] = {{Op::kNovograd, kTwoPass},  {Op::kLarcSgd, kOnePass}, {Op::kNovograd, kOnePass},
                         {Op::kLarcScale, kOnePass}, {Op::kLarcSgd, kTwoPass}, {Op::kLarcScale, kTwoPass}};

bool run_ops(const Layers& layers, const Deadline& deadline) {
  const Stream stream;
  const Plan two_pass(layers.sizes, plan_settings(layers, kTwoPass)),
      one_pass(layers.sizes, plan_settings(layers, kOnePass));
  const std::vector<int64_t> checked = checked_layers(layers);
  DeviceModel model(layers, true);
  CpuTwin cpu(layers, checked, true);
  model.fill();
  cpu.fill();
  bool all = true;
  double longest = 0;  // of a run so far: one that would be cut off in its middle is not begun
  for (const auto& [op, path] : kRuns) {
    const std::string name =
        std::string("large: ") + name_of(op) + ", " + path_name(path) + ", " + std::to_string(layers.extent) +
        " elements, " +
        (checked.size() == layers.sizes.size() ? "all compared" : "those beside the large layer compared");
    if (deadline.is_over_in(longest)) {
      report_not_run(name, "no time left");
      continue;
    }
    const double begin = deadline.spent();
    const Plan& plan = path == kOnePass ? one_pass : two_pass;
    StepSettings settings;
    settings.lr = 0.02;
    step(op, plan, model.buffers(), settings, stream.get());
    stream.wait();
    cpu.step(op, settings);
    all &= report_check(name, cpu.difference(model.buffers()),
                        path_line(op, path, plan)
                            .add("elements", layers.extent)
                            .add("layers_compared", static_cast<int64_t>(checked.size())));
    longest = std::max(longest, deadline.spent() - begin);
  }
  return all;
}

}  // namespace

bool large_stage(const StageOptions& options) {
  const Deadline deadline(options.seconds);
  const Layers layers = large_layers(options.elements > 0 ? options.elements : (int64_t{1} << 31) + 12'344);
  return attempt("large", DeviceModel::bytes(layers), deadline, [&] { return run_ops(layers, deadline); });
}

}  // namespace bench
