// Times the steps on real models, beside a device-to-device copy and the toolkit's rival for the norms.
#include <algorithm>
#include <functional>
#include <sstream>

#include "gpu.d/rivals.h"
#include "gpu.d/stages.h"
#include "gpu.d/timed_row.h"
#include "models.h"

namespace bench {
namespace {

constexpr int kMostSets = 64;
constexpr const char* kSegmentedNorms = "norms alone, cub::DeviceSegmentedReduce";

// The most telling first: what is not begun in time is listed as not run.
std::vector<Row> usual_rows() {
  std::vector<Row> rows;
  for (const Op op : {Op::kNovograd, Op::kLarcScale, Op::kLarcSgd})
    for (const char* model : {"resnet50", "jasper10x5", "400x1000"}) rows.push_back({model, kFull, op});
  for (const BufferDtypes& dtypes : {kMasters, kAllBf16})
    for (const char* model : {"resnet50", "jasper10x5", "llama3-8b"}) rows.push_back({model, dtypes, Op::kNovograd});
  for (const Op op : {Op::kLarcNovograd, Op::kNovogradApply, Op::kLarcScaleApply, Op::kLarcSgdApply})
    for (const char* model : {"resnet50", "jasper10x5"}) rows.push_back({model, kFull, op});
  rows.push_back({"llama3-8b", kAllBf16, Op::kNovogradApply});
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
  for (std::string model; std::getline(names, model, ',');) {
    for (const Op op : kSteps)
      for (const BufferDtypes& dtypes : {kFull, kMasters, kAllBf16}) rows.push_back({model, dtypes, op});
    for (const Op op : kApplies) rows.push_back({model, kMasters, op});
  }
  return rows;
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
  JsonLine().add("kind", "rival").add("op", kSegmentedNorms).add("model", model).add("dtypes", "f32")
      .add("us", times.us).add("us_fastest", times.fastest).add("us_q1", times.q1).add("us_q3", times.q3)
      .add("bytes_per_parameter", 4).add("gb_per_s", rate).add("share_of_copy", rate / copy_gb_per_s).print();
}

// Whether there is time and memory for a row; else says so.
bool can_begin(const std::string& name, int64_t bytes, const Deadline& deadline) {
  const int64_t needed = bytes + kDeviceReserve, available = free_device_bytes();
  if (deadline.is_over())
    report_not_run("timing: " + name, "no time left");
  else if (needed > available)
    report_not_run("timing: " + name, "needs " + std::to_string(needed / 1'000'000) + " MB of device memory, free are " +
                                          std::to_string(available / 1'000'000) + " MB");
  return !deadline.is_over() && needed <= available;
}

// A row that fails, such as one without memory for its last buffer, does not take the others with it.
bool survives(const std::string& name, const std::function<bool()>& row) {
  try {
    return row();
  } catch (const std::exception& problem) {
    cudaGetLastError();
    return report_check("timing: " + name, problem.what());
  }
}

bool time_rivals(double copy_gb_per_s, const Deadline& deadline) {
  bool all = true;
  for (const char* model : {"resnet50", "jasper10x5", "400x1000"}) {
    const std::string name = std::string(kSegmentedNorms) + " " + model;
    const int64_t bytes = 4 * (element_count(layer_sizes(model)) + device_attribute(cudaDevAttrL2CacheSize));
    if (can_begin(name, bytes, deadline))
      all &= survives(name, [&] { return time_segmented_norms(model, copy_gb_per_s), true; });
  }
  return all;
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
    if (!can_begin(name_of(row), DeviceModel::bytes(layers), deadline)) continue;
    all &= survives(name_of(row), [&] { return time_row(row, layers, copy); });
    if (row.model != last) copy = copy_rate(stream);
    last = row.model;
  }
  return options.models.empty() ? all & time_rivals(copy, deadline) : all;
}

}  // namespace bench
