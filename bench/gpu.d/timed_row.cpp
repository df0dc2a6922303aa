#include "gpu.d/timed_row.h"

#include <future>

#include "cost.h"
#include "gpu.d/device.h"
#include "gpu.d/paths.h"
#include "gpu.d/stages.h"
#include "gpu.d/timer.h"

namespace bench {
namespace {

constexpr int64_t kCheckedElements = int64_t{1} << 25;

struct AskedPath {
  const int32_t asked;
  const Plan plan;

  AskedPath(const Layers& layers, int32_t path, bool experimental)
      : asked(path), plan(layers.sizes, settings(layers, path, experimental)) {}

 private:
  static PlanSettings settings(const Layers& layers, int32_t path, bool experimental) {
    PlanSettings settings = plan_settings(layers, path);
    if (experimental)
      settings.experimental = LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH | LAYERWISE_EXPERIMENTAL_BULK_COPY;
    return settings;
  }
};

class TimedRow {
 public:
  TimedRow(const Row& row, const Layers& layers, double seconds)
      : row_(row), settings_(settings_of(row)), found_inf_(sizeof(float)), layers_(layers), timer_(layers, seconds) {
    BENCH_CUDA(cudaMemset, found_inf_.get(), 0, sizeof(float));
    add_path(kTwoPass);
    if (!is_half(row.op)) add_path(kOnePass);
    if (row.special == Special::kExperimental)
      for (const int32_t path : {kTwoPass, kOnePass}) add_path(path, true);
  }

  bool run(double copy_gb_per_s) {
    // A model of billions takes seconds, which the device need not wait for.
    std::future<StepTime> predicted = std::async(std::launch::async, [this, gpu = this_gpu(copy_gb_per_s)] {
      return time_of(row_.op, layers_.sizes, row_.dtypes, gpu, kOnePass);
    });
    // The sums of an apply call are there before its first step.
    if (is_apply(row_.op)) sum_all();
    timer_.prepare(works_);
    const bool good = check();
    timer_.measure(works_);
    report(copy_gb_per_s, predicted.get());
    return good;
  }

 private:
  void add_path(int32_t path, bool experimental = false) {
    const Plan& plan = paths_.emplace_back(layers_, path, experimental).plan;
    works_.push_back({[this, &plan](const DeviceModel& set) {
      step(row_.op, plan, set.arguments(), on_device(), timer_.stream().get());
    }});
  }

  StepSettings on_device() const {
    StepSettings settings = settings_;
    if (row_.special == Special::kFoundInf) settings.found_inf = static_cast<const float*>(found_inf_.get());
    return settings;
  }

  void sum_all() {
    for (const DeviceModel& set : timer_.sets())
      partial_norms(row_.op, paths_.front().plan, set.arguments(), timer_.stream().get());
  }

  // Each graph's first launch, from freshly filled buffers, is compared with the CPU.
  bool check() {
    CpuTwin cpu(layers_, some_layers(layers_, kCheckedElements));
    cpu.fill();
    if (is_apply(row_.op)) cpu.partial_norms(row_.op);
    // Many steps of a small model cost the CPU no more than one of a large one.
    for (int round = 0; round < timer_.rounds(); ++round) cpu.step(row_.op, settings_);
    bool all = true;
    auto path = paths_.begin();
    for (const TimedWork& work : works_) {
      timer_.fill();
      if (is_apply(row_.op)) sum_all();
      timer_.replay(work);
      const std::string suffix = is_half(row_.op) ? "" : ", " + asked_name(path->asked, path->plan);
      all &= report_check("timing: " + name_of(row_) + suffix + ", what is timed is the CPU's result",
                          timer_.difference(cpu, Agreement::kSameBits), JsonLine().add("steps", timer_.rounds()));
      ++path;
    }
    return all;
  }

  // What a plan takes that may choose.
  std::string automatic_path() {
    if (is_half(row_.op)) return "one launch";
    const Plan plan(layers_.sizes, plan_settings(layers_, 0));
    step(row_.op, plan, timer_.sets().front().arguments(), on_device(), timer_.stream().get());
    timer_.stream().wait();
    return path_name(plan.query(LAYERWISE_QUERY_PATH));
  }

  bool ran_in_one_pass(const Plan& plan) const {
    return !is_half(row_.op) && plan.query(LAYERWISE_QUERY_PATH) == kOnePass;
  }

  // Of one pass over two, pair by pair.
  double one_over_two(const std::vector<double>& one) const {
    const std::vector<double>& two = works_.front().times;
    std::vector<double> ratios;
    for (size_t i = 0; i < one.size(); ++i) ratios.push_back(one[i] / two[i]);
    return quantile(ratios, 0.5);
  }

  struct Model {
    StepCost cost;
    StepTime time;
  };

  void report(double copy_rate, const StepTime& time) {
    const Model model{cost_of(row_.op, layers_.sizes, row_.dtypes, this_gpu(copy_rate), kOnePass), time};
    const std::string automatic = automatic_path();
    auto path = paths_.begin();
    for (const TimedWork& work : works_) report(work, *path++, model, automatic, copy_rate);
  }

  void report(const TimedWork& work, const AskedPath& path, const Model& model, const std::string& automatic,
              double copy_rate) const {
    const ElementBytes bytes = element_bytes(row_.dtypes);
    const bool one_pass = ran_in_one_pass(path.plan);
    const HeldElements held = one_pass ? held_elements(row_.op, path.plan) : HeldElements{0, false};
    const PathCost& predicted = one_pass ? model.cost.one_pass : model.cost.two_pass;
    const double elements = static_cast<double>(layers_.elements());
    const int64_t moved = one_pass_bytes(row_.op, bytes, layers_.elements(), held.count, held.weights);
    JsonLine line = path_line(row_.op, path.asked, path.plan);
    line.add("kind", "timing").add("op", bench::name_of(row_.op)).add("model", row_.model);
    if (row_.special != Special::kNothing) line.add("case", name_of(row_.special));
    line.add("dtypes", short_name(row_.dtypes)).add("auto", automatic);
    line.add("layers", static_cast<int64_t>(layers_.sizes.size())).add("parameters", layers_.elements());
    line.add("aligned_layers", layers_.aligned());
    const double floor = floor_bytes(row_.op, bytes);
    timer_.add_figures(line, work, {static_cast<double>(moved) / elements, floor}, copy_rate);
    line.add("us_model", one_pass ? model.time.one_pass : model.time.two_pass)
        .add("model_bytes_asked", static_cast<double>(predicted.bytes) / elements);
    line.add("model_bytes_from_memory", static_cast<double>(predicted.memory_bytes) / elements);
    line.add("held_elements", held.count).add("held_elements_model", one_pass ? model.cost.held_elements : 0);
    if (one_pass && path.asked == kOnePass && !ran_in_one_pass(paths_.front().plan))
      line.add("one_over_two", one_over_two(work.times));
    line.print();
  }

  const Row row_;
  const StepSettings settings_;
  const DeviceBuffer found_inf_;
  const Layers& layers_;
  Timer timer_;
  std::list<AskedPath> paths_;
  std::list<TimedWork> works_;
};

}  // namespace

bool time_row(const Row& row, const Layers& layers, double copy_gb_per_s, double seconds_per_path) {
  return TimedRow(row, layers, seconds_per_path).run(copy_gb_per_s);
}

}  // namespace bench
