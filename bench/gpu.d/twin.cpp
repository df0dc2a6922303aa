#include "gpu.d/twin.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "cpu/threads.h"
#include "models.h"

namespace bench {
namespace {

constexpr float kWeights = 0.05f, kGrads = 0.01f, kMoments = 0.001f;  // amplitudes
constexpr uint32_t kWeightSeed = 1, kGradSeed = 2, kMomentSeed = 3;
constexpr float kSecondMoment = 1e-3f;
constexpr int kPoison = 0x7b;
constexpr int64_t kStaging = 64 << 20;  // bytes

void fill_pattern(void* to, int32_t dtype, int64_t first, int64_t count, uint32_t seed, float amplitude) {
  while (count > 0) {
    const int64_t at = first % kPeriod, part = std::min(count, kPeriod - at);
    fill_values(to, dtype, at, part, seed, amplitude);
    to = element_address(to, dtype, part);
    first += part;
    count -= part;
  }
}

// One period from the host, then copies of what is there already.
void fill_device(void* to, int32_t dtype, int64_t count, uint32_t seed, float amplitude) {
  const int64_t period = std::min(count, kPeriod), size = element_bytes(dtype);
  if (count == 0) return;
  std::vector<char> host(static_cast<size_t>(period * size));
  fill_pattern(host.data(), dtype, 0, period, seed, amplitude);
  BENCH_CUDA(cudaMemcpy, to, host.data(), host.size(), cudaMemcpyHostToDevice);
  for (int64_t done = period; done < count;) {
    const int64_t part = std::min(done, count - done);
    BENCH_CUDA(cudaMemcpy, element_address(to, dtype, done), to, static_cast<size_t>(part * size), cudaMemcpyDeviceToDevice);
    done += part;
  }
  BENCH_CUDA(cudaDeviceSynchronize);  // copies within the device return before they are done
}

uint64_t bits_at(const void* values, int size, int64_t i) {
  uint64_t bits = 0;
  std::memcpy(&bits, static_cast<const char*>(values) + i * size, static_cast<size_t>(size));
  return bits;
}

bool is_nan(int32_t dtype, uint64_t bits) {
  switch (dtype) {
    case LAYERWISE_DTYPE_FLOAT64:
      return (bits & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
    case LAYERWISE_DTYPE_FLOAT32:
      return (bits & 0x7fffffffu) > 0x7f800000u;
    case LAYERWISE_DTYPE_BFLOAT16:
      return (bits & 0x7fffu) > 0x7f80u;
    default:
      return (bits & 0x7fffu) > 0x7c00u;
  }
}

// The first of count elements that differ, or -1.
int64_t first_difference(int32_t dtype, const void* a, const void* b, int64_t count) {
  const int size = element_bytes(dtype);
  if (std::memcmp(a, b, static_cast<size_t>(count * size)) == 0) return -1;
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t left = bits_at(a, size, i), right = bits_at(b, size, i);
    if (left != right && !(is_nan(dtype, left) && is_nan(dtype, right))) return i;
  }
  return -1;
}

std::string describe(const char* name, int64_t layer, int64_t element, int32_t dtype, const void* device,
                     const void* host, int64_t i) {
  char text[200];
  std::snprintf(text, sizeof text, "%s, layer %lld, element %lld: bits %llx on the device, %llx on the CPU", name,
                static_cast<long long>(layer), static_cast<long long>(element),
                static_cast<unsigned long long>(bits_at(device, element_bytes(dtype), i)),
                static_cast<unsigned long long>(bits_at(host, element_bytes(dtype), i)));
  return text;
}

Layers chosen_layers(const Layers& layers, const std::vector<int64_t>& chosen) {
  std::vector<int64_t> sizes;
  for (const int64_t layer : chosen) sizes.push_back(layers.sizes[layer]);
  return Layers(std::move(sizes), layers.dtypes);
}

std::unique_ptr<char[]> host_memory(int64_t elements, int32_t dtype) {
  return std::unique_ptr<char[]>(new char[static_cast<size_t>(elements * element_bytes(dtype))]);
}

}  // namespace

Layers::Layers(std::vector<int64_t> layer_sizes, const BufferDtypes& of, int64_t gap)
    : sizes(std::move(layer_sizes)), dtypes(of) {
  for (const int64_t size : sizes) {
    offsets.push_back(extent);
    extent += size + gap;
  }
}

int64_t Layers::elements() const { return element_count(sizes); }

DeviceModel::DeviceModel(const Layers& layers, bool with_stats)
    : layers_(layers),
      weights_(layers.extent * element_bytes(layers.dtypes.weights)),
      grads_(layers.extent * element_bytes(layers.dtypes.grads)),
      moment_(layers.extent * element_bytes(layers.dtypes.moment)),
      second_moment_(static_cast<int64_t>(layers.sizes.size() * sizeof(float))),
      stats_(with_stats ? static_cast<int64_t>(layers.sizes.size() * LAYERWISE_STAT_COUNT * sizeof(double)) : 0),
      sums_(static_cast<int64_t>(2 * layers.sizes.size() * sizeof(double))) {}

int64_t DeviceModel::bytes(const Layers& layers) {
  const ElementBytes bytes = element_bytes(layers.dtypes);
  return layers.extent * (bytes.weight + bytes.grad + bytes.moment);
}

void DeviceModel::fill() {
  fill_device(weights_.get(), layers_.dtypes.weights, layers_.extent, kWeightSeed, kWeights);
  fill_device(grads_.get(), layers_.dtypes.grads, layers_.extent, kGradSeed, kGrads);
  fill_device(moment_.get(), layers_.dtypes.moment, layers_.extent, kMomentSeed, kMoments);
  const std::vector<float> second_moment(layers_.sizes.size(), kSecondMoment);
  BENCH_CUDA(cudaMemcpy, second_moment_.get(), second_moment.data(), second_moment.size() * sizeof(float),
             cudaMemcpyHostToDevice);
  if (stats_.get()) BENCH_CUDA(cudaMemset, stats_.get(), kPoison, static_cast<size_t>(stats_.bytes()));
  BENCH_CUDA(cudaMemset, sums_.get(), kPoison, static_cast<size_t>(sums_.bytes()));
  BENCH_CUDA(cudaDeviceSynchronize);
}

StepBuffers DeviceModel::buffers() const {
  double* const sums = static_cast<double*>(sums_.get());
  return {weights_.get(), grads_.get(), moment_.get(), static_cast<float*>(second_moment_.get()),
          static_cast<double*>(stats_.get()), sums, sums + layers_.sizes.size()};
}

CpuTwin::CpuTwin(const Layers& layers, std::vector<int64_t> chosen, bool with_stats)
    : layers_(layers),
      chosen_(std::move(chosen)),
      own_(chosen_layers(layers, chosen_)),
      weights_(host_memory(own_.extent, layers.dtypes.weights)),
      grads_(host_memory(own_.extent, layers.dtypes.grads)),
      moment_(host_memory(own_.extent, layers.dtypes.moment)),
      second_moment_(own_.sizes.size()),
      stats_(with_stats ? own_.sizes.size() * LAYERWISE_STAT_COUNT : 0),
      sums_(2 * own_.sizes.size()),
      plan_(own_.sizes, {layers.dtypes}) {}

int64_t CpuTwin::bytes(const Layers& layers, const std::vector<int64_t>& chosen) {
  return DeviceModel::bytes(chosen_layers(layers, chosen));
}

StepBuffers CpuTwin::buffers() {
  return {weights_.get(), grads_.get(), moment_.get(), second_moment_.data(), stats_.empty() ? nullptr : stats_.data(),
          sums_.data(), sums_.data() + own_.sizes.size()};
}

void CpuTwin::fill() {
  layerwise::Team team(layerwise::available_cores());
  const StepBuffers to = buffers();
  team.run([&](int thread) {
    for (size_t l = 0; l < chosen_.size(); ++l) {
      const int64_t size = own_.sizes[l], begin = size * thread / team.size(), end = size * (thread + 1) / team.size();
      const int64_t here = own_.offsets[l] + begin, there = layers_.offsets[chosen_[l]] + begin;
      const auto fill_buffer = [&](void* buffer, int32_t dtype, uint32_t seed, float amplitude) {
        fill_pattern(element_address(buffer, dtype, here), dtype, there, end - begin, seed, amplitude);
      };
      fill_buffer(to.weights, layers_.dtypes.weights, kWeightSeed, kWeights);
      fill_buffer(to.grads, layers_.dtypes.grads, kGradSeed, kGrads);
      fill_buffer(to.moment, layers_.dtypes.moment, kMomentSeed, kMoments);
    }
  });
  std::fill(second_moment_.begin(), second_moment_.end(), kSecondMoment);
  for (std::vector<double>* const table : {&stats_, &sums_})
    if (!table->empty()) std::memset(table->data(), kPoison, table->size() * sizeof(double));
}

void CpuTwin::take(const StepBuffers& device) {
  const auto copy = [](void* to, const void* from, int64_t bytes) {
    BENCH_CUDA(cudaMemcpy, to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost);
  };
  copy(weights_.get(), device.weights, own_.extent * element_bytes(layers_.dtypes.weights));
  copy(grads_.get(), device.grads, own_.extent * element_bytes(layers_.dtypes.grads));
  copy(moment_.get(), device.moment, own_.extent * element_bytes(layers_.dtypes.moment));
  copy(second_moment_.data(), device.second_moment, static_cast<int64_t>(second_moment_.size() * sizeof(float)));
  copy(sums_.data(), device.grad_sums, static_cast<int64_t>(sums_.size() * sizeof(double)));
  if (!stats_.empty()) copy(stats_.data(), device.stats, static_cast<int64_t>(stats_.size() * sizeof(double)));
}

// Buffers are compared layer by layer, through a piece of host memory.
std::string CpuTwin::layer_difference(const char* name, int32_t dtype, const void* device, const void* host,
                                      size_t at) const {
  const int size = element_bytes(dtype);
  const int64_t most = kStaging / size, count = own_.sizes[at];
  static const PinnedBuffer staging(kStaging);
  for (int64_t begin = 0; begin < count; begin += most) {
    const int64_t part = std::min(most, count - begin);
    const char* const from = static_cast<const char*>(device) + (layers_.offsets[chosen_[at]] + begin) * size;
    const char* const own = static_cast<const char*>(host) + (own_.offsets[at] + begin) * size;
    BENCH_CUDA(cudaMemcpy, staging.get(), from, static_cast<size_t>(part * size), cudaMemcpyDeviceToHost);
    const int64_t i = first_difference(dtype, staging.get(), own, part);
    if (i >= 0) return describe(name, chosen_[at], begin + i, dtype, staging.get(), own, i);
  }
  return "";
}

// One row of `width` float32 or float64 values a layer.
std::string CpuTwin::table_difference(const char* name, const void* device, const void* host, int64_t width,
                                      bool wide) const {
  const int32_t dtype = wide ? LAYERWISE_DTYPE_FLOAT64 : LAYERWISE_DTYPE_FLOAT32;
  const size_t row = static_cast<size_t>(width * element_bytes(dtype));
  std::vector<char> table(layers_.sizes.size() * row);
  BENCH_CUDA(cudaMemcpy, table.data(), device, table.size(), cudaMemcpyDeviceToHost);
  for (size_t l = 0; l < chosen_.size(); ++l) {
    const char* const from = table.data() + static_cast<size_t>(chosen_[l]) * row;
    const char* const own = static_cast<const char*>(host) + l * row;
    const int64_t i = first_difference(dtype, from, own, width);
    if (i >= 0) return describe(name, chosen_[l], i, dtype, from, own, i);
  }
  return "";
}

std::string CpuTwin::difference(const StepBuffers& device) const {
  check_device();
  for (size_t l = 0; l < chosen_.size(); ++l) {
    std::string found = layer_difference("weights", layers_.dtypes.weights, device.weights, weights_.get(), l);
    if (found.empty()) found = layer_difference("gradients", layers_.dtypes.grads, device.grads, grads_.get(), l);
    if (found.empty()) found = layer_difference("moment", layers_.dtypes.moment, device.moment, moment_.get(), l);
    if (!found.empty()) return found;
  }
  std::string found = table_difference("second moment", device.second_moment, second_moment_.data(), 1, false);
  if (found.empty()) found = table_difference("sums of gradients", device.grad_sums, sums_.data(), 1, true);
  if (found.empty())
    found = table_difference("sums of weights", device.weight_sums, sums_.data() + own_.sizes.size(), 1, true);
  if (!found.empty() || stats_.empty() || !device.stats) return found;
  return table_difference("statistics", device.stats, stats_.data(), LAYERWISE_STAT_COUNT, true);
}

std::vector<int64_t> all_layers(const Layers& layers) {
  std::vector<int64_t> chosen(layers.sizes.size());
  std::iota(chosen.begin(), chosen.end(), int64_t{0});
  return chosen;
}

std::vector<int64_t> some_layers(const Layers& layers, int64_t elements) {
  std::vector<int64_t> chosen;
  const int64_t count = static_cast<int64_t>(layers.sizes.size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t layer = i % 2 == 0 ? count - 1 - i / 2 : i / 2;
    if (layers.sizes[layer] > elements) continue;
    elements -= layers.sizes[layer];
    chosen.push_back(layer);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace bench
