// LARC, alone and with SGD, in extended precision from its formulas, with the error a float32 implementation is
// allowed.
//
//   n     = |g'|, |g'| + wd*|w| |g' + wd*w| or both added, as decay is folded      r_raw = eta*|w| / (n + eps)
//   r     = min(max(r_raw/lr, min_update), 1) to clip, max(r_raw, min_update), at most max_update, to scale
//   h     = r*(g' + wd*w) folded by norms or gradient, else r*g' + wd*w; g = h without that last wd*w
//   b     = h at t = 1, else mu*b + (1-dampening)*h
//   w     = w - lr*(nesterov ? h + mu*b : b)
// With lr in the momentum lr*h, and 1 for lr; with the factor behind it h = g' + wd*w, and lr*r. Decoupled, w has shrunk
// by 1 - lr*wd before all of it, and there is no wd in h.
#pragma once

#include <vector>

#include "bound.h"

namespace oracle {

struct LarcCall {
  Real lr, eta, eps, min_update, max_update, weight_decay, grad_scale, threshold;
  bool clip, maximize;
  int32_t zero_norm, zero_grad, fold;

  explicit LarcCall(const layerwise_larc_options& options)
      : lr(options.lr_ptr ? *options.lr_ptr : round_to(LAYERWISE_DTYPE_FLOAT32, options.lr)),
        eta(options.eta),
        eps(options.eps),
        min_update(options.min_update),
        max_update(options.max_update == 0 ? INFINITY : options.max_update),
        weight_decay(options.weight_decay),
        grad_scale(options.grad_scale_ptr ? *options.grad_scale_ptr : options.grad_scale),
        threshold(options.weight_norm_threshold),
        clip(options.mode == LAYERWISE_LARC_CLIP),
        maximize(options.maximize),
        zero_norm(options.zero_norm),
        zero_grad(options.zero_grad_norm),
        fold(options.fold_weight_decay) {}

  Real gradient_factor() const { return (maximize ? -1 : 1) / grad_scale; }
  bool of_decayed_gradient() const { return fold == LAYERWISE_FOLD_GRADIENT || fold == LAYERWISE_FOLD_BOTH; }
  bool decay_in_factor() const { return of_decayed_gradient() || fold == LAYERWISE_FOLD_NORMS; }
  bool decoupled() const { return fold == LAYERWISE_FOLD_DECOUPLED; }
  bool adds_decay_norm() const {
    return fold == LAYERWISE_FOLD_NORMS || fold == LAYERWISE_FOLD_BOTH || decoupled();
  }
};

struct LarcScalars {
  Bounded weight_norm, grad_norm, factor;
  Real weight_decay;  // 0 where the layer is left undecayed
  bool skipped;
  Real uncut = 0;  // the factor before it is cut to 1; 0 where there was nothing to cut
};

// The norm of what LARC takes for the gradient, with the roundings of its float32 elements.
inline Bounded larc_grad_norm(const LarcCall& call, Real weight_decay, const std::vector<double>& weights,
                              const std::vector<double>& grads, bool& finite) {
  const Real k = call.gradient_factor();
  const Real decay = call.of_decayed_gradient() ? weight_decay / k : 0;
  Real squares = 0, roundings = 0;
  for (size_t i = 0; i < grads.size(); ++i) {
    const Real decayed = decay * weights[i], g = grads[i] + decayed;
    const Real rounding = decay == 0 ? 0 : kHalfUlp * (std::fabs(decayed) + std::fabs(g)) + kTiny;
    squares += g * g, roundings += rounding * rounding;
    finite = finite && std::isfinite(grads[i]) && std::isfinite(static_cast<float>(g));
  }
  const Real norm = std::fabs(k) * std::sqrt(squares);
  // A root halves the relative error of its argument.
  return {norm, norm * (kNormRoundings + 1) / 2 * kHalfUlp + 1.01L * std::fabs(k) * std::sqrt(roundings)};
}

// lr and weight_decay carry the layer's multipliers; skip is the layer's own choice to do without LARC.
inline LarcScalars larc_scalars(const LarcCall& call, Real lr, Real weight_decay, bool skip,
                                const std::vector<double>& weights, const std::vector<double>& grads) {
  Real w2 = 0;
  bool finite = true;
  for (double w : weights) w2 += static_cast<Real>(w) * w, finite = finite && std::isfinite(w);
  const Bounded grad_norm = larc_grad_norm(call, weight_decay, weights, grads, finite);
  const Real stored = std::sqrt(w2), g = grad_norm.value;
  const Real w = call.decoupled() ? std::fabs(1 - lr * weight_decay) * stored : stored;
  const Real relative = (kNormRoundings + 1) / 2 * kHalfUlp;
  LarcScalars result{{stored, stored * relative}, grad_norm, {1, 0}, weight_decay, !finite, 0};
  if (skip) return result;
  const bool no_weights = w <= call.threshold;
  const bool rules = call.zero_norm != LAYERWISE_ZERO_NORM_FREEZE && call.zero_norm != LAYERWISE_ZERO_NORM_FLOOR;
  const bool at_zero = rules && (no_weights || (g == 0 && call.zero_grad == LAYERWISE_ZERO_GRAD_AS_WEIGHT));
  if (at_zero && call.zero_norm != LAYERWISE_ZERO_NORM_UNIT) {
    if (call.zero_norm == LAYERWISE_ZERO_NORM_UNTOUCHED) result.weight_decay = 0;
    return result;
  }
  const Real denominator = g + (call.adds_decay_norm() ? weight_decay * w : 0) + call.eps;
  Real r = 0, error = 0;
  if (at_zero) {
    r = 1;
  } else if (!no_weights) {
    if (denominator == 0) return result;
    r = call.eta * w / denominator;
    if (g == 0 && call.zero_grad == LAYERWISE_ZERO_GRAD_AT_LEAST_ONE) r = std::fmax(r, 1);
    error = relative + std::fmax(relative, grad_norm.error / denominator);
  }
  if (call.clip && lr == 0) return result;
  if (no_weights && call.zero_norm == LAYERWISE_ZERO_NORM_FREEZE) {
    result.factor.value = 0;
    return result;
  }
  if (call.clip) r /= lr;
  r = result.uncut = std::fmax(r, call.min_update);
  r = std::fmin(r, call.clip ? 1 : call.max_update);
  result.factor = {r, r * error};  // limits do not enlarge an error
  return result;
}

// What multiplies the gradient, weight decay beside it, and the momentum.
struct SgdFactors {
  Bounded entering, entering_decay, rate;
};

// entering*g' + entering_decay*wd*w: the factors' errors, and at most 6 roundings on a term.
inline Bounded larc_sum(const LarcCall& call, const LarcScalars& layer, const SgdFactors& by, double w, double g) {
  const Real raw = call.gradient_factor() * g, decay = layer.weight_decay * w;
  const Real decayed = by.entering_decay.value * decay;
  const Real magnitude = std::fabs(by.entering.value * raw) + std::fabs(decayed);
  return {by.entering.value * raw + decayed, by.entering.error * std::fabs(raw) +
                                                 by.entering_decay.error * std::fabs(decay) +
                                                 6 * kHalfUlp * magnitude + kTiny * (3 + 2 * by.entering.value)};
}

// What larc_scale writes.
inline Bounded larc_gradient(const LarcCall& call, const LarcScalars& layer, double w, double g) {
  return larc_sum(call, layer, {layer.factor, call.decay_in_factor() ? layer.factor : Bounded{0, 0}, {}}, w, g);
}

struct SgdCall {
  Real momentum, dampening;
  Real limit;
  bool nesterov, lr_in_momentum, factor_after_momentum, takes_all;  // of the gradient, as the first step does

  explicit SgdCall(const layerwise_sgd_options& options)
      : momentum(options.momentum),
        dampening(options.dampening),
        limit(options.clip_value == 0 ? INFINITY : options.clip_value),
        nesterov(options.nesterov),
        lr_in_momentum(options.lr_in_momentum),
        factor_after_momentum(options.factor_after_momentum),
        takes_all(options.momentum == 0 || (!options.dampen_first_step &&
                                            (options.step_ptr ? *options.step_ptr + 1 : options.step) == 1)) {}
};

inline SgdFactors sgd_factors(const LarcCall& larc, const SgdCall& sgd, const Bounded& r, Real lr) {
  const auto times = [](const Bounded& by, Real factor) { return Bounded{by.value * factor, by.error * factor}; };
  const Bounded one{1, 0}, none{0, 0};
  if (sgd.factor_after_momentum) return {one, larc.decoupled() ? none : one, times(r, lr)};
  const Bounded decay = larc.decoupled() ? none : larc.decay_in_factor() ? r : one;
  if (sgd.lr_in_momentum) return {times(r, lr), times(decay, lr), one};
  return {r, decay, {lr, 0}};
}

struct SgdElement {
  Bounded momentum, weight;
};

inline SgdElement sgd_element(const LarcCall& larc, const SgdCall& sgd, const LarcScalars& layer, Real lr, double w,
                              double g, double b) {
  const SgdFactors by = sgd_factors(larc, sgd, layer.factor, lr);
  Bounded h = larc_sum(larc, layer, by, w, g);
  const Real limit = sgd.lr_in_momentum && sgd.limit != INFINITY ? lr * sgd.limit : sgd.limit;
  if (std::fabs(h.value) > limit) h.value = std::copysign(limit, h.value), h.error += kHalfUlp * limit;
  SgdElement result;
  if (sgd.takes_all) {
    result.momentum = h;
  } else {  // mu, 1 - dampening, their product and the sum rounded
    const Real kept = sgd.momentum * b, share = 1 - sgd.dampening;
    result.momentum = {kept + share * h.value,
                       share * h.error + 4 * kHalfUlp * (std::fabs(kept) + std::fabs(share * h.value)) + 2 * kTiny};
  }
  Bounded step = result.momentum;
  if (sgd.nesterov) {
    const Real ahead = sgd.momentum * result.momentum.value;
    step = {h.value + ahead, h.error + sgd.momentum * result.momentum.error +
                                 3 * kHalfUlp * (std::fabs(h.value) + std::fabs(ahead)) + kTiny};
  }
  const Real shrunk = larc.decoupled() ? lr * layer.weight_decay * w : 0;
  const Real rate = by.rate.value;
  result.weight.value = w - shrunk - rate * step.value;
  result.weight.error = rate * step.error + by.rate.error * std::fabs(step.value) +
                        3 * kHalfUlp * rate * std::fabs(step.value) + kHalfUlp * std::fabs(result.weight.value) + kTiny;
  if (larc.decoupled()) result.weight.error += kHalfUlp * (std::fabs(shrunk) + std::fabs(w - shrunk)) + kTiny;
  return result;
}

}  // namespace oracle
