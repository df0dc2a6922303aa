// The scalar part of a step: all formulas in double. From the hyper-parameters, a layer's norms and its second moment
// they compute the constants that element.h applies, whether the layer is skipped, and its statistics.
#pragma once

#include "numerics/dtype.h"
#include "numerics/element.h"
#include "numerics/hyper.h"

namespace layerwise {

// A scalar that the caller passes by value, or as a pointer to a float32 in the plan's memory.
struct Scalar {
  double value;
  const float* pointer;
};

// The number of the step: t itself, or a pointer to the number of completed steps in the plan's memory. If neither is
// given, t is 0.
struct StepCount {
  int64_t t;
  const int64_t* completed;
};

struct NovogradHyper : NovogradPlain {
  Scalar lr, grad_scale;
  StepCount step;
  Dtype second_moment_dtype;
  bool infinity_norm;
  bool seeds_while_zero, seeds_first_step;
  bool decoupled;   // weight decay is outside the momentum
  bool normalized;  // decoupled, with g'/d in the momentum instead of g'
};

struct LarcHyper : LarcPlain {
  Scalar lr, grad_scale;
  bool scale_mode;
  bool freeze, floor, untouched, unit;  // zero_norm; keep if none is set
  bool formula_at_zero_grads, at_least_one_at_zero_grads;
  bool decay_in_factor;    // r multiplies weight decay
  bool decay_norm_added;   // the norm of weight decay is added to the gradient's
  bool decayed_norm;       // the gradient's norm is that of g' + weight_decay*w
  bool decay_before_step;  // the weights are decayed before the step
};

struct SgdHyper : SgdPlain {
  StepCount step;
};

// The options of a layer.
struct LayerOptions {
  double lr_mult, wd_mult;
  int64_t begin;  // of a shard's piece, in elements of the whole layer
  bool skip_larc;
  bool not_counted;  // another rank sums these elements
  bool elsewhere;    // this rank has no elements of the layer, but other ranks do
};
inline constexpr LayerOptions kPlainLayer{1, 1, 0, false, false, false};

struct LayerStats {
  double weight_norm, grad_norm, second_moment, factor, effective_lr, clipped;
};

// The scalars of a call, which all layers have in common.
struct NovogradCall {
  double lr;
  double sign_over_scale;  // k
  double averaging;        // c
  double bias1, bias2;     // 1 - beta1^t; 1 - beta2^t, or its root for the infinity norm; 1 without bias correction
  int64_t t;
};

struct LarcCall {
  double lr;
  double sign_over_scale;  // k
  bool first_step;
  int64_t t;
};

template <class Coefficients>
struct LayerUpdate {
  bool is_finite;  // false: a norm or scalar is not finite, so the layer is skipped and keeps every bit
  Coefficients coefficients;
  LayerStats stats;
};

struct SecondMoment {
  double value, maximum;
};

inline namespace LAYERWISE_ISA {

LAYERWISE_INLINE double not_a_number() { return bit_cast<double>(uint64_t{0x7ff8} << 48); }

LAYERWISE_INLINE double read(const Scalar& scalar) {
  return scalar.pointer ? static_cast<double>(*scalar.pointer) : scalar.value;
}
// A learning rate passed by value is rounded to float32, so that it gives the same bits as one passed by pointer.
LAYERWISE_INLINE double read_lr(const Scalar& lr) { return static_cast<double>(to_float(read(lr))); }
LAYERWISE_INLINE int64_t read(const StepCount& step) { return step.completed ? *step.completed + 1 : step.t; }
LAYERWISE_INLINE double sign_over_scale(const Scalar& grad_scale, bool maximize) {
  return div(maximize ? -1.0 : 1.0, read(grad_scale));
}

// base^exponent by squaring, lowest bit first. Not pow, which rounds differently in every math library.
LAYERWISE_INLINE double power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1, base = mul(base, base))
    if (exponent & 1) result = mul(result, base);
  return result;
}

LAYERWISE_INLINE Factor split(double factor) {
  const double magnitude = abs(factor);
  const double power = magnitude > 0x1p127 ? 0x1p64 : magnitude < 0x1p-126 ? 0x1p-64 : 1;
  const double rest = div(factor, power);
  // Clamped to the largest float32, so that a gradient of zero gives 0 and not 0 * infinity.
  constexpr double largest = 0x1.fffffep127;
  const double clamped = rest > largest ? largest : rest < -largest ? -largest : rest;
  return {to_float(power), to_float(clamped)};
}

// A second moment rounded to the dtype that it is stored in.
LAYERWISE_INLINE double stored(double moment, Dtype dtype) {
  return dtype == Dtype::kFloat64 ? moment : static_cast<double>(to_float(moment));
}

LAYERWISE_INLINE NovogradCall novograd_call(const NovogradHyper& hyper) {
  const int64_t t = read(hyper.step);
  NovogradCall call{read_lr(hyper.lr), sign_over_scale(hyper.grad_scale, hyper.maximize), 1, 1, 1, t};
  if (hyper.grad_averaging && (hyper.average_first_step || t != 1)) call.averaging = sub(1, hyper.beta1);
  if (hyper.bias_correction) {
    call.bias1 = sub(1, power(hyper.beta1, t));
    call.bias2 = sub(1, power(hyper.beta2, t));
    if (hyper.infinity_norm) call.bias2 = sqrt(call.bias2);
  }
  return call;
}

// norm: the sum of squares of the raw gradients, or their largest magnitude. If the caller provides it, it can be any
// number. moment: in, as it is stored; out, to be stored unless the layer is skipped.
LAYERWISE_INLINE LayerUpdate<NovogradCoefficients> novograd_layer(const NovogradHyper& hyper, const NovogradCall& call,
                                                             const LayerOptions& layer, double norm,
                                                             SecondMoment& moment) {
  const double k = call.sign_over_scale;
  const double n = hyper.infinity_norm ? mul(abs(k), norm) : mul(mul(k, k), norm);
  const bool seeds = (hyper.seeds_while_zero && moment.value == 0) || (hyper.seeds_first_step && call.t == 1);
  const double averaged = fma(hyper.beta2, moment.value, mul(sub(1, hyper.beta2), n));
  moment.value = stored(seeds ? n : averaged, hyper.second_moment_dtype);
  if (hyper.amsgrad) moment.maximum = larger(moment.maximum, moment.value);

  const double vh = div(hyper.amsgrad ? moment.maximum : moment.value, call.bias2);
  const double d = hyper.infinity_norm ? add(vh, hyper.eps) : add(sqrt(add(vh, hyper.eps_root)), hyper.eps);
  const double over_d = d == 0 ? 0 : div(1, d);
  const double lr = mul(call.lr, layer.lr_mult);
  const double corrected_lr = div(lr, call.bias1);

  LayerUpdate<NovogradCoefficients> update;
  NovogradCoefficients& coefficients = update.coefficients;
  coefficients.weight_decay = to_float(mul(hyper.weight_decay, layer.wd_mult));
  coefficients.beta1 = to_float(hyper.beta1);
  coefficients.step = static_cast<uint32_t>(call.t);
  coefficients.averaging = to_float(call.averaging);
  coefficients.step_size = -to_float(corrected_lr);
  coefficients.gradient = split(d == 0 ? 0 : div(k, d));
  coefficients.update = split(0);
  if (hyper.decoupled) {
    if (hyper.normalized) {
      coefficients.update = split(div(1, call.bias1));
    } else {
      coefficients.gradient = split(k);
      coefficients.update = split(d == 0 ? 0 : div(1, mul(d, call.bias1)));
    }
    coefficients.step_size = -to_float(lr);
  }
  if (hyper.lr_in_momentum) {
    coefficients.averaging = to_float(mul(lr, call.averaging));
    coefficients.step_size = -1;
  }
  const double grad_norm = hyper.infinity_norm ? n : mul(abs(k), sqrt(norm));
  update.stats = {not_a_number(), grad_norm, moment.value, over_d, corrected_lr, 0};
  update.is_finite = norm >= 0 && is_finite(n) && is_finite(moment.value) && is_finite(vh) && is_finite(k) &&
                     is_finite(coefficients.step_size) && is_finite(coefficients.averaging) &&
                     is_finite(coefficients.weight_decay);
  return update;
}

LAYERWISE_INLINE LarcCall larc_call(const LarcHyper& hyper, const SgdHyper& sgd) {
  const int64_t t = sgd.momentum == 0 ? 1 : read(sgd.step);  // without momentum every step is like the first
  const bool first_step = sgd.momentum == 0 || (t == 1 && !sgd.dampen_first_step);
  return {read_lr(hyper.lr), sign_over_scale(hyper.grad_scale, hyper.maximize), first_step, t};
}

// The factor x for which k*(g + x*w) = g' + weight_decay*w, for norms of the decayed gradient that are summed from raw
// gradients.
LAYERWISE_INLINE float decay_of_raw_gradient(const LarcHyper& hyper, const LayerOptions& layer) {
  const double k = sign_over_scale(hyper.grad_scale, hyper.maximize);
  return to_float(div(mul(hyper.weight_decay, layer.wd_mult), k));
}

// LARC's factor r; whether clipping cut it to 1; and whether it comes from zero_norm instead of the formula.
struct LarcFactor {
  double r;
  bool clipped, of_zero_norm;
};
// lr and weight_decay include the layer's multipliers. weight_norm is that of the weights that enter the formula: after
// decay_before_step, if that is set.
LAYERWISE_INLINE LarcFactor larc_factor(const LarcHyper& hyper, const LayerOptions& layer, double lr,
                                        double weight_decay, double weight_norm, double grad_norm) {
  if (layer.skip_larc) return {1, false, false};
  const bool no_weights = weight_norm <= hyper.weight_norm_threshold;
  const bool no_grads = grad_norm == 0 && !hyper.formula_at_zero_grads;
  const bool at_zero = !hyper.freeze && !hyper.floor && (no_weights || no_grads);
  double ratio = 0;
  if (at_zero) {
    if (!hyper.unit) return {1, false, true};
    ratio = 1;
  } else if (!no_weights) {
    const double decay_norm = hyper.decay_norm_added ? mul(weight_decay, weight_norm) : 0;
    const double denominator = add(add(grad_norm, decay_norm), hyper.eps);
    if (denominator == 0) return {1, false, false};
    ratio = div(mul(hyper.eta, weight_norm), denominator);
    if (grad_norm == 0 && hyper.at_least_one_at_zero_grads) ratio = larger(ratio, 1);
  }
  if (!hyper.scale_mode && lr == 0) return {1, false, false};
  if (!hyper.scale_mode) ratio = div(ratio, lr);
  const double floored = no_weights && hyper.freeze ? 0 : larger(ratio, hyper.min_update);
  if (!hyper.scale_mode) return {smaller(floored, 1), floored > 1, at_zero};
  return {hyper.max_update == 0 ? floored : smaller(floored, hyper.max_update), false, at_zero};
}

// The sums are of raw squares. With decayed_norm, grad_sum is that of g + decay_of_raw_gradient*w.
LAYERWISE_INLINE LayerUpdate<LarcCoefficients> larc_layer(const LarcHyper& hyper, const SgdHyper& sgd,
                                                          const LarcCall& call, const LayerOptions& layer,
                                                          double weight_sum, double grad_sum) {
  const double k = call.sign_over_scale;
  const double weight_norm = sqrt(weight_sum);
  const double grad_norm = mul(abs(k), sqrt(grad_sum));
  const double lr = mul(call.lr, layer.lr_mult);
  double weight_decay = mul(hyper.weight_decay, layer.wd_mult);
  const double shrunk = hyper.decay_before_step ? mul(abs(sub(1, mul(lr, weight_decay))), weight_norm) : weight_norm;
  const LarcFactor factor = larc_factor(hyper, layer, lr, weight_decay, shrunk, grad_norm);
  if (hyper.untouched && factor.of_zero_norm) weight_decay = 0;

  // The factors of the gradient and of the decay as they enter the momentum, and of the momentum in the step.
  const double r = factor.r, decay_factor = hyper.decay_in_factor ? r : 1;
  double entering = r, entering_decay = mul(decay_factor, weight_decay), rate = lr;
  if (sgd.factor_after_momentum) {
    entering = 1;
    entering_decay = weight_decay;
    rate = mul(lr, r);
  } else if (sgd.lr_in_momentum) {
    entering = mul(lr, r);
    entering_decay = mul(lr, entering_decay);
    rate = 1;
  }

  LayerUpdate<LarcCoefficients> update;
  LarcCoefficients& coefficients = update.coefficients;
  coefficients.gradient = split(mul(k, entering));
  coefficients.decay = hyper.decay_before_step ? 0 : to_float(entering_decay);
  coefficients.decay_before = hyper.decay_before_step ? -to_float(mul(lr, weight_decay)) : 0;
  coefficients.limit = to_float(sgd.lr_in_momentum ? mul(lr, sgd.clip_value) : sgd.clip_value);
  coefficients.momentum = to_float(sgd.momentum);
  coefficients.undampened = to_float(sub(1, sgd.dampening));
  coefficients.step_size = -to_float(rate);
  coefficients.first_step = call.first_step;
  coefficients.step = static_cast<uint32_t>(call.t);
  update.stats = {weight_norm, grad_norm, not_a_number(), r, mul(lr, r), factor.clipped ? 1.0 : 0.0};
  update.is_finite = is_finite(weight_norm) && is_finite(grad_norm) && is_finite(k) && is_finite(r) &&
                     is_finite(to_float(lr)) && is_finite(coefficients.step_size) && is_finite(coefficients.decay) &&
                     is_finite(coefficients.decay_before);
  return update;
}

// LARC before NovoGrad: its factor turns k into k*r in all that follows. The sums are of raw squares.
LAYERWISE_INLINE LayerUpdate<NovogradCoefficients> larc_novograd_layer(const LarcHyper& larc, const NovogradHyper& hyper,
                                                                  const NovogradCall& call, const LayerOptions& layer,
                                                                  double weight_sum, double grad_sum,
                                                                  SecondMoment& moment) {
  const double weight_norm = sqrt(weight_sum);
  const double grad_norm = mul(abs(call.sign_over_scale), sqrt(grad_sum));
  const LarcFactor factor = larc_factor(larc, layer, mul(call.lr, layer.lr_mult), 0, weight_norm, grad_norm);
  NovogradCall scaled = call;
  scaled.sign_over_scale = mul(call.sign_over_scale, factor.r);
  LayerUpdate<NovogradCoefficients> update = novograd_layer(hyper, scaled, layer, grad_sum, moment);
  update.stats.weight_norm = weight_norm;
  update.stats.grad_norm = grad_norm;
  update.stats.factor = factor.r;
  update.stats.clipped = factor.clipped ? 1.0 : 0.0;
  update.is_finite = update.is_finite && is_finite(weight_norm) && is_finite(grad_norm);
  return update;
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
