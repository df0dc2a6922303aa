// A model to step: a layout, its buffers and a plan for them, all through the C ABI.
#pragma once

#include <layerwise.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"
#include "split.h"

#define REQUIRE_OK(call)                                                           \
  do {                                                                             \
    const int32_t status_of_call = (call);                                         \
    INFO(layerwise_last_error());                                                  \
    REQUIRE(std::string(layerwise_status_name(status_of_call)) == "LAYERWISE_OK"); \
  } while (false)

namespace oracle {

struct Layout {
  std::vector<int64_t> sizes;
  std::vector<int64_t> offsets;  // empty: one layer after the other
  int32_t weights = LAYERWISE_DTYPE_FLOAT32;
  int32_t grads = LAYERWISE_DTYPE_FLOAT32;
  int32_t moment = LAYERWISE_DTYPE_FLOAT32;
  int32_t second_moment = LAYERWISE_DTYPE_FLOAT32;
  int32_t extra = LAYERWISE_DTYPE_NONE;
  int32_t threads = 1;
  int32_t isa = LAYERWISE_ISA_AUTO;
  int64_t shift = 0;  // of every buffer, in elements, from an aligned address
  bool scattered = false;
  bool mask_by_null = false;             // scattered: masked layers have NULL pointers instead of a mask
  std::vector<uint8_t> mask;             // empty: all take part
  std::vector<double> lr_mult, wd_mult;  // empty: 1
  std::vector<uint8_t> skip_larc;        // empty: 0

  bool split() const { return extra == LAYERWISE_DTYPE_REMAINDER16; }
  int64_t layers() const { return static_cast<int64_t>(sizes.size()); }
  int64_t extent() const {
    int64_t result = 0, end = 0;
    for (size_t l = 0; l < sizes.size(); ++l) {
      end = (offsets.empty() ? end : offsets[l]) + sizes[l];
      result = std::max(result, end);
    }
    return result;
  }
  // Offsets spelled out, whether given or not.
  std::vector<int64_t> begins() const {
    if (!offsets.empty()) return offsets;
    std::vector<int64_t> result;
    int64_t sum = 0;
    for (int64_t size : sizes) result.push_back(sum), sum += size;
    return result;
  }
};

struct DestroyPlan {
  void operator()(layerwise_plan* plan) const { layerwise_plan_destroy(plan); }
};
using PlanHandle = std::shared_ptr<layerwise_plan>;

inline layerwise_plan_options plan_options(const Layout& layout) {
  layerwise_plan_options options;
  REQUIRE_OK(layerwise_plan_options_init(&options, sizeof options));
  options.layer_count = layout.layers();
  options.sizes = layout.sizes.data();
  options.offsets = layout.offsets.empty() || layout.scattered ? nullptr : layout.offsets.data();
  options.layout = layout.scattered ? LAYERWISE_LAYOUT_SCATTERED : LAYERWISE_LAYOUT_PACKED;
  options.weights_dtype = layout.weights;
  options.grads_dtype = layout.grads;
  options.first_moment_dtype = layout.moment;
  options.second_moment_dtype = layout.second_moment;
  options.weights_extra_dtype = layout.extra;
  options.threads = layout.threads;
  options.isa = layout.isa;
  return options;
}

inline PlanHandle create_plan(const layerwise_plan_options& options) {
  layerwise_plan* plan = nullptr;
  REQUIRE_OK(layerwise_plan_create(&options, &plan));
  return PlanHandle(plan, DestroyPlan());
}

class Model {
 public:
  Layout layout;
  Buffer weights, grads, moment, second_moment, max_second_moment, extra;
  std::vector<double> stats;  // empty: none asked for
  PlanHandle plan;

  explicit Model(Layout described) : layout(std::move(described)) {
    const int64_t extent = layout.extent();
    weights = Buffer(layout.weights, extent, layout.shift);
    grads = Buffer(layout.grads, extent, layout.shift);
    moment = Buffer(layout.moment, extent, layout.shift);
    moment.fill(0);
    second_moment = Buffer(layout.second_moment, layout.layers());
    second_moment.fill(0);
    max_second_moment = second_moment;
    if (layout.extra != LAYERWISE_DTYPE_NONE) extra = Buffer(layout.extra, extent, layout.shift);
    if (layout.split()) extra.fill(0);
    stats.assign(static_cast<size_t>(layout.layers()) * LAYERWISE_STAT_COUNT, -7);
    plan = create_plan(plan_options(layout));
    set_layers(layout);
  }

  // Takes the per-layer options of another layout of the same layers.
  void set_layers(const Layout& other) {
    layout.lr_mult = other.lr_mult, layout.wd_mult = other.wd_mult, layout.skip_larc = other.skip_larc;
    layerwise_layer_options options;
    REQUIRE_OK(layerwise_layer_options_init(&options, sizeof options));
    options.lr_mult = layout.lr_mult.empty() ? nullptr : layout.lr_mult.data();
    options.wd_mult = layout.wd_mult.empty() ? nullptr : layout.wd_mult.data();
    options.skip_larc = layout.skip_larc.empty() ? nullptr : layout.skip_larc.data();
    REQUIRE_OK(layerwise_plan_set_layers(plan.get(), &options));
  }

  // The same state under another layout's plan; buffers keep their contents.
  void replace_plan(const Layout& other) {
    plan = create_plan(plan_options(other));
    const std::vector<uint8_t> mask = layout.mask;
    Layout kept = other;
    kept.mask = mask;
    layout = kept;
    set_layers(kept);
  }

  int32_t novograd(const layerwise_novograd_options& options) {
    Tables tables(*this);
    return novograd_step(plan.get(), tables.of(weights), tables.of(grads), tables.of(moment), second_moment.data(),
                         options.amsgrad ? max_second_moment.data() : nullptr, tables.of(extra), mask(), statistics(),
                         &options, nullptr);
  }
  int32_t larc_scale(const layerwise_larc_options& options) {
    Tables tables(*this);
    return ::larc_scale(plan.get(), tables.of(weights), tables.of(grads), mask(), statistics(), &options, nullptr);
  }
  int32_t larc_sgd(const layerwise_larc_options& larc, const layerwise_sgd_options& sgd) {
    Tables tables(*this);
    return larc_sgd_step(plan.get(), tables.of(weights), tables.of(grads),
                         sgd.momentum == 0 ? nullptr : tables.of(moment), tables.of(extra), mask(), statistics(), &larc,
                         &sgd, nullptr);
  }

  int32_t larc_novograd(const layerwise_larc_options& larc, const layerwise_novograd_options& options) {
    Tables tables(*this);
    return layerwise_larc_novograd_step(plan.get(), tables.of(weights), tables.of(grads), tables.of(moment),
                                        second_moment.data(), options.amsgrad ? max_second_moment.data() : nullptr,
                                        tables.of(extra), mask(), statistics(), &larc, &options, nullptr);
  }

  // The same in two halves: the sums, then the step from them.
  struct Sums {
    std::vector<double> grads, weights;
    explicit Sums(const Layout& layout) : grads(static_cast<size_t>(layout.layers()), -7), weights(grads) {}
  };
  // joins: split weights are summed with their remainders.
  int32_t partial_norms(Sums& sums, bool of_weights, int32_t norm, bool joins = true) {
    Tables tables(*this);
    return layerwise_partial_norms(plan.get(), tables.of(weights),
                                   layout.split() && of_weights && joins ? tables.of(extra) : nullptr, tables.of(grads),
                                   mask(), sums.grads.data(), of_weights ? sums.weights.data() : nullptr,
                                   LAYERWISE_SUMS_LAYERS, norm, nullptr);
  }
  int32_t novograd_apply(const Sums& sums, const layerwise_novograd_options& options) {
    Tables tables(*this);
    return layerwise_novograd_apply(plan.get(), tables.of(weights), tables.of(grads), tables.of(moment),
                                    second_moment.data(), options.amsgrad ? max_second_moment.data() : nullptr,
                                    tables.of(extra), mask(), statistics(), sums.grads.data(), LAYERWISE_SUMS_LAYERS,
                                    &options, nullptr);
  }
  int32_t larc_novograd_apply(const Sums& sums, const layerwise_larc_options& larc,
                              const layerwise_novograd_options& options) {
    Tables tables(*this);
    return layerwise_larc_novograd_apply(plan.get(), tables.of(weights), tables.of(grads), tables.of(moment),
                                         second_moment.data(), options.amsgrad ? max_second_moment.data() : nullptr,
                                         tables.of(extra), mask(), statistics(), sums.grads.data(), sums.weights.data(),
                                         LAYERWISE_SUMS_LAYERS, &larc, &options, nullptr);
  }
  // sgd: null for larc_scale.
  int32_t larc_apply(const Sums& sums, const layerwise_larc_options& larc, const layerwise_sgd_options* sgd) {
    Tables tables(*this);
    return layerwise_larc_apply(plan.get(), tables.of(weights), tables.of(grads),
                                sgd && sgd->momentum != 0 ? tables.of(moment) : nullptr,
                                sgd ? tables.of(extra) : nullptr, mask(), statistics(), sums.grads.data(),
                                sums.weights.data(), LAYERWISE_SUMS_LAYERS, &larc, sgd, nullptr);
  }

  bool takes_part(int64_t layer) const {
    const size_t l = static_cast<size_t>(layer);
    return (layout.mask.empty() || layout.mask[l] != 0) && layout.sizes[l] > 0;
  }
  // A weight as steps see it, remainder included.
  double weight(int64_t i) const {
    if (!layout.split()) return weights.get(i);
    return joined(static_cast<uint16_t>(weights.bits(i)), static_cast<uint16_t>(extra.bits(i)));
  }
  void set_weight(int64_t i, long double value) {
    if (!layout.split()) return weights.set(i, value);
    const Halves halves = split_of(static_cast<float>(value));
    std::memcpy(weights.at(i), &halves.weight, 2);
    std::memcpy(extra.at(i), &halves.remainder, 2);
  }
  std::vector<double> statistics(int column) const {
    std::vector<double> result;
    for (size_t i = static_cast<size_t>(column); i < stats.size(); i += LAYERWISE_STAT_COUNT)
      result.push_back(stats[i]);
    return result;
  }
  bool same_bits(const Model& other) const {
    return weights == other.weights && grads == other.grads && moment == other.moment &&
           second_moment == other.second_moment && max_second_moment == other.max_second_moment &&
           extra == other.extra && stats.size() == other.stats.size() &&
           std::memcmp(stats.data(), other.stats.data(), stats.size() * sizeof(double)) == 0;
  }

 private:
  double* statistics() { return stats.empty() ? nullptr : stats.data(); }
  const uint8_t* mask() const {
    return layout.mask.empty() || (layout.scattered && layout.mask_by_null) ? nullptr : layout.mask.data();
  }

  // What a buffer argument is: the buffer, or a table of one pointer a layer.
  struct Tables {
    explicit Tables(Model& owner) : model(owner), begins(owner.layout.begins()) {}
    void* of(Buffer& buffer) {
      if (!buffer.present() || !model.layout.scattered) return buffer.data();
      held.emplace_back();
      held.back().reserve(1);  // a table of no layers has an address too
      const Layout& layout = model.layout;
      for (size_t l = 0; l < layout.sizes.size(); ++l) {
        const bool left_out = layout.mask_by_null && !layout.mask.empty() && layout.mask[l] == 0;
        held.back().push_back(left_out ? nullptr : buffer.at(begins[l]));
      }
      return held.back().data();
    }
    Model& model;
    std::vector<int64_t> begins;
    std::vector<std::vector<void*>> held;
  };
};

}  // namespace oracle
