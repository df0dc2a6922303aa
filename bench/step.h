// A plan that cleans up after itself, and one step of any op through the C ABI.
#pragma once

#include <cstdint>
#include <vector>

#include "dtypes.h"

namespace bench {

struct PlanSettings {
  BufferDtypes dtypes{kF32, kF32, kF32};
  int32_t device = LAYERWISE_DEVICE_CPU;
  int32_t threads = 0;
  int32_t isa = LAYERWISE_ISA_AUTO;
  int32_t layout = LAYERWISE_LAYOUT_PACKED;
  const int64_t* offsets = nullptr;
  int32_t path = 0;
  int64_t multiprocessors = 0;
  int64_t experimental = 0;
};

// Throws std::runtime_error with the library's words where it refuses.
class Plan {
 public:
  Plan(const std::vector<int64_t>& sizes, const PlanSettings& settings);
  ~Plan() { layerwise_plan_destroy(plan_); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  layerwise_plan* get() const { return plan_; }
  int64_t query(int32_t key) const;

 private:
  layerwise_plan* plan_ = nullptr;
};

struct StepBuffers {
  void* weights = nullptr;
  void* grads = nullptr;
  void* moment = nullptr;
  float* second_moment = nullptr;
  double* stats = nullptr;
  double* grad_sums = nullptr;  // of the apply ops
  double* weight_sums = nullptr;
  void* copy = nullptr;  // of the weights, where the plan has one
};

// What may change from step to step; the rest is the library's default.
struct StepSettings {
  double lr = 1e-6;
  int64_t step = 2;  // where there is no step_ptr
  const float* lr_ptr = nullptr;
  const float* grad_scale_ptr = nullptr;
  const float* found_inf = nullptr;
  int64_t* step_ptr = nullptr;  // advanced by the step
  int64_t* nonfinite_layers = nullptr;
  int32_t rounding = LAYERWISE_ROUNDING_NEAREST;  // of the moment
};

// Both throw std::runtime_error with the library's words where it refuses.
// The first half of a step: the norms that this op needs.
void partial_norms(Op op, const Plan& plan, const StepBuffers& buffers, void* stream = nullptr);
void step(Op op, const Plan& plan, const StepBuffers& buffers, const StepSettings& settings, void* stream = nullptr);

}  // namespace bench
