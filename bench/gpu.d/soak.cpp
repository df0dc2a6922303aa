// Ten thousand one-pass steps of a model of mixed layers, one of them larger than what the chip holds, beside as many in two
// passes: compared with the CPU at points between and at the end; from where the CPU's time is over, with the two passes.
#include <iterator>

#include "gpu.d/paths.h"
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"

namespace bench {
namespace {

constexpr Op kSoaked[] = {Op::kNovograd, Op::kLarcSgd};
constexpr double kCpuShare = 0.7;  // of the time
constexpr int64_t kShift = 64;     // elements

std::vector<int64_t> mixed_sizes(int64_t room) {
  std::vector<int64_t> sizes{room + 3 * 8192 + 5, 1, 8192, 0, 100'003, 64, 8191, 8193, room / 4, 7};
  for (int64_t i = 0; i < 100; ++i) sizes.push_back(10 + i * 37);
  return sizes;
}

// The model's layers and, behind them, as much as the gradients are shifted by.
Layers stored_layers(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> stored = sizes;
  stored.push_back(kShift);
  return Layers(std::move(stored), kFull);
}

// Every step has other norms than the one before, so that a layer's constants of an earlier launch are seen.
StepBuffers with_other_grads(StepBuffers buffers, int i) {
  constexpr int64_t kShifts[] = {0, 20, kShift, 4};
  buffers.grads = element_address(buffers.grads, kFull.grads, kShifts[i % 4]);
  return buffers;
}
StepSettings settings_of_step(int i) {
  constexpr double kRates[] = {1e-3, 0.02, 5e-4, 0.004, 1e-4};
  StepSettings settings;
  settings.lr = kRates[i % 5];
  return settings;
}

PlanSettings planned(int32_t device, int32_t path) {
  PlanSettings settings{kFull, device};
  settings.path = path;
  return settings;
}

class Soak {
 public:
  Soak(Op op, int64_t room)
      : op_(op),
        sizes_(mixed_sizes(room)),
        stored_(stored_layers(sizes_)),
        one_pass_(sizes_, planned(0, kOnePass)),
        two_pass_(sizes_, planned(0, kTwoPass)),
        on_cpu_(sizes_, planned(LAYERWISE_DEVICE_CPU, 0)),
        one_(stored_),
        two_(stored_),
        cpu_(stored_, all_layers(stored_)) {
    one_.fill();
    two_.fill();
    cpu_.fill();
  }

  bool run(int steps, int cpu_steps, double seconds) {
    const Deadline deadline(seconds), cpus(kCpuShare * seconds);
    std::string difference;
    int i = 0;
    for (bool cpu_goes = true, over = false; i < steps && difference.empty() && !over;) {
      step(op_, one_pass_, with_other_grads(one_.buffers(), i), settings_of_step(i), stream_.get());
      step(op_, two_pass_, with_other_grads(two_.buffers(), i), settings_of_step(i), stream_.get());
      if (cpu_goes) step(op_, on_cpu_, with_other_grads(cpu_.buffers(), i), settings_of_step(i));
      ++i;
      if (cpu_goes) cpu_steps_ = i;
      over = deadline.is_over();
      const bool cpus_last = cpu_goes && (cpus.is_over() || i >= cpu_steps);
      if ((i & (i - 1)) == 0 || i % 2000 == 0 || i == steps || over || cpus_last) difference = compare(i);
      if (cpus_last) cpu_goes = false;
    }
    if (difference.empty() && i < steps)
      report_not_run(name() + ": steps " + std::to_string(i + 1) + " to " + std::to_string(steps), "no time left");
    if (!difference.empty()) difference = "by step " + std::to_string(i) + ", " + difference;
    return report_check(name() + ", one pass, two passes and the CPU", difference,
                        path_line(op_, kOnePass, one_pass_)
                            .add("steps", i)
                            .add("cpu_steps", cpu_steps_)
                            .add("elements", stored_.elements() - kShift)
                            .add("held_elements", held_elements(op_, one_pass_).count));
  }

 private:
  std::string compare(int i) {
    stream_.wait();
    const bool with_cpu = cpu_steps_ == i;
    if (!with_cpu) cpu_.take(two_.buffers());
    std::string found = cpu_.difference(one_.buffers());
    if (!found.empty()) return (with_cpu ? "one pass: " : "one pass, two passes in the CPU's place: ") + found;
    found = with_cpu ? cpu_.difference(two_.buffers()) : "";
    return found.empty() ? "" : "two passes: " + found;
  }
  std::string name() const { return std::string("soak: ") + name_of(op_); }

  const Op op_;
  const std::vector<int64_t> sizes_;
  const Layers stored_;
  const Stream stream_;
  const Plan one_pass_, two_pass_, on_cpu_;
  DeviceModel one_, two_;
  CpuTwin cpu_;
  int cpu_steps_ = 0;
};

}  // namespace

bool soak_stage(const StageOptions& options) {
  const Deadline whole(options.seconds);
  bool all = true;
  int left = static_cast<int>(std::size(kSoaked));
  for (const Op op : kSoaked) {
    const std::string name = std::string("soak: ") + name_of(op);
    const double share = (options.seconds - whole.spent()) / left--;
    const int64_t room = whole.is_over() ? 0 : room_for(op, kFull);
    if (whole.is_over())
      report_not_run(name, "no time left");
    else if (room == 0)
      report_not_run(name, "this device runs no such step in one pass");
    else
      all &= Soak(op, room).run(options.steps, options.cpu_steps, share);
  }
  return all;
}

}  // namespace bench
