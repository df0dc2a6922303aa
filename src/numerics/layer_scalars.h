// What a layer contributes to its elements: every double formula. From a call's hyper-parameters, a layer's norms and
// its second moment follow the constants that element.h applies, whether the layer takes part, and its statistics.
#pragma once

#include "numerics/dtype.h"
#include "numerics/element.h"
#include "numerics/hyper.h"

namespace layerwise {

// A scalar the caller gives by value, or in the plan's memory as float32.
struct Scalar {
  double value;
  const float* pointer;
};

// The completed steps the caller counts in the plan's memory, or t itself; 0 where neither is given.
struct StepCount {
  int64_t t;
  const int64_t* completed;
};

struct NovogradHyper : NovogradPlain {
  Scalar lr, grad_scale;
  StepCount step;
  Dtype second_moment_dtype;
  bool infinity_norm;
};

struct LarcHyper : LarcPlain {
  Scalar lr, grad_scale;
  bool scale_mode, freeze, floor, untouched;
};

struct SgdHyper : SgdPlain {
  StepCount step;
};

// What differs from layer to layer beside the norms.
struct LayerOptions {
  double lr_mult, wd_mult;
  int64_t skip_larc;
};

struct LayerStats {
  double weight_norm, grad_norm, second_moment, factor, effective_lr, clipped;
};

// The scalars of a call, the same for each of its layers.
struct NovogradCall {
  double lr;
  double sign_over_scale;  // k
  double averaging;        // c
  double bias1, bias2;     // 1 - beta1^t; 1 - beta2^t, for the infinity norm its root; 1 without bias correction
  int64_t t;
};

struct LarcCall {
  double lr;
  double sign_over_scale;  // k
  bool first_step;
  int64_t t;
};

template <class Element>
struct LayerUpdate {
  bool takes_part;  // false: the layer keeps every bit
  Element element;
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
// A host learning rate is rounded as a device one is stored, so that both give the same bits.
LAYERWISE_INLINE double read_lr(const Scalar& lr) { return static_cast<double>(to_float(read(lr))); }
LAYERWISE_INLINE int64_t read(const StepCount& step) { return step.completed ? *step.completed + 1 : step.t; }
LAYERWISE_INLINE double sign_over_scale(const Scalar& grad_scale, bool maximize) {
  return div(maximize ? -1.0 : 1.0, read(grad_scale));
}

// base^exponent by square and multiply, low bit first: no library's pow agrees with another's.
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
  // Beyond the largest float32 a zero gradient must still give 0, not 0 times infinity.
  constexpr double largest = 0x1.fffffep127;
  const double clamped = rest > largest ? largest : rest < -largest ? -largest : rest;
  return {to_float(power), to_float(clamped)};
}

// A second moment as its dtype stores it.
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

// norm: the sum of the raw gradients' squares, or their largest magnitude; where it is a caller's it may be anything.
// moment: in, as stored; out, to be stored where the layer takes part.
LAYERWISE_INLINE LayerUpdate<NovogradElement> novograd_layer(const NovogradHyper& hyper, const NovogradCall& call,
                                                             const LayerOptions& layer, double norm,
                                                             SecondMoment& moment) {
  const double k = call.sign_over_scale;
  const double n = hyper.infinity_norm ? mul(abs(k), norm) : mul(mul(k, k), norm);
  const bool seeds = hyper.seed_second_moment && moment.value == 0;
  const double averaged = fma(hyper.beta2, moment.value, mul(sub(1, hyper.beta2), n));
  moment.value = stored(seeds ? n : averaged, hyper.second_moment_dtype);
  if (hyper.amsgrad) moment.maximum = larger(moment.maximum, moment.value);

  const double vh = div(hyper.amsgrad ? moment.maximum : moment.value, call.bias2);
  const double d = hyper.infinity_norm ? add(vh, hyper.eps) : add(sqrt(add(vh, hyper.eps_root)), hyper.eps);
  const double over_d = d == 0 ? 0 : div(1, d);
  const double lr = mul(call.lr, layer.lr_mult);
  const double corrected_lr = div(lr, call.bias1);

  LayerUpdate<NovogradElement> update;
  NovogradElement& element = update.element;
  element.weight_decay = to_float(mul(hyper.weight_decay, layer.wd_mult));
  element.beta1 = to_float(hyper.beta1);
  element.step = static_cast<uint32_t>(call.t);
  element.averaging = to_float(call.averaging);
  element.step_size = -to_float(corrected_lr);
  element.gradient = split(d == 0 ? 0 : div(k, d));
  element.update = split(0);
  if (hyper.decoupled_weight_decay) {
    element.gradient = split(k);
    element.update = split(d == 0 ? 0 : div(1, mul(d, call.bias1)));
    element.step_size = -to_float(lr);
  }
  if (hyper.lr_in_momentum) {
    element.averaging = to_float(mul(lr, call.averaging));
    element.step_size = -1;
  }
  const double grad_norm = hyper.infinity_norm ? n : mul(abs(k), sqrt(norm));
  update.stats = {not_a_number(), grad_norm, moment.value, over_d, corrected_lr, 0};
  update.takes_part = norm >= 0 && is_finite(n) && is_finite(moment.value) && is_finite(vh) && is_finite(k) &&
                      is_finite(element.step_size) && is_finite(element.averaging) && is_finite(element.weight_decay);
  return update;
}

LAYERWISE_INLINE LarcCall larc_call(const LarcHyper& hyper, const SgdHyper& sgd) {
  const int64_t t = sgd.momentum == 0 ? 1 : read(sgd.step);  // without momentum each step is as the first
  return {read_lr(hyper.lr), sign_over_scale(hyper.grad_scale, hyper.maximize), t == 1, t};
}

// LARC's factor r and whether clipping cut it. lr and weight_decay are the layer's.
struct LarcFactor {
  double r;
  bool clipped;
};
LAYERWISE_INLINE LarcFactor larc_factor(const LarcHyper& hyper, const LayerOptions& layer, double lr,
                                        double weight_decay, double weight_norm, double grad_norm) {
  if (layer.skip_larc) return {1, false};
  const bool formula_at_zero = hyper.freeze || hyper.floor;
  if (!formula_at_zero && (weight_norm == 0 || grad_norm == 0)) return {1, false};
  double ratio = 0;
  if (weight_norm != 0) {
    const double decay_norm = hyper.fold_weight_decay ? mul(weight_decay, weight_norm) : 0;
    const double denominator = add(add(grad_norm, decay_norm), hyper.eps);
    if (denominator == 0) return {1, false};
    ratio = div(mul(hyper.eta, weight_norm), denominator);
  }
  if (!hyper.scale_mode && lr == 0) return {1, false};
  if (!hyper.scale_mode) ratio = div(ratio, lr);
  const double floored = weight_norm == 0 && hyper.freeze ? 0 : larger(ratio, hyper.min_update);
  if (hyper.scale_mode) return {floored, false};
  return {smaller(floored, 1), floored > 1};
}

// The sums are of raw squares.
LAYERWISE_INLINE LayerUpdate<LarcElement> larc_layer(const LarcHyper& hyper, const SgdHyper& sgd, const LarcCall& call,
                                                     const LayerOptions& layer, double weight_sum, double grad_sum) {
  const double k = call.sign_over_scale;
  const double weight_norm = sqrt(weight_sum);
  const double grad_norm = mul(abs(k), sqrt(grad_sum));
  const double lr = mul(call.lr, layer.lr_mult);
  double weight_decay = mul(hyper.weight_decay, layer.wd_mult);
  const LarcFactor factor = larc_factor(hyper, layer, lr, weight_decay, weight_norm, grad_norm);
  if (!layer.skip_larc && hyper.untouched && (weight_norm == 0 || grad_norm == 0)) weight_decay = 0;

  LayerUpdate<LarcElement> update;
  LarcElement& element = update.element;
  element.gradient = split(mul(k, factor.r));
  element.decay = to_float(hyper.fold_weight_decay ? mul(factor.r, weight_decay) : weight_decay);
  element.momentum = to_float(sgd.momentum);
  element.undampened = to_float(sub(1, sgd.dampening));
  element.step_size = -to_float(lr);
  element.first_step = call.first_step;
  element.step = static_cast<uint32_t>(call.t);
  update.stats = {weight_norm, grad_norm, not_a_number(), factor.r, mul(lr, factor.r), factor.clipped ? 1.0 : 0.0};
  update.takes_part = is_finite(weight_norm) && is_finite(grad_norm) && is_finite(k) && is_finite(factor.r) &&
                      is_finite(element.step_size) && is_finite(element.decay);
  return update;
}

// LARC's factor before NovoGrad: k becomes k*r in everything that follows. The sums are of raw squares.
LAYERWISE_INLINE LayerUpdate<NovogradElement> larc_novograd_layer(const LarcHyper& larc, const NovogradHyper& hyper,
                                                                  const NovogradCall& call, const LayerOptions& layer,
                                                                  double weight_sum, double grad_sum,
                                                                  SecondMoment& moment) {
  const double weight_norm = sqrt(weight_sum);
  const double grad_norm = mul(abs(call.sign_over_scale), sqrt(grad_sum));
  const LarcFactor factor = larc_factor(larc, layer, mul(call.lr, layer.lr_mult), 0, weight_norm, grad_norm);
  NovogradCall scaled = call;
  scaled.sign_over_scale = mul(call.sign_over_scale, factor.r);
  LayerUpdate<NovogradElement> update = novograd_layer(hyper, scaled, layer, grad_sum, moment);
  update.stats.weight_norm = weight_norm;
  update.stats.grad_norm = grad_norm;
  update.stats.factor = factor.r;
  update.stats.clipped = factor.clipped ? 1.0 : 0.0;
  update.takes_part = update.takes_part && is_finite(weight_norm) && is_finite(grad_norm);
  return update;
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
