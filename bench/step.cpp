#include "step.h"

#include <stdexcept>
#include <string>

namespace bench {
namespace {

void check(int32_t status, const char* call) {
  if (status == LAYERWISE_OK) return;
  throw std::runtime_error(std::string(call) + ": " + layerwise_status_name(status) + ": " + layerwise_last_error());
}

layerwise_larc_options larc_options(Op op, const StepSettings& settings) {
  layerwise_larc_options options;
  check(layerwise_larc_options_init(&options, sizeof options), "layerwise_larc_options_init");
  options.lr = settings.lr;
  options.weight_decay = op == Op::kLarcSgd ? 1e-4 : 0;
  options.lr_ptr = settings.lr_ptr;
  options.grad_scale_ptr = settings.grad_scale_ptr;
  options.found_inf = settings.found_inf;
  options.nonfinite_layers = settings.nonfinite_layers;
  return options;
}

void novograd(const Plan& plan, const StepBuffers& buffers, const StepSettings& settings, void* stream) {
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
  options.bias_correction = settings.step_ptr != nullptr;  // so that the counter can be seen in the result
  check(novograd_step(plan.get(), buffers.weights, buffers.grads, buffers.moment, buffers.second_moment, nullptr, nullptr,
                      nullptr, buffers.stats, &options, stream),
        "novograd_step");
}

void larc_sgd(const Plan& plan, const StepBuffers& buffers, const StepSettings& settings, void* stream) {
  const layerwise_larc_options larc = larc_options(Op::kLarcSgd, settings);
  layerwise_sgd_options sgd;
  check(layerwise_sgd_options_init(&sgd, sizeof sgd), "layerwise_sgd_options_init");
  sgd.step = settings.step_ptr ? 0 : settings.step;
  sgd.step_ptr = settings.step_ptr;
  sgd.advance_step = settings.step_ptr != nullptr;
  check(larc_sgd_step(plan.get(), buffers.weights, buffers.grads, buffers.moment, nullptr, nullptr, buffers.stats, &larc,
                      &sgd, stream),
        "larc_sgd_step");
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
  options.threads = settings.threads;
  options.isa = settings.isa;
  check(layerwise_plan_create(&options, &plan_), "layerwise_plan_create");
}

int64_t Plan::query(int32_t key) const {
  int64_t value = 0;
  check(layerwise_plan_query(plan_, key, &value), "layerwise_plan_query");
  return value;
}

void step(Op op, const Plan& plan, const StepBuffers& buffers, const StepSettings& settings, void* stream) {
  if (op == Op::kNovograd) return novograd(plan, buffers, settings, stream);
  if (op == Op::kLarcSgd) return larc_sgd(plan, buffers, settings, stream);
  const layerwise_larc_options options = larc_options(op, settings);
  check(larc_scale(plan.get(), buffers.weights, buffers.grads, nullptr, buffers.stats, &options, stream), "larc_scale");
}

}  // namespace bench
