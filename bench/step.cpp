#include "step.h"

#include <stdexcept>
#include <string>

namespace bench {
namespace {

void check(int32_t status, const char* call) {
  if (status == LAYERWISE_OK) return;
  throw std::runtime_error(std::string(call) + ": " + layerwise_status_name(status) + ": " + layerwise_last_error());
}

bool applies_sgd(Op op) { return op == Op::kLarcSgd || op == Op::kLarcSgdApply; }

layerwise_larc_options default_larc() {
  layerwise_larc_options options;
  check(layerwise_larc_options_init(&options, sizeof options), "layerwise_larc_options_init");
  return options;
}

layerwise_larc_options larc_options(Op op, const StepSettings& settings) {
  layerwise_larc_options options = default_larc();
  options.lr = settings.lr;
  options.weight_decay = applies_sgd(op) ? 1e-4 : 0;
  options.lr_ptr = settings.lr_ptr;
  options.grad_scale_ptr = settings.grad_scale_ptr;
  options.found_inf = settings.found_inf;
  options.nonfinite_layers = settings.nonfinite_layers;
  options.rounding = settings.rounding;
  return options;
}

layerwise_novograd_options novograd_options(const StepSettings& settings) {
  layerwise_novograd_options options;
  check(layerwise_novograd_options_init(&options, sizeof options), "layerwise_novograd_options_init");
  options.lr = settings.lr;
  options.step = settings.step_ptr ? 0 : settings.step;
  options.lr_ptr = settings.lr_ptr;
  options.grad_scale_ptr = settings.grad_scale_ptr;
  options.found_inf = settings.found_inf;
  options.nonfinite_layers = settings.nonfinite_layers;
  options.step_ptr = settings.step_ptr;
  options.advance_step = settings.step_ptr != nullptr;
  options.rounding = settings.rounding;
  options.bias_correction = settings.step_ptr != nullptr;  // so that the counter can be seen in the result
  return options;
}

layerwise_sgd_options sgd_options(const StepSettings& settings) {
  layerwise_sgd_options options;
  check(layerwise_sgd_options_init(&options, sizeof options), "layerwise_sgd_options_init");
  options.step = settings.step_ptr ? 0 : settings.step;
  options.step_ptr = settings.step_ptr;
  options.advance_step = settings.step_ptr != nullptr;
  return options;
}

void novograd(Op op, layerwise_plan* plan, const StepBuffers& at, const StepSettings& settings, void* stream) {
  const layerwise_novograd_options options = novograd_options(settings);
  const layerwise_larc_options larc = default_larc();
  const int32_t status =
      op == Op::kNovogradApply
          ? layerwise_novograd_apply(plan, at.weights, at.grads, at.moment, at.second_moment, nullptr, at.copy, nullptr,
                                     at.stats, at.grad_sums, LAYERWISE_SUMS_LAYERS, &options, stream)
      : op == Op::kLarcNovograd
          ? layerwise_larc_novograd_step(plan, at.weights, at.grads, at.moment, at.second_moment, nullptr, at.copy,
                                         nullptr, at.stats, &larc, &options, stream)
          : novograd_step(plan, at.weights, at.grads, at.moment, at.second_moment, nullptr, at.copy, nullptr, at.stats,
                          &options, stream);
  check(status, name_of(op));
}

void larc(Op op, layerwise_plan* plan, const StepBuffers& at, const StepSettings& settings, void* stream) {
  const layerwise_larc_options options = larc_options(op, settings);
  const layerwise_sgd_options sgd = sgd_options(settings);
  void *const moment = applies_sgd(op) ? at.moment : nullptr, *const copy = applies_sgd(op) ? at.copy : nullptr;
  const int32_t status =
      is_apply(op) ? layerwise_larc_apply(plan, at.weights, at.grads, moment, copy, nullptr, at.stats, at.grad_sums,
                                          at.weight_sums, LAYERWISE_SUMS_LAYERS, &options,
                                          applies_sgd(op) ? &sgd : nullptr, stream)
      : applies_sgd(op)
          ? larc_sgd_step(plan, at.weights, at.grads, moment, copy, nullptr, at.stats, &options, &sgd, stream)
          : larc_scale(plan, at.weights, at.grads, nullptr, at.stats, &options, stream);
  check(status, name_of(op));
}

}  // namespace

Plan::Plan(const std::vector<int64_t>& sizes, const PlanSettings& settings) {
  layerwise_plan_options options;
  check(layerwise_plan_options_init(&options, sizeof options), "layerwise_plan_options_init");
  options.layer_count = static_cast<int64_t>(sizes.size());
  options.sizes = sizes.data();
  options.offsets = settings.offsets;
  options.device = settings.device;
  options.layout = settings.layout;
  options.weights_dtype = settings.dtypes.weights;
  options.grads_dtype = settings.dtypes.grads;
  options.first_moment_dtype = settings.dtypes.moment;
  options.weights_extra_dtype = settings.dtypes.copy;
  options.threads = settings.threads;
  options.isa = settings.isa;
  options.path = settings.path;
  options.multiprocessors = settings.multiprocessors;
  options.experimental = settings.experimental;
  check(layerwise_plan_create(&options, &plan_), "layerwise_plan_create");
}

int64_t Plan::query(int32_t key) const {
  int64_t value = 0;
  check(layerwise_plan_query(plan_, key, &value), "layerwise_plan_query");
  return value;
}

void partial_norms(Op op, const Plan& plan, const StepBuffers& buffers, void* stream) {
  check(layerwise_partial_norms(plan.get(), buffers.weights, nullptr, buffers.grads, nullptr, buffers.grad_sums,
                                needs_weight_norms(op) ? buffers.weight_sums : nullptr, LAYERWISE_SUMS_LAYERS,
                                LAYERWISE_NORM_L2, stream),
        "layerwise_partial_norms");
}

void step(Op op, const Plan& plan, const StepBuffers& buffers, const StepSettings& settings, void* stream) {
  if (is_norms(op)) return partial_norms(op, plan, buffers, stream);
  const bool is_novograd = op == Op::kNovograd || op == Op::kLarcNovograd || op == Op::kNovogradApply;
  (is_novograd ? novograd : larc)(op, plan.get(), buffers, settings, stream);
}

}  // namespace bench
