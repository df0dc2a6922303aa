// Times a step on real models, beside a device-to-device copy and the toolkit's rival for the norms.
#include <algorithm>
#include <list>
#include <sstream>

#include "gpu.d/rivals.h"
#include "gpu.d/stages.h"
#include "gpu.d/twin.h"
#include "models.h"

namespace bench {
namespace {

constexpr int64_t kReserve = int64_t{1} << 29;  // bytes left to the device
constexpr double kRowSeconds = 0.5;
constexpr int64_t kCheckedElements = int64_t{1} << 25;
constexpr int kMostSets = 64;

constexpr BufferDtypes kFull{kF32, kF32, kF32}, kMasters{kF32, kBf16, kF32}, kAllBf16{kBf16, kBf16, kBf16},
    kHalf{kF16, kF16, kF32};

struct Row {
  std::string model;
  BufferDtypes dtypes;
  Op op;
};

// The most telling first: what is not begun in time is listed as not run.
std::vector<Row> usual_rows() {
  std::vector<Row> rows;
  for (const Op op : kOps)
    for (const char* model : {"resnet50", "jasper10x5", "400x1000"}) rows.push_back({model, kFull, op});
  for (const BufferDtypes& dtypes : {kMasters, kAllBf16})
    for (const char* model : {"resnet50", "jasper10x5", "llama3-8b"}) rows.push_back({model, dtypes, Op::kNovograd});
  rows.push_back({"resnet50", kHalf, Op::kNovograd});
  rows.push_back({"bert-large", kFull, Op::kNovograd});
  for (const Op op : {Op::kLarcScale, Op::kLarcSgd})
    for (const char* model : {"resnet50", "jasper10x5", "llama3-8b"}) rows.push_back({model, kAllBf16, op});
  return rows;
}

std::vector<Row> rows_of(const std::string& models) {
  if (models.empty()) return usual_rows();
  std::vector<Row> rows;
  std::istringstream names(models);
  for (std::string model; std::getline(names, model, ',');)
    for (const Op op : kOps)
      for (const BufferDtypes& dtypes : {kFull, kMasters, kAllBf16}) rows.push_back({model, dtypes, op});
  return rows;
}

std::string name_of(const Row& row) {
  return std::string(bench::name_of(row.op)) + " " + row.model + " " + short_name(row.dtypes);
}

// Bytes read and written per second by the runtime's own copy: the most that this device is asked to move.
double copy_rate(const Stream& stream) {
  const int64_t bytes = std::min<int64_t>(int64_t{2} << 30, free_device_bytes() / 8);
  const DeviceBuffer from(bytes), to(bytes);
  BENCH_CUDA(cudaMemset, from.get(), 0x3a, static_cast<size_t>(bytes));
  const auto copy = [&] {
    BENCH_CUDA(cudaMemcpyAsync, to.get(), from.get(), static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream.get());
  };
  BENCH_CUDA(cudaDeviceSynchronize);
  event_microseconds(stream, 3, copy);
  const double us = quantile(event_microseconds(stream, 20, copy), 0.5);
  const double rate = 2.0 * static_cast<double>(bytes) / us / 1e3;
  JsonLine().add("kind", "copy").add("bytes", bytes).add("us", us).add("gb_per_s", rate).print();
  return rate;
}

// As many buffer sets as it takes for a set to have left the cache before its turn comes again.
int set_count(const Layers& layers) {
  const int64_t bytes = DeviceModel::bytes(layers), cache = device_attribute(cudaDevAttrL2CacheSize);
  const int64_t wanted = (4 * cache + bytes - 1) / std::max<int64_t>(bytes, 1);
  const int64_t room = (free_device_bytes() - kReserve) / std::max<int64_t>(bytes, 1);
  return static_cast<int>(std::clamp<int64_t>(std::min(wanted, room), 1, kMostSets));
}

struct Times {
  double us, fastest, q1, q3;
};
Times summary(const std::vector<double>& times, int steps) {
  return {quantile(times, 0.5) / steps, quantile(times, 0) / steps, quantile(times, 0.25) / steps, quantile(times, 0.75) / steps};
}

int repeats_for(double us) { return static_cast<int>(std::clamp(kRowSeconds * 1e6 / us, 10.0, 200.0)); }

// One row: the model's buffer sets, a graph of one or more steps on each, and its times.
class TimedStep {
 public:
  TimedStep(const Row& row, const Layers& layers)
      : row_(row), layers_(layers), plan_(layers.sizes, {layers.dtypes, 0}) {
    for (int set = set_count(layers); set > 0; --set) sets_.emplace_back(layers_);
    for (DeviceModel& set : sets_) set.fill();
  }

  // Times the graph; the first launch, from freshly filled buffers, is compared with the CPU.
  bool run(double copy_gb_per_s) {
    launch_all(1);
    const Times eager = summary(event_microseconds(stream_, 10, [&] { launch_all(1); }), sets());
    const int rounds = static_cast<int>(std::clamp(2000 / (eager.us * sets()), 1.0, 1000.0));
    const Graph graph(stream_, [&] { launch_all(rounds); });
    const bool good = check(graph, rounds);
    event_microseconds(stream_, 3, [&] { graph.launch(stream_); });
    const auto first = event_microseconds(stream_, 3, [&] { graph.launch(stream_); });
    const auto times = event_microseconds(stream_, repeats_for(quantile(first, 0.5)), [&] { graph.launch(stream_); });
    check_device();
    report(summary(times, rounds * sets()), eager, graph, rounds, static_cast<int>(times.size()), copy_gb_per_s);
    return good;
  }

 private:
  int sets() const { return static_cast<int>(sets_.size()); }

  void launch_all(int rounds) {
    for (int round = 0; round < rounds; ++round)
      for (const DeviceModel& set : sets_) step(row_.op, plan_, set.buffers(), {}, stream_.get());
  }

  bool check(const Graph& graph, int rounds) {
    stream_.wait();
    for (DeviceModel& set : sets_) set.fill();
    graph.launch(stream_);
    stream_.wait();
    CpuTwin cpu(layers_, some_layers(layers_, kCheckedElements));
    cpu.fill();
    // Many steps of a small model cost the CPU no more than one of a large one.
    for (int round = 0; round < rounds; ++round) cpu.step(row_.op, {});
    std::string difference = cpu.difference(sets_.front().buffers());
    if (difference.empty()) difference = cpu.difference(sets_.back().buffers());
    return report_check("timing: " + name_of(row_) + ", what is timed is the CPU's result", difference,
                        JsonLine().add("steps", rounds));
  }

  void report(const Times& times, const Times& eager, const Graph& graph, int rounds, int repeats, double copy_rate) const {
    const ElementBytes bytes = element_bytes(row_.dtypes);
    const int moved = plan_.query(LAYERWISE_QUERY_PATH) == LAYERWISE_PATH_TWO_PASS ? two_pass_bytes(row_.op, bytes)
                                                                                  : floor_bytes(row_.op, bytes);
    const double elements = static_cast<double>(layers_.elements()), rate = moved * elements / times.us / 1e3;
    const double floor_rate = floor_bytes(row_.op, bytes) * elements / times.us / 1e3;
    JsonLine()
        .add("kind", "timing")
        .add("op", bench::name_of(row_.op))
        .add("model", row_.model)
        .add("dtypes", short_name(row_.dtypes))
        .add("layers", static_cast<int64_t>(layers_.sizes.size()))
        .add("parameters", layers_.elements())
        .add("us", times.us)
        .add("us_fastest", times.fastest)
        .add("us_q1", times.q1)
        .add("us_q3", times.q3)
        .add("us_eager", eager.us)
        .add("path", plan_.query(LAYERWISE_QUERY_PATH))
        .add("bytes_per_parameter", moved)
        .add("floor_bytes_per_parameter", floor_bytes(row_.op, bytes))
        .add("gb_per_s", rate)
        .add("share_of_copy", rate / copy_rate)
        .add("floor_share_of_copy", floor_rate / copy_rate)
        .add("buffer_sets", sets())
        .add("steps_per_graph", rounds * sets())
        .add("graph_nodes", graph.nodes())
        .add("repeats", repeats)
        .print();
  }

  const Row row_;
  const Layers& layers_;
  const Stream stream_;
  const Plan plan_;
  std::list<DeviceModel> sets_;
};

// cub::DeviceSegmentedReduce over the gradients of a float32 model, as a row of its own.
void time_segmented_norms(const std::string& model, double copy_gb_per_s) {
  const Layers layers(layer_sizes(model), kFull);
  const size_t table = layers.sizes.size() * sizeof(int64_t);
  const int64_t bytes = layers.extent * 4;
  std::vector<DeviceBuffer> grads;
  for (int64_t set = std::clamp<int64_t>(4 * device_attribute(cudaDevAttrL2CacheSize) / bytes + 1, 1, kMostSets); set > 0; --set) {
    grads.emplace_back(bytes);
    BENCH_CUDA(cudaMemset, grads.back().get(), 0x3a, static_cast<size_t>(bytes));
  }
  const DeviceBuffer norms(static_cast<int64_t>(table)), begins(static_cast<int64_t>(table)), ends(static_cast<int64_t>(table));
  std::vector<int64_t> end_offsets;
  for (size_t l = 0; l < layers.sizes.size(); ++l) end_offsets.push_back(layers.offsets[l] + layers.sizes[l]);
  BENCH_CUDA(cudaMemcpy, begins.get(), layers.offsets.data(), table, cudaMemcpyHostToDevice);
  BENCH_CUDA(cudaMemcpy, ends.get(), end_offsets.data(), table, cudaMemcpyHostToDevice);
  const Stream stream;
  size_t scratch_bytes = 0;
  const auto reduce = [&](void* scratch, const DeviceBuffer& of) {
    check_cuda(segmented_norms(scratch, scratch_bytes, static_cast<const float*>(of.get()), static_cast<double*>(norms.get()),
                               static_cast<int64_t>(layers.sizes.size()), static_cast<const int64_t*>(begins.get()),
                               static_cast<const int64_t*>(ends.get()), stream.get()),
               "cub::DeviceSegmentedReduce");
  };
  reduce(nullptr, grads.front());
  const DeviceBuffer scratch(static_cast<int64_t>(std::max<size_t>(scratch_bytes, 1)));
  BENCH_CUDA(cudaDeviceSynchronize);
  const auto all = [&] {
    for (const DeviceBuffer& of : grads) reduce(scratch.get(), of);
  };
  event_microseconds(stream, 3, all);
  const Times times = summary(event_microseconds(stream, 50, all), static_cast<int>(grads.size()));
  check_device();
  const double rate = 4.0 * static_cast<double>(layers.elements()) / times.us / 1e3;
  JsonLine().add("kind", "rival").add("op", "norms alone, cub::DeviceSegmentedReduce").add("model", model).add("dtypes", "f32")
      .add("us", times.us).add("us_fastest", times.fastest).add("us_q1", times.q1).add("us_q3", times.q3)
      .add("bytes_per_parameter", 4).add("gb_per_s", rate).add("share_of_copy", rate / copy_gb_per_s).print();
}

// A row that fails, such as one without memory for its last buffer, does not take the others with it.
bool run_row(const Row& row, const Layers& layers, double copy_gb_per_s) {
  try {
    return TimedStep(row, layers).run(copy_gb_per_s);
  } catch (const std::exception& problem) {
    cudaGetLastError();
    return report_check("timing: " + name_of(row), problem.what());
  }
}

}  // namespace

bool timing_stage(const StageOptions& options) {
  const Stream stream;
  bool all = true;
  double copy = copy_rate(stream);
  const Deadline deadline(options.seconds);
  std::string last = "";
  for (const Row& row : rows_of(options.models)) {
    const Layers layers(layer_sizes(row.model), row.dtypes);
    const int64_t needed = DeviceModel::bytes(layers) + kReserve, available = free_device_bytes();
    if (deadline.is_over()) {
      report_not_run("timing: " + name_of(row), "no time left");
    } else if (needed > available) {
      report_not_run("timing: " + name_of(row), "needs " + std::to_string(needed / 1'000'000) + " MB of device memory, free are " +
                                                    std::to_string(available / 1'000'000) + " MB");
    } else {
      all &= run_row(row, layers, copy);
      if (row.model != last) copy = copy_rate(stream);
      last = row.model;
    }
  }
  for (const char* model : {"resnet50", "jasper10x5", "400x1000"})
    if (options.models.empty() && !deadline.is_over()) time_segmented_norms(model, copy);
  return all;
}

}  // namespace bench
