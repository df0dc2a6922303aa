// More than 2^31 elements in one buffer: a layer that ends beyond 2^31, small ones before and after it.
#include <fstream>
#include <stdexcept>

#include "cpu/threads.h"
#include "gpu.d/paths.h"
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"

namespace bench {
namespace {

constexpr int64_t kReserve = int64_t{1} << 30;  // bytes left to the device
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
constexpr Run kRuns[] = {{Op::kNovograd, kTwoPass}, {Op::kLarcSgd, kOnePass},  {Op::kNovograd, kOnePass},
                         {Op::kLarcScale, kOnePass}, {Op::kLarcSgd, kTwoPass}, {Op::kLarcScale, kTwoPass}};

PlanSettings settings_of(const Layers& layers, int32_t path) {
  PlanSettings settings{layers.dtypes, 0};
  settings.path = path;
  return settings;
}

bool run_ops(const Layers& layers, const Deadline& deadline) {
  const Stream stream;
  const Plan two_pass(layers.sizes, settings_of(layers, kTwoPass)), one_pass(layers.sizes, settings_of(layers, kOnePass));
  const std::vector<int64_t> checked = checked_layers(layers);
  DeviceModel model(layers, true);
  CpuTwin cpu(layers, checked, true);
  model.fill();
  cpu.fill();
  bool all = true;
  for (const auto& [op, path] : kRuns) {
    const std::string name = std::string("large: ") + name_of(op) + ", " + path_name(path) + ", " +
                             std::to_string(layers.extent) + " elements, " +
                             (checked.size() == layers.sizes.size() ? "all compared" : "those beside the large layer compared");
    if (deadline.is_over()) {
      report_not_run(name, "no time left");
      continue;
    }
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
  }
  return all;
}

}  // namespace

bool large_stage(const StageOptions& options) {
  const Deadline deadline(options.seconds);
  const int64_t available = free_device_bytes() - kReserve;
  // Beyond 2^32 too where there is room, and enough cores to check it: 32-bit indices fail at either.
  for (const int64_t elements : {int64_t{1} << 32, int64_t{1} << 31}) {
    if (elements > int64_t{1} << 31 && layerwise::available_cores() < 8) continue;
    const Layers layers = large_layers(options.elements > 0 ? options.elements : elements + 12'344);
    if (DeviceModel::bytes(layers) <= available) return run_ops(layers, deadline);
  }
  report_not_run("large", "2^31 elements need 13 GB of device memory and 1 GB to spare; free are " +
                              std::to_string(free_device_bytes() / 1'000'000) + " MB");
  return true;
}

}  // namespace bench
