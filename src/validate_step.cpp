// The arguments of a step: which buffers its options need, and what becomes of both.
#include "buffers.h"
#include "error.h"
#include "step_options.h"
#include "validate.h"

namespace layerwise {
namespace {

template <class Options>
void add_common(BufferCheck& check, const StepArguments& arguments, const Options& options) {
  check.per_layer(arguments.layer_mask, "layer_mask", 1, false);
  check.values(arguments.layer_stats, "layer_stats", sizeof(double),
               LAYERWISE_STAT_COUNT * check.layer_count(), true);
  check.values(options.lr_ptr, "lr_ptr", sizeof(float), 1, false);
  check.values(options.grad_scale_ptr, "grad_scale_ptr", sizeof(float), 1, false);
  check.values(options.found_inf, "found_inf", sizeof(float), 1, false);
  check.values(options.nonfinite_layers, "nonfinite_layers", sizeof(int64_t), 1, true);
}

void check_must_be_null(const void* argument, const char* name, const char* reason) {
  if (argument) fail(LAYERWISE_ERROR_COMBINATION, "%s is %p; %s it must be NULL", name, argument, reason);
}

void check_weights_extra(const PlanDescription& plan, const void* weights_extra) {
  if (plan.dtypes.weights_extra == Dtype::kNone)
    check_must_be_null(weights_extra, "weights_extra", "the plan's weights_extra_dtype is none, so");
  if (plan.dtypes.weights_extra == Dtype::kRemainder16 && plan.layout.elements > 0)
    check_not_null(weights_extra, "weights_extra");
}

void check_can_fold(const layerwise_larc_options& options, const SumsArguments* sums) {
  const bool of_decayed = options.fold_weight_decay == LAYERWISE_FOLD_GRADIENT ||
                          options.fold_weight_decay == LAYERWISE_FOLD_BOTH;
  if (sums && of_decayed)
    fail(LAYERWISE_ERROR_COMBINATION,
         "fold_weight_decay is %d, LAYERWISE_FOLD_GRADIENT or BOTH; with given sums it cannot be had: the norm of "
         "g' + weight_decay*w does not follow from them",
         options.fold_weight_decay);
}

// The only buffer that is ever rounded so is the first moment.
void check_rounding(int32_t rounding, const void* first_moment, Dtype dtype, const PlanDescription& plan) {
  if (rounding == LAYERWISE_ROUNDING_NEAREST) return;
  if (!first_moment && plan.layout.elements > 0)
    fail(LAYERWISE_ERROR_COMBINATION,
         "rounding is %d (stochastic) without a first moment; it must be "
         "LAYERWISE_ROUNDING_NEAREST (0)",
         rounding);
  if (dtype != Dtype::kBfloat16)
    fail(LAYERWISE_ERROR_COMBINATION, "rounding is %d (stochastic) beside a first moment of %s; it must be bfloat16",
         rounding, name_of(dtype));
  for (size_t l = 0; l < plan.pieces.size(); ++l)
    if (plan.pieces[l].begin < 0 && plan.layout.layers[l].size > 0)
      fail(LAYERWISE_ERROR_COMBINATION,
           "rounding is %d (stochastic) and layer_begins[%lld] of the shard -1; random bits need an element's place in "
           "its layer",
           rounding, static_cast<long long>(l));
}

void check_usable(const layerwise_plan& plan) {
  if (plan.failed)
    fail(LAYERWISE_ERROR_PLAN_FAILED, "an earlier step of this plan failed on its way; layerwise_plan_reset makes it usable");
}

void check_whole(const PlanDescription& plan, const SumsArguments* sums) {
  if (plan.is_shard && !sums)
    fail(LAYERWISE_ERROR_COMBINATION,
         "plan is for a shard, whose norms are not the layers'; its steps are taken in halves: layerwise_partial_norms, "
         "an all-reduce over the ranks, and an apply call");
}

template <class Options>
StepBuffers step_buffers(const StepArguments& arguments, const Options& options, int64_t* advanced_step) {
  return {arguments.weights,
          const_cast<void*>(arguments.grads),
          arguments.first_moment,
          arguments.weights_extra,
          arguments.layer_mask,
          reinterpret_cast<LayerStats*>(arguments.layer_stats),
          options.found_inf,
          options.nonfinite_layers,
          advanced_step,
          options.rounding == LAYERWISE_ROUNDING_STOCHASTIC,
          static_cast<uint64_t>(options.seed)};
}

// The sums of a caller who has them, in place of a step's own.
GivenSums checked_sums(const PlanDescription& plan, BufferCheck& check, const SumsArguments* sums, bool of_weights) {
  if (!sums) return {};
  check_selector(sums->kind, "sums_kind", LAYERWISE_SUMS_LAYERS, LAYERWISE_SUMS_LAYERS);
  if (plan.whole_elements > 0) {
    check_not_null(sums->grads, "grad_sums");
    if (of_weights) check_not_null(sums->weights, "weight_sums");
  }
  check.per_layer(sums->grads, "grad_sums", sizeof(double), false);
  check.per_layer(sums->weights, "weight_sums", sizeof(double), false);
  return {sums->grads, sums->weights};
}

}  // namespace

static_assert(sizeof(LayerStats) == LAYERWISE_STAT_COUNT * sizeof(double));

NovogradStep checked_novograd(const layerwise_plan& plan, const StepArguments& arguments,
                              const layerwise_novograd_options* given, const SumsArguments* sums, bool after_larc) {
  check_usable(plan);
  check_whole(plan.description, sums);
  const layerwise_novograd_options options = received(given, "options");
  check_novograd(options);
  const PlanDescription& description = plan.description;
  check_rounding(options.rounding, arguments.first_moment, description.dtypes.first_moment, description);
  check_weights_extra(description, arguments.weights_extra);
  if (!options.amsgrad) check_must_be_null(arguments.max_second_moment, "max_second_moment", "without amsgrad");
  if (description.whole_elements > 0) {
    check_not_null(arguments.second_moment, "second_moment");
    if (options.amsgrad && !arguments.max_second_moment)
      fail(LAYERWISE_ERROR_COMBINATION, "max_second_moment is NULL; amsgrad needs it");
  }

  BufferCheck check(description);
  const Dtypes& dtypes = description.dtypes;
  check.required_elements(arguments.weights, "weights", dtypes.weights, true);
  check.required_elements(arguments.grads, "grads", dtypes.grads, false);
  check.required_elements(arguments.first_moment, "first_moment", dtypes.first_moment, true);
  check.elements(arguments.weights_extra, "weights_extra", dtypes.weights_extra, true);
  check.per_layer(arguments.second_moment, "second_moment", size_of(dtypes.second_moment), true);
  check.per_layer(arguments.max_second_moment, "max_second_moment", size_of(dtypes.second_moment), true);
  add_common(check, arguments, options);
  check.values(options.step_ptr, "step_ptr", sizeof(int64_t), 1, options.advance_step);
  NovogradStep step{};
  step.given = checked_sums(description, check, sums, after_larc);
  check.no_overlap();

  step.buffers = step_buffers(arguments, options, options.advance_step ? options.step_ptr : nullptr);
  check_tables(description, step.buffers, "first_moment");
  step.second_moment = arguments.second_moment;
  step.max_second_moment = arguments.max_second_moment;
  step.hyper = novograd_hyper(options, dtypes.second_moment);
  return step;
}

NovogradStep checked_larc_novograd(const layerwise_plan& plan, const StepArguments& arguments,
                                   const layerwise_larc_options* given_larc, const layerwise_novograd_options* given,
                                   const SumsArguments* sums) {
  NovogradStep step = checked_novograd(plan, arguments, given, sums, true);
  const layerwise_larc_options larc = received(given_larc, "larc");
  check_larc_before_novograd(larc, *given);
  step.larc = larc_hyper(larc);
  step.applies_larc = true;
  return step;
}

LarcStep checked_larc_scale(const layerwise_plan& plan, const StepArguments& arguments,
                            const layerwise_larc_options* given, const SumsArguments* sums) {
  check_usable(plan);
  check_whole(plan.description, sums);
  const layerwise_larc_options options = received(given, sums ? "larc" : "options");
  check_larc(options);
  check_can_fold(options, sums);
  if (options.fold_weight_decay == LAYERWISE_FOLD_DECOUPLED)
    fail(LAYERWISE_ERROR_COMBINATION,
         "fold_weight_decay is LAYERWISE_FOLD_DECOUPLED (%d); it needs sgd: here the weights are not written",
         options.fold_weight_decay);
  check_rounding(options.rounding, nullptr, Dtype::kNone, plan.description);
  check_must_be_null(arguments.first_moment, "momentum", "without sgd");
  check_must_be_null(arguments.weights_extra, "weights_extra", "without sgd");
  const PlanDescription& description = plan.description;
  BufferCheck check(description);
  check.required_elements(arguments.weights, "weights", description.dtypes.weights, false);
  check.required_elements(arguments.grads, "grads", description.dtypes.grads, true);
  add_common(check, arguments, options);
  LarcStep step{};
  step.given = checked_sums(description, check, sums, true);
  check.no_overlap();

  step.buffers = step_buffers(arguments, options, nullptr);
  check_tables(description, step.buffers, "momentum");
  step.larc = larc_hyper(options);
  return step;
}

LarcStep checked_larc_sgd(const layerwise_plan& plan, const StepArguments& arguments,
                          const layerwise_larc_options* given_larc, const layerwise_sgd_options* given_sgd,
                          const SumsArguments* sums) {
  check_usable(plan);
  check_whole(plan.description, sums);
  const layerwise_larc_options larc = received(given_larc, "larc");
  const layerwise_sgd_options sgd = received(given_sgd, "sgd");
  check_larc(larc);
  check_can_fold(larc, sums);
  check_sgd(sgd, arguments.first_moment, larc.rounding);
  const PlanDescription& description = plan.description;
  check_rounding(larc.rounding, arguments.first_moment, description.dtypes.first_moment, description);
  check_weights_extra(description, arguments.weights_extra);
  BufferCheck check(description);
  const Dtypes& dtypes = description.dtypes;
  check.required_elements(arguments.weights, "weights", dtypes.weights, true);
  check.required_elements(arguments.grads, "grads", dtypes.grads, false);
  if (sgd.momentum != 0 && !arguments.first_moment && description.layout.elements > 0)
    fail(LAYERWISE_ERROR_COMBINATION, "momentum is NULL; the option momentum is %g, which needs the buffer",
         sgd.momentum);
  check.elements(arguments.first_moment, "momentum", dtypes.first_moment, true);
  check.elements(arguments.weights_extra, "weights_extra", dtypes.weights_extra, true);
  add_common(check, arguments, larc);
  check.values(sgd.step_ptr, "step_ptr", sizeof(int64_t), 1, sgd.advance_step);
  LarcStep step{};
  step.given = checked_sums(description, check, sums, true);
  check.no_overlap();

  step.buffers = step_buffers(arguments, larc, sgd.advance_step ? sgd.step_ptr : nullptr);
  check_tables(description, step.buffers, "momentum");
  step.larc = larc_hyper(larc);
  step.sgd = sgd_hyper(sgd);
  step.applies_sgd = true;
  return step;
}

PartialNorms checked_norms(const layerwise_plan& plan, const StepArguments& arguments, double* grad_sums,
                           double* weight_sums, int32_t sums_kind, int32_t norm) {
  check_usable(plan);
  check_selector(sums_kind, "sums_kind", LAYERWISE_SUMS_LAYERS, LAYERWISE_SUMS_LAYERS);
  check_selector(norm, "norm", LAYERWISE_NORM_L2, LAYERWISE_NORM_INF);
  if (weight_sums && norm == LAYERWISE_NORM_INF)
    fail(LAYERWISE_ERROR_COMBINATION,
         "weight_sums is %p; with the infinity norm it must be NULL: LARC, which needs it, "
         "has no such norm",
         static_cast<void*>(weight_sums));
  const PlanDescription& description = plan.description;
  if (!weight_sums || description.dtypes.weights_extra != Dtype::kRemainder16)
    check_must_be_null(arguments.weights_extra, "weights_extra", "without weight_sums of split weights");
  BufferCheck check(description);
  if (weight_sums) check.required_elements(arguments.weights, "weights", description.dtypes.weights, false);
  check.elements(arguments.weights_extra, "weights_extra", description.dtypes.weights_extra, false);
  check.required_elements(arguments.grads, "grads", description.dtypes.grads, false);
  if (description.whole_elements > 0) check_not_null(grad_sums, "grad_sums");
  check.per_layer(arguments.layer_mask, "layer_mask", 1, false);
  check.per_layer(grad_sums, "grad_sums", sizeof(double), true);
  check.per_layer(weight_sums, "weight_sums", sizeof(double), true);
  check.no_overlap();

  PartialNorms norms{};
  norms.buffers.weights = weight_sums ? arguments.weights : nullptr;
  norms.buffers.grads = const_cast<void*>(arguments.grads);
  norms.buffers.weights_extra = arguments.weights_extra;
  norms.buffers.layer_mask = arguments.layer_mask;
  check_tables(description, norms.buffers, "momentum");
  norms.grad_sums = grad_sums;
  norms.weight_sums = weight_sums;
  norms.infinity_norm = norm == LAYERWISE_NORM_INF;
  return norms;
}

}  // namespace layerwise
