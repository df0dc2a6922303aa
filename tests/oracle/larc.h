// LARC, alone and with SGD, in extended precision from its formulas, with the error a float32 implementation is
// allowed.
//
//   r_raw = eta*|w| / (|g'| + wd*|w| + eps)          the wd term only with folded decay
//   r     = min(max(r_raw/lr, min_update), 1) to clip, max(r_raw, min_update) to scale
//   g     = r*g', or r*(g' + wd*w) folded
//   h     = r*(g' + wd*w) folded, else r*g' + wd*w
//   b     = h at t = 1, else mu*b + (1-dampening)*h
//   w     = w - lr*(nesterov ? h + mu*b : b)
#pragma once

#include <vector>

#include "bound.h"

namespace oracle {

struct LarcCall {
  Real lr, eta, eps, min_update, weight_decay, grad_scale;
  bool clip, fold, maximize;
  int32_t zero_norm;

  explicit LarcCall(const layerwise_larc_options& options)
      : lr(options.lr_ptr ? *options.lr_ptr : round_to(LAYERWISE_DTYPE_FLOAT32, options.lr)),
        eta(options.eta),
        eps(options.eps),
        min_update(options.min_update),
        weight_decay(options.weight_decay),
        grad_scale(options.grad_scale_ptr ? *options.grad_scale_ptr : options.grad_scale),
        clip(options.mode == LAYERWISE_LARC_CLIP),
        fold(options.fold_weight_decay),
        maximize(options.maximize),
        zero_norm(options.zero_norm) {}

  Real gradient_factor() const { return (maximize ? -1 : 1) / grad_scale; }
};

struct LarcScalars {
  Bounded weight_norm, grad_norm, factor;
  Real weight_decay;  // 0 where the layer is left undecayed
  bool skipped;
  Real uncut = 0;  // the factor before it is cut to 1; 0 where a rule gave it
};

// lr and weight_decay carry the layer's multipliers; skip is the layer's own choice to do without LARC.
inline LarcScalars larc_scalars(const LarcCall& call, Real lr, Real weight_decay, bool skip,
                                const std::vector<double>& weights, const std::vector<double>& grads) {
  Real w2 = 0, g2 = 0;
  bool finite = true;
  for (double w : weights) w2 += static_cast<Real>(w) * w, finite = finite && std::isfinite(w);
  for (double g : grads) g2 += static_cast<Real>(g) * g, finite = finite && std::isfinite(g);
  const Real w = std::sqrt(w2), g = std::fabs(call.gradient_factor()) * std::sqrt(g2);
  // A root halves the relative error of its argument.
  const Real relative = (kNormRoundings + 1) / 2 * kHalfUlp;
  LarcScalars result{{w, w * relative}, {g, g * relative}, {1, 0}, weight_decay, !finite, 0};
  const bool formula = call.zero_norm == LAYERWISE_ZERO_NORM_FREEZE || call.zero_norm == LAYERWISE_ZERO_NORM_FLOOR;
  const Real denominator = g + (call.fold ? weight_decay * w : 0) + call.eps;
  if (skip) return result;
  if (!formula && (w == 0 || g == 0)) {
    if (call.zero_norm == LAYERWISE_ZERO_NORM_UNTOUCHED) result.weight_decay = 0;
    return result;
  }
  if (call.clip && lr == 0) return result;
  if (w == 0) {
    result.factor.value = call.zero_norm == LAYERWISE_ZERO_NORM_FREEZE ? 0 : call.min_update;
    if (call.clip && result.factor.value > 1) result.factor.value = 1;
    return result;
  }
  if (denominator == 0) return result;
  Real r = call.eta * w / denominator;
  if (call.clip) r /= lr;
  r = result.uncut = std::fmax(r, call.min_update);
  if (call.clip) r = std::fmin(r, 1);
  result.factor = {r, r * 2 * relative};  // both norms; limits do not enlarge an error
  return result;
}

// r*g', or r*(g' + wd*w): the factor's error, and at most 5 roundings (scalar, product, decay scalar, sum, factor).
inline Bounded larc_gradient(const LarcCall& call, const LarcScalars& layer, double w, double g) {
  const Real r = layer.factor.value;
  const Real raw = call.gradient_factor() * g, decay = call.fold ? layer.weight_decay * w : 0;
  const Real magnitude = std::fabs(raw) + std::fabs(decay);
  return {r * (raw + decay), (layer.factor.error + 6 * kHalfUlp * r) * magnitude + kTiny * (2 + 2 * r)};
}

struct SgdCall {
  Real momentum, dampening;
  bool nesterov, first;

  explicit SgdCall(const layerwise_sgd_options& options)
      : momentum(options.momentum),
        dampening(options.dampening),
        nesterov(options.nesterov),
        first((options.step_ptr ? *options.step_ptr + 1 : options.step) == 1) {}
};

struct SgdElement {
  Bounded momentum, weight;
};

inline SgdElement sgd_element(const LarcCall& larc, const SgdCall& sgd, const LarcScalars& layer, Real lr, double w,
                              double g, double b) {
  Bounded h = larc_gradient(larc, layer, w, g);
  if (!larc.fold) {  // one scalar, one fused sum
    const Real decay = layer.weight_decay * w;
    h.value += decay;
    h.error += 3 * kHalfUlp * (std::fabs(decay) + std::fabs(h.value)) + kTiny;
  }
  SgdElement result;
  if (sgd.momentum == 0 || sgd.first) {
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
  result.weight.value = w - lr * step.value;
  result.weight.error =
      lr * step.error + 3 * kHalfUlp * lr * std::fabs(step.value) + kHalfUlp * std::fabs(result.weight.value) + kTiny;
  return result;
}

}  // namespace oracle
