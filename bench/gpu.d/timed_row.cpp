#include "gpu.d/timed_row.h"

#include <algorithm>
#include <list>
#include <memory>

#include "cost.h"
#include "gpu.d/paths.h"
#include "gpu.d/stages.h"

namespace bench {
namespace {

constexpr double kRowSeconds = 0.5;  // for each path
constexpr int64_t kCheckedElements = int64_t{1} << 25;
constexpr int kMostSets = 64;

// As many buffer sets as it takes for a set to have left the cache before its turn comes again.
int set_count(const Layers& layers) {
  const int64_t bytes = DeviceModel::bytes(layers), cache = device_attribute(cudaDevAttrL2CacheSize);
  const int64_t wanted = (4 * cache + bytes - 1) / std::max<int64_t>(bytes, 1);
  const int64_t room = (free_device_bytes() - kDeviceReserve) / std::max<int64_t>(bytes, 1);
  return static_cast<int>(std::clamp<int64_t>(std::min(wanted, room), 1, kMostSets));
}

PlanSettings planned(const Row& row, int32_t path) {
  PlanSettings settings{row.dtypes, 0};
  settings.path = path;
  return settings;
}

// A path on the row's buffers: its plan, a graph of one or more steps on each set, and its times.
struct TimedPath {
  const int32_t asked;
  const Plan plan;
  std::unique_ptr<Graph> graph;
  double eager_us = 0;
  std::vector<double> times;

  TimedPath(const Row& row, const Layers& layers, int32_t path) : asked(path), plan(layers.sizes, planned(row, path)) {}
  bool ran_as_asked() const { return plan.query(LAYERWISE_QUERY_PATH) == asked; }
};

class TimedRow {
 public:
  TimedRow(const Row& row, const Layers& layers) : row_(row), layers_(layers) {
    for (int set = set_count(layers); set > 0; --set) sets_.emplace_back(layers_);
    for (DeviceModel& set : sets_) set.fill();
    paths_.emplace_back(row, layers, kTwoPass);
    if (!is_apply(row.op)) paths_.emplace_back(row, layers, kOnePass);
  }

  bool run(double copy_gb_per_s) {
    for (TimedPath& path : paths_) {
      launch_all(path.plan, 1);
      path.eager_us = quantile(event_microseconds(stream_, 10, [&] { launch_all(path.plan, 1); }), 0.5) / sets();
    }
    rounds_ = static_cast<int>(std::clamp(2000 / (paths_.front().eager_us * sets()), 1.0, 1000.0));
    for (TimedPath& path : paths_) path.graph = std::make_unique<Graph>(stream_, [&] { launch_all(path.plan, rounds_); });
    const bool good = check();
    measure();
    check_device();
    const StepCost model = cost_of(row_.op, layers_.sizes, row_.dtypes, this_gpu(copy_gb_per_s), kOnePass);
    const std::string automatic = is_apply(row_.op) ? "one launch" : path_name(automatic_path());
    for (const TimedPath& path : paths_) report(path, model, automatic, copy_gb_per_s);
    return good;
  }

 private:
  int sets() const { return static_cast<int>(sets_.size()); }

  void sum_all(const Plan& plan) {
    for (const DeviceModel& set : sets_) partial_norms(row_.op, plan, set.buffers(), stream_.get());
  }
  void launch_all(const Plan& plan, int rounds) {
    for (int round = 0; round < rounds; ++round)
      for (const DeviceModel& set : sets_) step(row_.op, plan, set.buffers(), {}, stream_.get());
  }

  // Each graph's first launch, from freshly filled buffers, is compared with the CPU.
  bool check() {
    CpuTwin cpu(layers_, some_layers(layers_, kCheckedElements));
    cpu.fill();
    if (is_apply(row_.op)) cpu.partial_norms(row_.op);
    // Many steps of a small model cost the CPU no more than one of a large one.
    for (int round = 0; round < rounds_; ++round) cpu.step(row_.op, {});
    bool all = true;
    for (const TimedPath& path : paths_) {
      stream_.wait();
      for (DeviceModel& set : sets_) set.fill();
      if (is_apply(row_.op)) sum_all(path.plan);
      path.graph->launch(stream_);
      stream_.wait();
      std::string difference = cpu.difference(sets_.front().buffers());
      if (difference.empty()) difference = cpu.difference(sets_.back().buffers());
      all &= report_check("timing: " + name_of(row_) + path_suffix(path) + ", what is timed is the CPU's result", difference,
                          JsonLine().add("steps", rounds_));
    }
    return all;
  }
  std::string path_suffix(const TimedPath& path) const {
    return is_apply(row_.op) ? "" : std::string(", ") + path_name(path.asked);
  }

  // In turn, A B A B.
  void measure() {
    const auto once = [&](TimedPath& path) {
      return event_microseconds(stream_, 1, [&] { path.graph->launch(stream_); }).front() / (rounds_ * sets());
    };
    for (int warm_up = 0; warm_up < 3; ++warm_up)
      for (TimedPath& path : paths_) once(path);
    const int repeats = repeats_for(once(paths_.front()) * rounds_ * sets());
    for (int i = 0; i < repeats; ++i)
      for (TimedPath& path : paths_) path.times.push_back(once(path));
  }

  // What a plan takes that may choose.
  int64_t automatic_path() {
    const Plan plan(layers_.sizes, planned(row_, 0));
    step(row_.op, plan, sets_.front().buffers(), {}, stream_.get());
    stream_.wait();
    return plan.query(LAYERWISE_QUERY_PATH);
  }

  // Of one pass over two, pair by pair.
  double ratio_to_two_passes(const TimedPath& path) const {
    std::vector<double> ratios;
    for (size_t i = 0; i < path.times.size(); ++i) ratios.push_back(path.times[i] / paths_.front().times[i]);
    return quantile(ratios, 0.5);
  }

  void report(const TimedPath& path, const StepCost& model, const std::string& automatic, double copy_rate) const {
    const ElementBytes bytes = element_bytes(row_.dtypes);
    const bool one_pass = !is_apply(row_.op) && path.plan.query(LAYERWISE_QUERY_PATH) == kOnePass;
    const HeldElements held = one_pass ? held_elements(row_.op, path.plan) : HeldElements{0, false};
    const PathCost& predicted = one_pass ? model.one_pass : model.two_pass;
    const double elements = static_cast<double>(layers_.elements());
    const double moved = static_cast<double>(one_pass_bytes(row_.op, bytes, layers_.elements(), held.count, held.weights));
    const Times times = summary(path.times, 1);
    const double rate = moved / times.us / 1e3, floor_rate = floor_bytes(row_.op, bytes) * elements / times.us / 1e3;
    JsonLine line = path_line(row_.op, path.asked, path.plan);
    line.add("kind", "timing").add("op", bench::name_of(row_.op)).add("model", row_.model);
    line.add("dtypes", short_name(row_.dtypes)).add("auto", automatic);
    line.add("layers", static_cast<int64_t>(layers_.sizes.size())).add("parameters", layers_.elements());
    line.add("us", times.us).add("us_fastest", times.fastest).add("us_q1", times.q1).add("us_q3", times.q3);
    line.add("us_eager", path.eager_us).add("us_model", predicted.us);
    line.add("bytes_per_parameter", moved / elements).add("floor_bytes_per_parameter", floor_bytes(row_.op, bytes));
    line.add("model_bytes_asked", static_cast<double>(predicted.bytes) / elements);
    line.add("model_bytes_from_memory", static_cast<double>(predicted.memory_bytes) / elements);
    line.add("held_elements", held.count).add("held_elements_model", one_pass ? model.held_elements : 0);
    line.add("gb_per_s", rate).add("share_of_copy", rate / copy_rate).add("floor_share_of_copy", floor_rate / copy_rate);
    if (one_pass && paths_.front().ran_as_asked()) line.add("one_over_two", ratio_to_two_passes(path));
    line.add("buffer_sets", sets()).add("steps_per_graph", rounds_ * sets()).add("graph_nodes", path.graph->nodes());
    line.add("repeats", static_cast<int64_t>(path.times.size())).print();
  }

  const Row row_;
  const Layers& layers_;
  const Stream stream_;
  std::list<DeviceModel> sets_;
  std::list<TimedPath> paths_;
  int rounds_ = 1;
};

}  // namespace

std::string name_of(const Row& row) {
  return std::string(bench::name_of(row.op)) + " " + row.model + " " + short_name(row.dtypes);
}

bool time_row(const Row& row, const Layers& layers, double copy_gb_per_s) { return TimedRow(row, layers).run(copy_gb_per_s); }

Times summary(const std::vector<double>& times, int steps) {
  return {quantile(times, 0.5) / steps, quantile(times, 0) / steps, quantile(times, 0.25) / steps, quantile(times, 0.75) / steps};
}

int repeats_for(double us) { return static_cast<int>(std::clamp(kRowSeconds * 1e6 / us, 10.0, 200.0)); }

}  // namespace bench
