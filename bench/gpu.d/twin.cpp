#include "gpu.d/twin.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "cpu/cores.h"
#include "cpu/threads.h"

namespace bench {
namespace {

// What a buffer is filled with: zeros where the amplitude is 0.
struct Pattern {
  uint32_t seed;
  float amplitude;
};
constexpr Pattern kWeights{1, 0.05f}, kGrads{2, 0.01f}, kMoments{3, 0.001f}, kZeros{0, 0};
constexpr float kSecondMoment = 1e-3f;
constexpr int kPoison = 0x7b;
constexpr int64_t kStaging = 64 << 20;  // bytes
constexpr int64_t kNeighbours = 4096;   // elements between layers that are copied together

const Pattern& pattern_of_grads(const Layers& layers) { return layers.zero_grads ? kZeros : kGrads; }

void fill_pattern(void* to, int32_t dtype, int64_t first, int64_t count, const Pattern& pattern) {
  if (pattern.amplitude == 0) {
    std::memset(to, 0, static_cast<size_t>(count * element_bytes(dtype)));
    return;
  }
  while (count > 0) {
    const int64_t at = first % kPeriod, part = std::min(count, kPeriod - at);
    fill_values(to, dtype, at, part, pattern.seed, pattern.amplitude);
    to = element_address(to, dtype, part);
    first += part;
    count -= part;
  }
}

// The first elements of a pattern, kept: the buffers of a row are filled several times, each of many rows.
const char* elements_of(const Pattern& pattern, int32_t dtype, int64_t count) {
  static std::map<std::pair<uint32_t, int32_t>, std::vector<char>> made;
  std::vector<char>& kept = made[{pattern.seed, dtype}];
  const int64_t size = element_bytes(dtype), before = static_cast<int64_t>(kept.size()) / size;
  if (before < count) {
    kept.resize(static_cast<size_t>(count * size));
    fill_pattern(kept.data() + before * size, dtype, before, count - before, pattern);
  }
  return kept.data();
}

// One period from the host, then copies of what is there already.
void fill_device(void* to, int32_t dtype, int64_t count, const Pattern& pattern) {
  const int64_t period = std::min(count, kPeriod), size = element_bytes(dtype);
  if (count == 0) return;
  BENCH_CUDA(cudaMemcpy, to, elements_of(pattern, dtype, period), static_cast<size_t>(period * size),
             cudaMemcpyHostToDevice);
  for (int64_t done = period; done < count;) {
    const int64_t part = std::min(done, count - done);
    BENCH_CUDA(cudaMemcpy, element_address(to, dtype, done), to, static_cast<size_t>(part * size),
               cudaMemcpyDeviceToDevice);
    done += part;
  }
  BENCH_CUDA(cudaDeviceSynchronize);  // copies within the device return before they are done
}

Layers without_others(const Layers& layers, const std::vector<int64_t>& chosen) {
  std::vector<int64_t> sizes(layers.sizes.size());
  for (const int64_t layer : chosen) sizes[layer] = layers.sizes[layer];
  return Layers(std::move(sizes), layers.dtypes);
}

std::unique_ptr<char[]> host_memory(int64_t elements, int32_t dtype) {
  return std::unique_ptr<char[]>(new char[static_cast<size_t>(elements * element_bytes(dtype))]);
}

int64_t per_layer(const Layers& layers, size_t bytes) { return static_cast<int64_t>(layers.sizes.size() * bytes); }

}  // namespace

DeviceModel::DeviceModel(const Layers& layers, bool with_stats)
    : layers_(layers),
      weights_(layers.extent * element_bytes(layers.dtypes.weights)),
      grads_(layers.extent * element_bytes(layers.dtypes.grads)),
      moment_(layers.extent * element_bytes(layers.dtypes.moment)),
      copy_(layers.extent * element_bytes(layers.dtypes.copy)),
      second_moment_(per_layer(layers, sizeof(float))),
      stats_(with_stats ? per_layer(layers, LAYERWISE_STAT_COUNT * sizeof(double)) : 0),
      sums_(per_layer(layers, 2 * sizeof(double))),
      weights_table_(table_of(weights_, layers.dtypes.weights)),
      grads_table_(table_of(grads_, layers.dtypes.grads)),
      moment_table_(table_of(moment_, layers.dtypes.moment)),
      copy_table_(table_of(copy_, layers.dtypes.copy)) {}

DeviceBuffer DeviceModel::table_of(const DeviceBuffer& buffer, int32_t dtype) const {
  if (!layers_.scattered || !buffer.get()) return {};
  std::vector<void*> pointers;
  for (const int64_t offset : layers_.offsets) pointers.push_back(element_address(buffer.get(), dtype, offset));
  DeviceBuffer table(static_cast<int64_t>(pointers.size() * sizeof(void*)));
  BENCH_CUDA(cudaMemcpy, table.get(), pointers.data(), pointers.size() * sizeof(void*), cudaMemcpyHostToDevice);
  return table;
}

int64_t DeviceModel::bytes(const Layers& layers) {
  const ElementBytes bytes = element_bytes(layers.dtypes);
  return layers.extent * (bytes.weight + bytes.grad + bytes.moment + bytes.copy);
}

void DeviceModel::fill() {
  fill_device(weights_.get(), layers_.dtypes.weights, layers_.extent, kWeights);
  fill_device(grads_.get(), layers_.dtypes.grads, layers_.extent, pattern_of_grads(layers_));
  fill_device(moment_.get(), layers_.dtypes.moment, layers_.extent, kMoments);
  const std::vector<float> second_moment(layers_.sizes.size(), kSecondMoment);
  BENCH_CUDA(cudaMemcpy, second_moment_.get(), second_moment.data(), second_moment.size() * sizeof(float),
             cudaMemcpyHostToDevice);
  for (const DeviceBuffer* const unread : {&copy_, &stats_, &sums_})
    if (unread->get()) BENCH_CUDA(cudaMemset, unread->get(), kPoison, static_cast<size_t>(unread->bytes()));
  BENCH_CUDA(cudaDeviceSynchronize);
}

StepBuffers DeviceModel::buffers() const {
  double* const sums = static_cast<double*>(sums_.get());
  return {weights_.get(),
          grads_.get(),
          moment_.get(),
          static_cast<float*>(second_moment_.get()),
          static_cast<double*>(stats_.get()),
          sums,
          sums + layers_.sizes.size(),
          copy_.get()};
}

StepBuffers DeviceModel::arguments() const {
  StepBuffers given = buffers();
  if (!layers_.scattered) return given;
  given.weights = weights_table_.get(), given.grads = grads_table_.get();
  given.moment = moment_table_.get(), given.copy = copy_table_.get();
  return given;
}

CpuTwin::CpuTwin(const Layers& layers, std::vector<int64_t> chosen, bool with_stats)
    : layers_(layers),
      chosen_(std::move(chosen)),
      own_(without_others(layers, chosen_)),
      weights_(host_memory(own_.extent, layers.dtypes.weights)),
      grads_(host_memory(own_.extent, layers.dtypes.grads)),
      moment_(host_memory(own_.extent, layers.dtypes.moment)),
      copy_(host_memory(own_.extent, layers.dtypes.copy)),
      second_moment_(own_.sizes.size()),
      stats_(with_stats ? own_.sizes.size() * LAYERWISE_STAT_COUNT : 0),
      sums_(2 * own_.sizes.size()),
      plan_(own_.sizes, {layers.dtypes}) {}

int64_t CpuTwin::bytes(const Layers& layers, const std::vector<int64_t>& chosen) {
  return DeviceModel::bytes(without_others(layers, chosen));
}

StepBuffers CpuTwin::buffers() {
  return {weights_.get(),
          grads_.get(),
          moment_.get(),
          second_moment_.data(),
          stats_.empty() ? nullptr : stats_.data(),
          sums_.data(),
          sums_.data() + own_.sizes.size(),
          layers_.dtypes.copy == LAYERWISE_DTYPE_NONE ? nullptr : copy_.get()};
}

void CpuTwin::fill() {
  const StepBuffers to = buffers();
  layerwise::Threads().run(layerwise::available_cores(), [&](layerwise::Member member) {
    for (const int64_t layer : chosen_) {
      const int64_t size = own_.sizes[layer], begin = size * member.thread / member.size,
                    end = size * (member.thread + 1) / member.size;
      const int64_t here = own_.offsets[layer] + begin, there = layers_.offsets[layer] + begin;
      const auto fill_buffer = [&](void* buffer, int32_t dtype, const Pattern& pattern) {
        fill_pattern(element_address(buffer, dtype, here), dtype, there, end - begin, pattern);
      };
      fill_buffer(to.weights, layers_.dtypes.weights, kWeights);
      fill_buffer(to.grads, layers_.dtypes.grads, pattern_of_grads(layers_));
      fill_buffer(to.moment, layers_.dtypes.moment, kMoments);
    }
  });
  std::fill(second_moment_.begin(), second_moment_.end(), kSecondMoment);
  std::memset(copy_.get(), kPoison, static_cast<size_t>(own_.extent * element_bytes(layers_.dtypes.copy)));
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

std::vector<CpuTwin::Piece> CpuTwin::pieces(int64_t most) const {
  std::vector<Piece> pieces;
  for (const int64_t layer : chosen_)
    for (int64_t first = 0; first < own_.sizes[layer]; first += most)
      pieces.push_back({layer, first, std::min(most, own_.sizes[layer] - first), layers_.offsets[layer] + first});
  return pieces;
}

std::string CpuTwin::buffer_difference(Agreement agreement, const char* name, int32_t dtype, const void* device,
                                       const void* host) const {
  if (dtype == LAYERWISE_DTYPE_NONE) return "";
  static const PinnedBuffer staging(kStaging);
  const int64_t size = element_bytes(dtype), most = kStaging / size;
  const std::vector<Piece> all = pieces(most);
  for (size_t i = 0; i < all.size();) {
    // Neighbours in one copy: one a layer takes longer than all else where layers are small.
    const int64_t begin = all[i].at;
    size_t next = i;
    int64_t end = begin;
    for (; next < all.size() && all[next].at - end <= kNeighbours && all[next].at + all[next].count - begin <= most;
         ++next)
      end = all[next].at + all[next].count;
    BENCH_CUDA(cudaMemcpy, staging.get(), static_cast<const char*>(device) + begin * size,
               static_cast<size_t>((end - begin) * size), cudaMemcpyDeviceToHost);
    for (; i < next; ++i) {
      const char* const from = static_cast<const char*>(staging.get()) + (all[i].at - begin) * size;
      const char* const own = static_cast<const char*>(host) + (own_.offsets[all[i].layer] + all[i].first) * size;
      const int64_t at = first_difference(agreement, dtype, from, own, all[i].count);
      if (at >= 0) return describe(name, all[i].layer, all[i].first + at, dtype, from, own, at);
    }
  }
  return "";
}

// One row of `width` float32 or float64 values a layer.
std::string CpuTwin::table_difference(Agreement agreement, const char* name, int32_t dtype, const void* device,
                                      const void* host, int64_t width) const {
  const size_t row = static_cast<size_t>(width * element_bytes(dtype));
  std::vector<char> table(layers_.sizes.size() * row);
  BENCH_CUDA(cudaMemcpy, table.data(), device, table.size(), cudaMemcpyDeviceToHost);
  for (const int64_t layer : chosen_) {
    const char* const from = table.data() + static_cast<size_t>(layer) * row;
    const char* const own = static_cast<const char*>(host) + static_cast<size_t>(layer) * row;
    const int64_t i = first_difference(agreement, dtype, from, own, width);
    if (i >= 0) return describe(name, layer, i, dtype, from, own, i);
  }
  return "";
}

std::string CpuTwin::difference(const StepBuffers& device, Agreement agreement) const {
  constexpr int32_t kF64 = LAYERWISE_DTYPE_FLOAT64;
  check_device();
  const BufferDtypes& of = layers_.dtypes;
  std::string found = buffer_difference(agreement, "weights", of.weights, device.weights, weights_.get());
  if (found.empty()) found = buffer_difference(agreement, "gradients", of.grads, device.grads, grads_.get());
  if (found.empty()) found = buffer_difference(agreement, "moment", of.moment, device.moment, moment_.get());
  if (found.empty()) found = buffer_difference(agreement, "copy of the weights", of.copy, device.copy, copy_.get());
  if (found.empty())
    found = table_difference(agreement, "second moment", kF32, device.second_moment, second_moment_.data());
  if (found.empty()) found = table_difference(agreement, "sums of gradients", kF64, device.grad_sums, sums_.data());
  if (found.empty())
    found = table_difference(agreement, "sums of weights", kF64, device.weight_sums, sums_.data() + own_.sizes.size());
  if (!found.empty() || stats_.empty() || !device.stats) return found;
  return table_difference(agreement, "statistics", kF64, device.stats, stats_.data(), LAYERWISE_STAT_COUNT);
}

}  // namespace bench
