// A model's buffers on the device and the same for the CPU backend: filled alike, stepped alike, compared bit by bit.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gpu.d/device.h"
#include "step.h"

namespace bench {

// Packed layers; element i of a layer is element offsets[layer] + i of every buffer.
struct Layers {
  std::vector<int64_t> sizes, offsets;
  int64_t extent = 0;  // elements of a buffer
  BufferDtypes dtypes{kF32, kF32, kF32};

  // One after the other, `gap` elements apart.
  Layers(std::vector<int64_t> layer_sizes, const BufferDtypes& of, int64_t gap = 0);
  int64_t elements() const;
};

// What the buffers are filled with repeats after so many elements. A prime, so that an address that is wrong by a power
// of two finds other values.
inline constexpr int64_t kPeriod = 16777213;

class DeviceModel {
 public:
  explicit DeviceModel(const Layers& layers, bool with_stats = false);

  // Weights, gradients and moments as the pattern has them, every second moment 1e-3, statistics and sums poisoned.
  void fill();
  StepBuffers buffers() const;
  static int64_t bytes(const Layers& layers);

 private:
  const Layers layers_;
  const DeviceBuffer weights_, grads_, moment_, second_moment_, stats_, sums_;
};

// The CPU's copy of some of the layers, all that is needed since a layer's result depends on that layer alone.
class CpuTwin {
 public:
  CpuTwin(const Layers& layers, std::vector<int64_t> chosen, bool with_stats = false);

  void fill();
  void step(Op op, const StepSettings& settings) { bench::step(op, plan_, buffers(), settings); }
  void partial_norms(Op op) { bench::partial_norms(op, plan_, buffers()); }
  // Packed like the device's when every layer is chosen and there are no gaps.
  StepBuffers buffers();
  // What a device has, in the place of its own. Every layer is chosen, and there are no gaps.
  void take(const StepBuffers& device);
  static int64_t bytes(const Layers& layers, const std::vector<int64_t>& chosen);

  // The first difference from the device's buffers, NaN equal to any NaN; empty where there is none.
  std::string difference(const StepBuffers& device) const;

 private:
  std::string layer_difference(const char* name, int32_t dtype, const void* device, const void* host, size_t at) const;
  std::string table_difference(const char* name, const void* device, const void* host, int64_t width, bool wide) const;

  const Layers& layers_;
  const std::vector<int64_t> chosen_;
  const Layers own_;  // the chosen layers, one after the other
  const std::unique_ptr<char[]> weights_, grads_, moment_;
  std::vector<float> second_moment_;
  std::vector<double> stats_, sums_;
  const Plan plan_;
};

std::vector<int64_t> all_layers(const Layers& layers);
// As many layers as fit into `elements`, from both ends of the buffer inwards.
std::vector<int64_t> some_layers(const Layers& layers, int64_t elements);

}  // namespace bench
