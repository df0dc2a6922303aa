// NovoGrad in extended precision, from its formulas: one layer, one step, with the error a float32 implementation is
// allowed for each result.
//
//   g' = g / grad_scale, negated to maximize       n2 = sum g'^2
//   v  = n2 where v is seeded, while it is 0 or at t = 1, else beta2*v + (1-beta2)*n2
//   vh = v or its running maximum, over 1 - beta2^t with bias correction
//   d  = sqrt(vh + eps_root) + eps                 u  = g'/d + wd*w
//   m  = beta1*m + c*u                             w  = w - lr*m, m over 1 - beta1^t with bias correction
//
// The stored second moment enters what follows, as the library defines it: the caller passes the one it found, once it
// has compared it.
#pragma once

#include <vector>

#include "bound.h"

namespace oracle {

// The call with its pointers followed: a host learning rate is rounded to float32, as a device one is.
struct NovogradCall {
  Real lr, beta1, beta2, eps, eps_root, weight_decay, grad_scale;
  int64_t step;  // t; 0: not given
  bool infinity_norm, grad_averaging, average_first_step, amsgrad, bias_correction, seeds_while_zero, seeds_first_step;
  bool decoupled, normalized, lr_in_momentum, maximize;
  Bounded ahead{1, 0};  // what the gradients are multiplied by before: LARC's factor

  explicit NovogradCall(const layerwise_novograd_options& options)
      : lr(options.lr_ptr ? *options.lr_ptr : round_to(LAYERWISE_DTYPE_FLOAT32, options.lr)),
        beta1(options.beta1),
        beta2(options.beta2),
        eps(options.eps),
        eps_root(options.eps_root),
        weight_decay(options.weight_decay),
        grad_scale(options.grad_scale_ptr ? *options.grad_scale_ptr : options.grad_scale),
        step(options.step_ptr ? *options.step_ptr + 1 : options.step),
        infinity_norm(options.norm == LAYERWISE_NORM_INF),
        grad_averaging(options.grad_averaging),
        average_first_step(options.average_first_step),
        amsgrad(options.amsgrad),
        bias_correction(options.bias_correction),
        seeds_while_zero(options.seed_second_moment == LAYERWISE_SEED_WHILE_ZERO),
        seeds_first_step(options.seed_second_moment == LAYERWISE_SEED_FIRST_STEP),
        decoupled(options.decoupled_weight_decay == LAYERWISE_DECOUPLED_RAW),
        normalized(options.decoupled_weight_decay == LAYERWISE_DECOUPLED_NORMALIZED),
        lr_in_momentum(options.lr_in_momentum),
        maximize(options.maximize) {}

  Real gradient_factor() const { return ahead.value * (maximize ? -1 : 1) / grad_scale; }
  Real ahead_error() const { return ahead.value == 0 ? 0 : ahead.error / ahead.value; }               // relative
  Real entry() const { return grad_averaging && (average_first_step || step != 1) ? 1 - beta1 : 1; }  // c
  Real correction1() const { return bias_correction ? 1 - std::pow(beta1, static_cast<Real>(step)) : 1; }
  Real correction2() const { return bias_correction ? 1 - std::pow(beta2, static_cast<Real>(step)) : 1; }
};

struct NovogradScalars {
  Bounded norm;           // |g'|: for the statistics
  Bounded second_moment;  // before it is rounded to its dtype
  bool skipped;           // not finite, or too large for its dtype
};

inline NovogradScalars novograd_scalars(const NovogradCall& call, const std::vector<double>& grads, double old_v,
                                        int32_t v_dtype) {
  NovogradScalars result{};
  Real sum = 0, largest = 0;
  bool nan = false;
  for (double g : grads) {
    sum += static_cast<Real>(g) * g;
    largest = std::fmax(largest, std::fabs(g));
    nan = nan || std::isnan(g);
  }
  const Real k = call.gradient_factor();
  const Real n = call.infinity_norm ? largest * std::fabs(k) : k * k * sum;
  // A maximum is exact; double arithmetic after either one is far below float32's roundings.
  const Real relative = (call.infinity_norm ? kHalfUlp * 0x1p-20L : kNormRoundings * kHalfUlp) + 2 * call.ahead_error();
  const bool seed = (call.seeds_while_zero && old_v == 0) || (call.seeds_first_step && call.step == 1);
  const Real v = seed ? n : call.beta2 * old_v + (1 - call.beta2) * n;
  result.second_moment = {v, (seed ? n : (1 - call.beta2) * n) * relative + v * 0x1p-48L};
  result.norm = call.infinity_norm ? Bounded{n, n * relative} : Bounded{std::sqrt(n), std::sqrt(n) * relative};
  result.skipped = nan || !std::isfinite(largest) || !std::isfinite(round_to(v_dtype, v));
  return result;
}

// d, from the second moment as it is stored.
inline Real novograd_denominator(const NovogradCall& call, Real stored_v) {
  if (call.infinity_norm) return stored_v / std::sqrt(call.correction2()) + call.eps;
  return std::sqrt(stored_v / call.correction2() + call.eps_root) + call.eps;
}

struct NovogradElement {
  Bounded moment, weight;
};

// One element; weight_decay and lr carry the layer's multipliers already.
inline NovogradElement novograd_element(const NovogradCall& call, Real lr, Real weight_decay, Real d, double w,
                                        double g, double m) {
  const Real k = call.gradient_factor(), c = call.entry();
  const Real decay = weight_decay * w;
  const Real over_d = d == 0 ? 0 : 1 / d;
  NovogradElement result;
  if (call.decoupled) {
    // k rounded, product rounded, c rounded, product rounded, beta1 rounded, fused sum rounded: at most 5 on a term.
    const Real kept = call.beta1 * m, entering = c * k * g;
    result.moment = {kept + entering, 7 * kHalfUlp * (std::fabs(kept) + std::fabs(entering)) +
                                          call.ahead_error() * std::fabs(entering) + 3 * kTiny};
    // The same errors over d, then 1/d rounded, product rounded, decay (2), sum, lr rounded, fused sum rounded.
    const Real step = result.moment.value * over_d / call.correction1();
    const Real moved = lr * (std::fabs(step) + std::fabs(decay));
    result.weight.value = w - lr * (step + decay);
    result.weight.error = lr * result.moment.error * over_d / call.correction1() + 8 * kHalfUlp * moved +
                          kHalfUlp * std::fabs(result.weight.value) + kTiny * (3 + 2 * lr);
    return result;
  }
  if (call.normalized) {
    // g'/d: scalar and product rounded, c and its product, beta1, sum.
    const Real kept = call.beta1 * m, entering = c * (k * g * over_d);
    result.moment = {kept + entering, 7 * kHalfUlp * (std::fabs(kept) + std::fabs(entering)) +
                                          call.ahead_error() * std::fabs(entering) + 4 * kTiny};
    // The correction rounded, its product, decay (2), sum, lr rounded, fused sum rounded.
    const Real step = result.moment.value / call.correction1();
    result.weight.value = w - lr * (step + decay);
    result.weight.error = lr * result.moment.error / call.correction1() +
                          8 * kHalfUlp * lr * (std::fabs(step) + std::fabs(decay)) +
                          kHalfUlp * std::fabs(result.weight.value) + kTiny * (3 + 2 * lr);
    return result;
  }
  // g'/d: scalar rounded, product rounded. Decay: scalar rounded. u rounded. c (times lr) rounded, product rounded.
  // beta1 rounded. Sum rounded: at most 6 on a term.
  const Real share = call.lr_in_momentum ? lr * c : c;
  const Real kept = call.beta1 * m, entering = share * (k * g * over_d), decayed = share * decay;
  const Real moment = kept + entering + decayed;
  const Real tiny = kTiny * (2 + 2 * share);
  result.moment = {moment, 8 * kHalfUlp * (std::fabs(kept) + std::fabs(entering) + std::fabs(decayed)) +
                               call.ahead_error() * std::fabs(entering) + tiny};
  const Real rate = call.lr_in_momentum ? 1 : lr / call.correction1();
  result.weight.value = w - rate * moment;
  // The rate rounded and the fused sum rounded on top of the moment's error, from the moment before it is stored.
  result.weight.error = rate * result.moment.error + 2 * kHalfUlp * rate * std::fabs(moment) +
                        kHalfUlp * std::fabs(result.weight.value) + kTiny;
  return result;
}

}  // namespace oracle
