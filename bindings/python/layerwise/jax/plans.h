// Plans of the handlers: made at the first call of a layout, kept for the next.
#pragma once

#include <layerwise.h>

#include <compare>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace layerwise_jax {

inline void check(int32_t status) {
  if (status != LAYERWISE_OK)
    throw std::runtime_error(std::string(layerwise_last_error()) + " [" + layerwise_status_name(status) + "]");
}

struct Layout {
  int32_t device = LAYERWISE_DEVICE_CPU;
  void* stream = nullptr;  // a plan serves one stream at a time
  int32_t weights = LAYERWISE_DTYPE_FLOAT32, grads = weights, first_moment = weights, second_moment = weights;
  std::vector<int64_t> sizes;
  std::vector<double> lr_mult, wd_mult;
  std::vector<uint8_t> skip_larc;
  auto operator<=>(const Layout&) const = default;
};

inline layerwise_plan* create(const Layout& layout) {
  layerwise_plan_options options;
  check(layerwise_plan_options_init(&options, sizeof options));
  options.layer_count = static_cast<int64_t>(layout.sizes.size());
  options.sizes = layout.sizes.data();
  options.device = layout.device;
  options.layout = LAYERWISE_LAYOUT_SCATTERED;
  options.weights_dtype = layout.weights;
  options.grads_dtype = layout.grads;
  options.first_moment_dtype = layout.first_moment;
  options.second_moment_dtype = layout.second_moment;
  layerwise_layer_options layers;
  check(layerwise_layer_options_init(&layers, sizeof layers));
  layers.lr_mult = layout.lr_mult.data();
  layers.wd_mult = layout.wd_mult.data();
  layers.skip_larc = layout.skip_larc.data();
  layerwise_plan* plan = nullptr;
  check(layerwise_plan_create(&options, &plan));
  const int32_t status = layerwise_plan_set_layers(plan, &layers);
  if (status != LAYERWISE_OK) layerwise_plan_destroy(plan);  // which keeps the message
  check(status);
  return plan;
}

// A plan that no other call uses while this lives; calls of the same layout at the same time get one each.
class BorrowedPlan {
 public:
  explicit BorrowedPlan(const Layout& layout) : layout_(layout) {
    {
      std::lock_guard lock(pool().mutex);
      std::vector<layerwise_plan*>& idle = pool().idle[layout];
      if (!idle.empty()) {
        plan_ = idle.back();
        idle.pop_back();
        return;
      }
    }
    plan_ = create(layout);
  }
  BorrowedPlan(const BorrowedPlan&) = delete;
  ~BorrowedPlan() {
    std::lock_guard lock(pool().mutex);
    pool().idle[layout_].push_back(plan_);
  }
  layerwise_plan* get() const { return plan_; }

 private:
  struct Pool {
    std::mutex mutex;
    std::map<Layout, std::vector<layerwise_plan*>> idle;
  };
  static Pool& pool() {
    static Pool* const pool = new Pool;  // never destroyed: the process may end while a step runs
    return *pool;
  }

  const Layout& layout_;
  layerwise_plan* plan_ = nullptr;
};

}  // namespace layerwise_jax
