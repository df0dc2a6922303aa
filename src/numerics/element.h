// What happens to one element: every float32 formula, each operation a single rounding in the order written. The
// per-layer constants come from layer_scalars.h.
#pragma once

#include "numerics/ieee.h"

namespace layerwise {

// A factor from double arithmetic, split so that both parts are float32: it multiplies as (x * power) * rest.
struct Factor {
  float power;  // 1, 2^64 or 2^-64
  float rest;
};

// One NovoGrad layer.
struct NovogradCoefficients {
  Factor gradient;     // k/d; decoupled: k
  Factor update;       // decoupled: 1/(d * bias correction)
  float weight_decay;
  float beta1;
  float averaging;     // c; with lr in the momentum lr*c
  float step_size;     // minus the learning rate over the bias correction; with lr in the momentum -1
  uint32_t step;       // t's low 32 bits: for stochastic rounding
};

// One LARC layer.
struct LarcCoefficients {
  Factor gradient;      // k*r; with lr in the momentum lr*k*r, with the factor behind it k
  float decay;          // what multiplies w inside h: wd, times what multiplies g' where r does
  float decay_before;   // minus lr*wd where the weights shrink before the step, else 0
  float limit;          // of what enters the momentum, 0: none
  float momentum;
  float undampened;     // 1 - dampening
  float step_size;      // minus the learning rate; with lr in the momentum -1, with the factor behind it -lr*r
  int32_t first_step;   // t is 1, or there is no momentum: b = h
  uint32_t step;        // t's low 32 bits: for stochastic rounding
};

inline namespace LAYERWISE_ISA {

// V is a float, or a register of them.

template <class V>
LAYERWISE_INLINE V scale(V x, Factor factor) {
  return mul(mul(x, factor.power), factor.rest);
}

// m = beta1*m + c*(g'/d + wd*w); w = w - lr*m.
template <class V>
LAYERWISE_INLINE void novograd_element(const NovogradCoefficients& layer, V g, V& m, V& w) {
  const V u = fma(layer.weight_decay, w, scale(g, layer.gradient));
  m = fma(layer.beta1, m, mul(u, layer.averaging));
  w = fma(layer.step_size, m, w);
}

// m = beta1*m + c*g'; w = w - lr*(m/d + wd*w).
template <class V>
LAYERWISE_INLINE void novograd_decoupled_element(const NovogradCoefficients& layer, V g, V& m, V& w) {
  m = fma(layer.beta1, m, mul(scale(g, layer.gradient), layer.averaging));
  w = fma(layer.step_size, fma(layer.weight_decay, w, scale(m, layer.update)), w);
}

// r*g'.
template <class V>
LAYERWISE_INLINE V larc_element(const LarcCoefficients& layer, V g) {
  return scale(g, layer.gradient);
}

// h = r*(g' + wd*w), or r*g' + wd*w.
template <class V>
LAYERWISE_INLINE V larc_decayed_element(const LarcCoefficients& layer, V g, V w) {
  return fma(layer.decay, w, larc_element(layer, g));
}

// That, no larger than the limit.
template <class V>
LAYERWISE_INLINE V sgd_gradient(const LarcCoefficients& layer, V g, V w) {
  const V h = larc_decayed_element(layer, g, w);
  return layer.limit == 0 ? h : cut(h, layer.limit);
}

// b = h, or mu*b + (1-dampening)*h.
template <class V>
LAYERWISE_INLINE V sgd_momentum(const LarcCoefficients& layer, V h, V b) {
  return layer.first_step ? h : fma(layer.momentum, b, mul(h, layer.undampened));
}

// w = w - lr*b, or w - lr*(h + mu*b); of a w that shrank before.
template <class V>
LAYERWISE_INLINE V sgd_weight(const LarcCoefficients& layer, bool nesterov, V h, V b, V w) {
  const V before = layer.decay_before == 0 ? w : fma(layer.decay_before, w, w);
  return fma(layer.step_size, nesterov ? fma(layer.momentum, b, h) : b, before);
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
