// The C ABI: each function checks its arguments, hands them on and turns an exception into a status.
#include "error.h"
#include "layerwise.h"
#include "plan.h"
#include "shard.h"
#include "validate.h"

using namespace layerwise;

extern "C" {

int32_t layerwise_plan_options_init(layerwise_plan_options* options, int64_t struct_size) {
  return guarded(__func__, [&] { fill_defaults(options, struct_size); });
}

int32_t layerwise_layer_options_init(layerwise_layer_options* options, int64_t struct_size) {
  return guarded(__func__, [&] { fill_defaults(options, struct_size); });
}

int32_t layerwise_shard_options_init(layerwise_shard_options* options, int64_t struct_size) {
  return guarded(__func__, [&] { fill_defaults(options, struct_size); });
}

int32_t layerwise_novograd_options_init(layerwise_novograd_options* options, int64_t struct_size) {
  return guarded(__func__, [&] { fill_defaults(options, struct_size); });
}

int32_t layerwise_larc_options_init(layerwise_larc_options* options, int64_t struct_size) {
  return guarded(__func__, [&] { fill_defaults(options, struct_size); });
}

int32_t layerwise_sgd_options_init(layerwise_sgd_options* options, int64_t struct_size) {
  return guarded(__func__, [&] { fill_defaults(options, struct_size); });
}

int32_t layerwise_plan_workspace_size(const layerwise_plan_options* options, int64_t* bytes) {
  return guarded(__func__, [&] {
    check_not_null(bytes, "bytes");
    const PlanDescription plan = checked_plan(options);
    *bytes = plan.device == LAYERWISE_DEVICE_CPU ? cpu_workspace_bytes(plan) : cuda_workspace_bytes(plan);
  });
}

int32_t layerwise_plan_create(const layerwise_plan_options* options, layerwise_plan** plan) {
  return guarded(__func__, [&] {
    check_not_null(plan, "plan");
    *plan = nullptr;
    *plan = new layerwise_plan(checked_plan(options));
  });
}

int32_t layerwise_plan_destroy(layerwise_plan* plan) {
  return guarded(__func__, [&] {
    if (plan) delete &checked(plan);
  });
}

int32_t layerwise_plan_reset(layerwise_plan* plan) {
  return guarded(__func__, [&] { checked(plan).reset(); });
}

int32_t layerwise_plan_query(const layerwise_plan* plan, int32_t key, int64_t* value) {
  return guarded(__func__, [&] {
    check_not_null(value, "value");
    *value = checked(plan).query(key);
  });
}

int32_t layerwise_plan_set_layers(layerwise_plan* plan, const layerwise_layer_options* options) {
  return guarded(__func__, [&] { checked(plan).set_layers(checked_layers(checked(plan), options)); });
}

int32_t layerwise_plan_set_shard(layerwise_plan* plan, const layerwise_shard_options* options) {
  return guarded(__func__, [&] { checked(plan).set_shard(checked_shard(checked(plan), options)); });
}

int32_t layerwise_shard_claim(const layerwise_plan* plan, const void* agreed, int64_t agreed_bytes, double* claim,
                              int64_t count) {
  return guarded(__func__, [&] {
    const PlanDescription& shard = checked_claim(plan, count);
    check_not_null(claim, "claim");
    if (agreed_bytes < 0)
      fail(LAYERWISE_ERROR_INVALID_VALUE, "agreed_bytes is %lld; it must not be negative",
           static_cast<long long>(agreed_bytes));
    if (agreed_bytes > 0) check_not_null(agreed, "agreed");
    write_claim(shard, agreed, agreed_bytes, claim, count);
  });
}

int32_t layerwise_shard_verify(const layerwise_plan* plan, const double* claim, const double* sum, int64_t count) {
  return guarded(__func__, [&] {
    const PlanDescription& shard = checked_claim(plan, count);
    check_not_null(claim, "claim");
    check_not_null(sum, "sum");
    verify_claims(shard, claim, sum, count);
  });
}

int32_t novograd_step(layerwise_plan* plan, void* weights, const void* grads, void* first_moment, void* second_moment,
                      void* max_second_moment, void* weights_extra, const uint8_t* layer_mask, double* layer_stats,
                      const layerwise_novograd_options* options, void* stream) {
  return guarded(__func__, [&] {
    const NovogradStep step = checked_novograd(checked(plan),
                                               {weights, grads, first_moment, second_moment, max_second_moment,
                                                weights_extra, layer_mask, layer_stats},
                                               options);
    plan->run([&] { plan->backend->novograd(step, stream); });
  });
}

int32_t larc_scale(layerwise_plan* plan, const void* weights, void* grads, const uint8_t* layer_mask,
                   double* layer_stats, const layerwise_larc_options* options, void* stream) {
  return guarded(__func__, [&] {
    const LarcStep step = checked_larc_scale(
        checked(plan),
        {const_cast<void*>(weights), grads, nullptr, nullptr, nullptr, nullptr, layer_mask, layer_stats}, options);
    plan->run([&] { plan->backend->larc(step, stream); });
  });
}

int32_t larc_sgd_step(layerwise_plan* plan, void* weights, const void* grads, void* momentum, void* weights_extra,
                      const uint8_t* layer_mask, double* layer_stats, const layerwise_larc_options* larc,
                      const layerwise_sgd_options* sgd, void* stream) {
  return guarded(__func__, [&] {
    const LarcStep step = checked_larc_sgd(
        checked(plan), {weights, grads, momentum, nullptr, nullptr, weights_extra, layer_mask, layer_stats}, larc, sgd);
    plan->run([&] { plan->backend->larc(step, stream); });
  });
}

int32_t layerwise_larc_novograd_step(layerwise_plan* plan, void* weights, const void* grads, void* first_moment,
                                     void* second_moment, void* max_second_moment, void* weights_extra,
                                     const uint8_t* layer_mask, double* layer_stats, const layerwise_larc_options* larc,
                                     const layerwise_novograd_options* options, void* stream) {
  return guarded(__func__, [&] {
    const NovogradStep step = checked_larc_novograd(
        checked(plan),
        {weights, grads, first_moment, second_moment, max_second_moment, weights_extra, layer_mask, layer_stats}, larc,
        options);
    plan->run([&] { plan->backend->novograd(step, stream); });
  });
}

int32_t layerwise_partial_norms(layerwise_plan* plan, const void* weights, const void* weights_extra, const void* grads,
                                const uint8_t* layer_mask, double* grad_sums, double* weight_sums, int32_t sums_kind,
                                int32_t norm, void* stream) {
  return guarded(__func__, [&] {
    StepArguments arguments{};
    arguments.weights = const_cast<void*>(weights);
    arguments.weights_extra = const_cast<void*>(weights_extra);
    arguments.grads = grads;
    arguments.layer_mask = layer_mask;
    const PartialNorms norms = checked_norms(checked(plan), arguments, grad_sums, weight_sums, sums_kind, norm);
    plan->run([&] { plan->backend->norms(norms, stream); });
  });
}

int32_t layerwise_novograd_apply(layerwise_plan* plan, void* weights, const void* grads, void* first_moment,
                                 void* second_moment, void* max_second_moment, void* weights_extra,
                                 const uint8_t* layer_mask, double* layer_stats, const double* grad_sums,
                                 int32_t sums_kind, const layerwise_novograd_options* options, void* stream) {
  return guarded(__func__, [&] {
    const SumsArguments sums{grad_sums, nullptr, sums_kind};
    const NovogradStep step = checked_novograd(
        checked(plan),
        {weights, grads, first_moment, second_moment, max_second_moment, weights_extra, layer_mask, layer_stats},
        options, &sums);
    plan->run([&] { plan->backend->novograd(step, stream); });
  });
}

int32_t layerwise_larc_novograd_apply(layerwise_plan* plan, void* weights, const void* grads, void* first_moment,
                                      void* second_moment, void* max_second_moment, void* weights_extra,
                                      const uint8_t* layer_mask, double* layer_stats, const double* grad_sums,
                                      const double* weight_sums, int32_t sums_kind, const layerwise_larc_options* larc,
                                      const layerwise_novograd_options* options, void* stream) {
  return guarded(__func__, [&] {
    const SumsArguments sums{grad_sums, weight_sums, sums_kind};
    const NovogradStep step = checked_larc_novograd(
        checked(plan),
        {weights, grads, first_moment, second_moment, max_second_moment, weights_extra, layer_mask, layer_stats}, larc,
        options, &sums);
    plan->run([&] { plan->backend->novograd(step, stream); });
  });
}

int32_t layerwise_larc_apply(layerwise_plan* plan, void* weights, void* grads, void* momentum, void* weights_extra,
                             const uint8_t* layer_mask, double* layer_stats, const double* grad_sums,
                             const double* weight_sums, int32_t sums_kind, const layerwise_larc_options* larc,
                             const layerwise_sgd_options* sgd, void* stream) {
  return guarded(__func__, [&] {
    const SumsArguments sums{grad_sums, weight_sums, sums_kind};
    const StepArguments arguments{weights, grads, momentum, nullptr, nullptr, weights_extra, layer_mask, layer_stats};
    const LarcStep step = sgd ? checked_larc_sgd(checked(plan), arguments, larc, sgd, &sums)
                              : checked_larc_scale(checked(plan), arguments, larc, &sums);
    plan->run([&] { plan->backend->larc(step, stream); });
  });
}

int32_t layerwise_version(void) {
  return LAYERWISE_VERSION_MAJOR * 10000 + LAYERWISE_VERSION_MINOR * 100 + LAYERWISE_VERSION_PATCH;
}

int32_t layerwise_numerics_version(void) { return kNumericsVersion; }

const char* layerwise_build_info(void) {
  static const std::string info = "version: " + std::to_string(LAYERWISE_VERSION_MAJOR) + "." +
                                  std::to_string(LAYERWISE_VERSION_MINOR) + "." +
                                  std::to_string(LAYERWISE_VERSION_PATCH) +
                                  "\nnumerics version: " + std::to_string(kNumericsVersion) + "\n" + cpu_info() +
                                  cuda_info();
  return info.c_str();
}

const char* layerwise_status_name(int32_t status) { return status_name(status); }

const char* layerwise_last_error(void) { return last_error(); }

}  // extern "C"
