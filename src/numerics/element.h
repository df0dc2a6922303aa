// The update of one element: all float32 formulas, with one rounding per operation, in the order written here. The
// constants of the layer come from layer_scalars.h.
#pragma once

#include "numerics/ieee.h"

namespace layerwise {

// A factor computed in double that may lie outside the range of float32. Split into two float32 factors, it is applied
// as (x * power) * rest.
struct Factor {
  float power;  // 1, 2^64 or 2^-64
  float rest;
};

// The constants of a layer under NovoGrad.
struct NovogradCoefficients {
  Factor gradient;     // k/d; decoupled: k
  Factor update;       // decoupled: 1/(d * bias correction)
  float weight_decay;
  float beta1;
  float averaging;     // c; lr*c with lr_in_momentum
  float step_size;     // minus the bias-corrected learning rate; -1 with lr_in_momentum
  uint32_t step;       // t's low 32 bits: for stochastic rounding
};

// The constants of a layer under LARC.
struct LarcCoefficients {
  Factor gradient;      // k*r; lr*k*r with lr_in_momentum, k with factor_after_momentum
  float decay;          // the factor of w in h: wd, times r if decay is folded in, times lr with lr_in_momentum
  float decay_before;   // -lr*wd if the weights are decayed before the step, else 0
  float limit;          // upper bound of what enters the momentum, 0: none
  float momentum;
  float undampened;     // 1 - dampening
  float step_size;      // minus the learning rate; -1 with lr_in_momentum, -lr*r with factor_after_momentum
  int32_t first_step;   // t is 1, or there is no momentum: b = h
  uint32_t step;        // t's low 32 bits: for stochastic rounding
};

inline namespace LAYERWISE_ISA {

// V is a float, or a vector register of floats.

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

// h, with its magnitude cut to the limit.
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

// w = w - lr*b, or w - lr*(h + mu*b) with Nesterov's momentum, after the decay that comes before the step.
template <class V>
LAYERWISE_INLINE V sgd_weight(const LarcCoefficients& layer, bool nesterov, V h, V b, V w) {
  const V before = layer.decay_before == 0 ? w : fma(layer.decay_before, w, w);
  return fma(layer.step_size, nesterov ? fma(layer.momentum, b, h) : b, before);
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
