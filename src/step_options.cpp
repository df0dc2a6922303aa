#include "step_options.h"

#include <cmath>

#include "abi_table.h"
#include "error.h"
#include "validate.h"

namespace layerwise {
namespace {

void check_not_negative(double value, const char* name) {
  if (!std::isfinite(value) || value < 0)
    fail(LAYERWISE_ERROR_INVALID_VALUE, "%s is %g; it must be finite and not negative", name, value);
}

void check_decay_rate(double value, const char* name) {
  if (!(value >= 0 && value < 1)) fail(LAYERWISE_ERROR_INVALID_VALUE, "%s is %g; it must lie in [0, 1)", name, value);
}

// Every flag and choice of a step's options, by the header.
#define CHECK_CHOICE(name, least, most) check_selector(options.name, #name, least, most);
void check_choices(const layerwise_novograd_options& options) { LAYERWISE_NOVOGRAD_CHOICES(CHECK_CHOICE) }
void check_choices(const layerwise_larc_options& options) { LAYERWISE_LARC_CHOICES(CHECK_CHOICE) }
void check_choices(const layerwise_sgd_options& options) { LAYERWISE_SGD_CHOICES(CHECK_CHOICE) }
#undef CHECK_CHOICE

void check_step_count(int64_t step, const int64_t* step_ptr, int32_t advance_step) {
  if (step < 0)
    fail(LAYERWISE_ERROR_INVALID_VALUE, "step is %lld; it must be 1 or more, or 0 for none",
         static_cast<long long>(step));
  if (step != 0 && step_ptr)
    fail(LAYERWISE_ERROR_COMBINATION, "step is %lld beside step_ptr; only one of them may be given",
         static_cast<long long>(step));
  if (advance_step && !step_ptr) fail(LAYERWISE_ERROR_COMBINATION, "advance_step is 1; it needs step_ptr");
}

void check_needs_step(bool needed, int64_t step, const int64_t* step_ptr, const char* reason) {
  if (needed && step == 0 && !step_ptr)
    fail(LAYERWISE_ERROR_INVALID_VALUE, "step is 0; %s needs step, 1-based, or step_ptr", reason);
}

void check_reserved(const layerwise_novograd_options& options) {
  check_selector(options.reserved, "reserved", 0, 0);
  for (int64_t reserved : options.reserved2) check_selector(reserved, "reserved2", 0, 0);
}
void check_reserved(const layerwise_larc_options&) {}

template <class Options>
void check_common(const Options& options) {
  if (!options.lr_ptr) {
    check_not_negative(options.lr, "lr");
    // From here on the nearest float32 is infinity. Compared, not converted: that would raise the caller's inexact
    // flag.
    if (options.lr >= 0x1.ffffffp127)
      fail(LAYERWISE_ERROR_INVALID_VALUE, "lr is %g; it must be finite as a float32", options.lr);
  }
  if (!options.grad_scale_ptr && (!std::isfinite(options.grad_scale) || options.grad_scale == 0))
    fail(LAYERWISE_ERROR_INVALID_VALUE, "grad_scale is %g; it must be finite and not 0", options.grad_scale);
  check_not_negative(options.eps, "eps");
  check_not_negative(options.weight_decay, "weight_decay");
  check_choices(options);
  if (options.rounding == LAYERWISE_ROUNDING_NEAREST && options.seed != 0)
    fail(LAYERWISE_ERROR_COMBINATION, "seed is %lld; with rounding to nearest it must be 0",
         static_cast<long long>(options.seed));
  check_reserved(options);
}

void check_larc_factor(const layerwise_larc_options& options) {
  check_not_negative(options.eta, "eta");
  check_not_negative(options.min_update, "min_update");
  check_not_negative(options.weight_norm_threshold, "weight_norm_threshold");
  check_not_negative(options.max_update, "max_update");
  if (options.max_update != 0 && options.mode != LAYERWISE_LARC_SCALE)
    fail(LAYERWISE_ERROR_COMBINATION, "max_update is %g; it needs mode LAYERWISE_LARC_SCALE: clipping cuts at 1",
         options.max_update);
  if (options.max_update != 0 && options.max_update < options.min_update)
    fail(LAYERWISE_ERROR_INVALID_VALUE, "max_update is %g; it must not be less than min_update, %g", options.max_update,
         options.min_update);
}

}  // namespace

void check_novograd(const layerwise_novograd_options& options) {
  check_common(options);
  check_decay_rate(options.beta1, "beta1");
  check_decay_rate(options.beta2, "beta2");
  check_not_negative(options.eps_root, "eps_root");
  check_step_count(options.step, options.step_ptr, options.advance_step);
  check_needs_step(options.bias_correction, options.step, options.step_ptr, "bias_correction");
  check_needs_step(options.grad_averaging && !options.average_first_step, options.step, options.step_ptr,
                   "grad_averaging without average_first_step");
  check_needs_step(options.seed_second_moment == LAYERWISE_SEED_FIRST_STEP, options.step, options.step_ptr,
                   "a second moment seeded on the first step");
  check_needs_step(options.rounding == LAYERWISE_ROUNDING_STOCHASTIC, options.step, options.step_ptr,
                   "stochastic rounding");
  if (options.norm == LAYERWISE_NORM_INF && options.eps_root != 0)
    fail(LAYERWISE_ERROR_COMBINATION, "eps_root is %g; with the infinity norm it must be 0", options.eps_root);
  if (options.lr_in_momentum && options.bias_correction)
    fail(LAYERWISE_ERROR_COMBINATION, "lr_in_momentum is 1 beside bias_correction; they exclude each other");
  if (options.lr_in_momentum && options.decoupled_weight_decay)
    fail(LAYERWISE_ERROR_COMBINATION, "lr_in_momentum is 1 beside decoupled_weight_decay %d; they exclude each other",
         options.decoupled_weight_decay);
}

void check_larc(const layerwise_larc_options& options) {
  check_common(options);
  check_larc_factor(options);
}

void check_larc_before_novograd(const layerwise_larc_options& larc, const layerwise_novograd_options& novograd) {
  const bool is_default = std::isnan(larc.lr) && larc.grad_scale == 1 && !larc.lr_ptr && !larc.grad_scale_ptr &&
                          !larc.found_inf && !larc.nonfinite_layers && !larc.maximize && !larc.rounding && !larc.seed;
  if (!is_default)
    fail(LAYERWISE_ERROR_COMBINATION,
         "larc sets lr (%g), grad_scale (%g), found_inf, nonfinite_layers, maximize, rounding "
         "or seed; before NovoGrad they must be left at their defaults (lr NaN): options has them for both",
         larc.lr, larc.grad_scale);
  if (larc.fold_weight_decay || larc.weight_decay != 0)
    fail(LAYERWISE_ERROR_COMBINATION,
         "larc.weight_decay is %g, fold_weight_decay %d; before NovoGrad both must be 0: the "
         "norm of r*(g' + weight_decay*w) does not follow from |g'| and |w|",
         larc.weight_decay, larc.fold_weight_decay);
  if (novograd.norm == LAYERWISE_NORM_INF)
    fail(LAYERWISE_ERROR_COMBINATION,
         "norm is LAYERWISE_NORM_INF (%d); after LARC it must be LAYERWISE_NORM_L2: LARC's own "
         "norm would need a second reduction",
         novograd.norm);
  check_not_negative(larc.eps, "larc.eps");
  check_larc_factor(larc);
  check_choices(larc);
}

void check_sgd(const layerwise_sgd_options& options, const void* momentum_buffer, int32_t rounding) {
  check_decay_rate(options.momentum, "momentum");
  if (!(options.dampening >= 0 && options.dampening <= 1))
    fail(LAYERWISE_ERROR_INVALID_VALUE, "dampening is %g; it must lie in [0, 1]", options.dampening);
  check_choices(options);
  check_selector(options.reserved, "reserved", 0, 0);
  check_step_count(options.step, options.step_ptr, options.advance_step);
  check_needs_step(options.momentum != 0 && options.dampening != 0 && !options.dampen_first_step, options.step,
                   options.step_ptr, "dampening");
  check_needs_step(rounding == LAYERWISE_ROUNDING_STOCHASTIC, options.step, options.step_ptr, "stochastic rounding");
  if (options.nesterov && (options.momentum == 0 || (options.dampening != 0 && !options.dampen_first_step)))
    fail(LAYERWISE_ERROR_COMBINATION,
         "nesterov is 1 beside momentum %g and dampening %g; it needs momentum, and no dampening without dampen_first_step",
         options.momentum, options.dampening);
  check_not_negative(options.clip_value, "clip_value");
  if (options.clip_value != 0 && options.clip_value < 0x1p-126)  // it would become 0 as a float32: no limit
    fail(LAYERWISE_ERROR_INVALID_VALUE, "clip_value is %g; it must be 0 or at least 2^-126, float32's least normal number",
         options.clip_value);
  if (options.lr_in_momentum && options.factor_after_momentum)
    fail(LAYERWISE_ERROR_COMBINATION, "lr_in_momentum is 1 beside factor_after_momentum; they exclude each other");
  if (options.momentum == 0 && momentum_buffer)
    fail(LAYERWISE_ERROR_COMBINATION, "the momentum buffer is %p; where the option momentum is 0 it must be NULL",
         momentum_buffer);
}

#define TAKE(name) hyper.name = options.name;

NovogradHyper novograd_hyper(const layerwise_novograd_options& options, Dtype second_moment_dtype) {
  NovogradHyper hyper{};
  LAYERWISE_NOVOGRAD_PLAIN(TAKE)
  hyper.lr = {options.lr, options.lr_ptr};
  hyper.grad_scale = {options.grad_scale, options.grad_scale_ptr};
  hyper.step = {options.step, options.step_ptr};
  hyper.second_moment_dtype = second_moment_dtype;
  hyper.infinity_norm = options.norm == LAYERWISE_NORM_INF;
  hyper.seeds_while_zero = options.seed_second_moment == LAYERWISE_SEED_WHILE_ZERO;
  hyper.seeds_first_step = options.seed_second_moment == LAYERWISE_SEED_FIRST_STEP;
  hyper.decoupled = options.decoupled_weight_decay != LAYERWISE_DECOUPLED_OFF;
  hyper.normalized = options.decoupled_weight_decay != LAYERWISE_DECOUPLED_RAW;
  return hyper;
}

LarcHyper larc_hyper(const layerwise_larc_options& options) {
  LarcHyper hyper{};
  LAYERWISE_LARC_PLAIN(TAKE)
  hyper.lr = {options.lr, options.lr_ptr};
  hyper.grad_scale = {options.grad_scale, options.grad_scale_ptr};
  hyper.scale_mode = options.mode == LAYERWISE_LARC_SCALE;
  hyper.freeze = options.zero_norm == LAYERWISE_ZERO_NORM_FREEZE;
  hyper.floor = options.zero_norm == LAYERWISE_ZERO_NORM_FLOOR;
  hyper.untouched = options.zero_norm == LAYERWISE_ZERO_NORM_UNTOUCHED;
  hyper.unit = options.zero_norm == LAYERWISE_ZERO_NORM_UNIT;
  hyper.formula_at_zero_grads = options.zero_grad_norm != LAYERWISE_ZERO_GRAD_AS_WEIGHT;
  hyper.at_least_one_at_zero_grads = options.zero_grad_norm == LAYERWISE_ZERO_GRAD_AT_LEAST_ONE;
  const int32_t fold = options.fold_weight_decay;
  hyper.decayed_norm = fold == LAYERWISE_FOLD_GRADIENT || fold == LAYERWISE_FOLD_BOTH;
  hyper.decay_norm_added = fold != LAYERWISE_FOLD_OFF && fold != LAYERWISE_FOLD_GRADIENT;
  hyper.decay_before_step = fold == LAYERWISE_FOLD_DECOUPLED;
  hyper.decay_in_factor = fold != LAYERWISE_FOLD_OFF && !hyper.decay_before_step;
  return hyper;
}

SgdHyper sgd_hyper(const layerwise_sgd_options& options) {
  SgdHyper hyper{};
  LAYERWISE_SGD_PLAIN(TAKE)
  hyper.step = {options.step, options.step_ptr};
  return hyper;
}

#undef TAKE

}  // namespace layerwise
