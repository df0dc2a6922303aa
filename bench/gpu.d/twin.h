// A model's buffers on the device and the same for the CPU backend: filled alike, stepped alike, compared.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gpu.d/agreement.h"
#include "gpu.d/device.h"
#include "gpu.d/layers.h"

namespace bench {

// What the buffers are filled with repeats after so many elements. A prime, so that an address that is wrong by a power
// of two finds other values.
inline constexpr int64_t kPeriod = 16777213;

class DeviceModel {
 public:
  explicit DeviceModel(const Layers& layers, bool with_stats = false);

  // Weights, gradients and moments as the pattern has them, every second moment 1e-3; the weights' copy, statistics and
  // sums poisoned.
  void fill();
  StepBuffers buffers() const;
  // What a step is given: the buffers, or tables of where the layers lie in them.
  StepBuffers arguments() const;
  static int64_t bytes(const Layers& layers);

 private:
  DeviceBuffer table_of(const DeviceBuffer& buffer, int32_t dtype) const;

  const Layers layers_;
  const DeviceBuffer weights_, grads_, moment_, copy_, second_moment_, stats_, sums_;
  const DeviceBuffer weights_table_, grads_table_, moment_table_, copy_table_;  // of scattered layers
};

// The CPU's copy of some of the layers, all that is needed since a layer's result depends on that layer alone. The
// others are there without elements, so that every layer has its own number: random bits depend on it.
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

  // The first difference from the device's buffers; empty where there is none.
  std::string difference(const StepBuffers& device, Agreement agreement = Agreement::kSameBits) const;

 private:
  // Elements first, first + 1, ... of a chosen layer, from element `at` of the device's buffer on.
  struct Piece {
    int64_t layer, first, count, at;
  };
  std::vector<Piece> pieces(int64_t most) const;
  std::string buffer_difference(Agreement agreement, const char* name, int32_t dtype, const void* device,
                                const void* host) const;
  std::string table_difference(Agreement agreement, const char* name, int32_t dtype, const void* device,
                               const void* host, int64_t width = 1) const;

  const Layers& layers_;
  const std::vector<int64_t> chosen_;
  const Layers own_;  // one after the other
  const std::unique_ptr<char[]> weights_, grads_, moment_, copy_;
  std::vector<float> second_moment_;
  std::vector<double> stats_, sums_;
  const Plan plan_;
};

}  // namespace bench
