// A vector file run through the oracle in extended precision, without any storage rounding: what the file's results
// should be, and beside them the error that a float32 run of all its steps may have gathered.
//
// The oracle gives the error of one step from exact state. Over several steps the errors of the state add to it as the
// formulas carry them: moment through beta1 (or mu), weights through decay and, for LARC, through their norm; the
// second moment's through d, of which it shifts half its own relative error.
#pragma once

#include "../oracle/larc.h"
#include "../oracle/novograd.h"
#include "vector_file.h"

struct Replay {
  using Real = oracle::Real;
  std::vector<Real> weights, moment, second_moment, max_second_moment;
  std::vector<Real> weights_bound, moment_bound, second_moment_bound;
  std::vector<std::vector<Real>> scaled, scaled_bound, factors, factors_bound;  // LARC: one a step

  explicit Replay(const VectorFile& file)
      : weights(file.weights.begin(), file.weights.end()),
        moment(weights.size()),
        second_moment(file.sizes.size()),
        max_second_moment(file.sizes.size()),
        weights_bound(weights.size()),
        moment_bound(weights.size()),
        second_moment_bound(file.sizes.size()) {
    for (size_t t = 0; t < file.gradients.size(); ++t) {
      scaled.emplace_back(weights.size());
      scaled_bound.emplace_back(weights.size());
      factors.emplace_back(file.sizes.size());
      factors_bound.emplace_back(file.sizes.size());
      size_t begin = 0;
      for (size_t layer = 0; layer < file.sizes.size(); ++layer) {
        const size_t end = begin + static_cast<size_t>(file.sizes[layer]);
        if (file.novograd)
          novograd_layer(file, t, layer, begin, end);
        else
          larc_layer(file, t, layer, begin, end);
        begin = end;
      }
    }
  }

 private:
  static std::vector<double> part(const auto& values, size_t begin, size_t end) {
    return std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(begin),
                               values.begin() + static_cast<std::ptrdiff_t>(end));
  }

  void novograd_layer(const VectorFile& file, size_t t, size_t layer, size_t begin, size_t end) {
    layerwise_novograd_options options = file.novograd_options;
    options.step = static_cast<int64_t>(t) + 1;
    oracle::NovogradCall call(options);
    call.lr = options.lr;  // the files do not round it to float32: one more rounding for the library
    const auto scalars = oracle::novograd_scalars(call, part(file.gradients[t], begin, end),
                                                  static_cast<double>(second_moment[layer]), LAYERWISE_DTYPE_FLOAT64);
    const Real v = second_moment[layer] = scalars.second_moment.value;
    second_moment_bound[layer] =
        call.beta2 * second_moment_bound[layer] + scalars.second_moment.error + oracle::kHalfUlp * v;
    max_second_moment[layer] = std::fmax(max_second_moment[layer], v);
    const Real d = oracle::novograd_denominator(call, call.amsgrad ? max_second_moment[layer] : v);
    // The infinity norm's v is a norm, not a square: its relative error enters d whole.
    const Real d_error = v == 0 ? 0 : (call.infinity_norm ? 1 : 0.5L) * second_moment_bound[layer] / v;
    for (size_t i = begin; i < end; ++i) {
      const double w = static_cast<double>(weights[i]), m = static_cast<double>(moment[i]), g = file.gradients[t][i];
      const auto element = oracle::novograd_element(call, call.lr, call.weight_decay, d, w, g, m);
      const Real share = call.entry() * (call.lr_in_momentum ? call.lr : 1);
      const Real rate = call.lr_in_momentum ? 1 : call.lr / call.correction1();
      const Real divided = d == 0 ? 0 : std::fabs(call.gradient_factor() * g) / d;
      moment_bound[i] = call.beta1 * moment_bound[i] + element.moment.error +
                        (call.decoupled ? 0 : share * (d_error * divided + call.weight_decay * weights_bound[i]));
      const Real moved = std::fabs(element.weight.value - w);
      weights_bound[i] += element.weight.error + oracle::kHalfUlp * moved +
                          (call.decoupled ? rate * (moment_bound[i] / d + d_error * std::fabs(element.moment.value) / d)
                                          : rate * moment_bound[i]);
      weights[i] = element.weight.value;
      moment[i] = element.moment.value;
    }
  }

  void larc_layer(const VectorFile& file, size_t t, size_t layer, size_t begin, size_t end) {
    layerwise_sgd_options options = file.sgd_options;
    options.step = static_cast<int64_t>(t) + 1;
    oracle::LarcCall call(file.larc_options);
    call.lr = file.larc_options.lr;
    const oracle::SgdCall sgd(options);
    auto scalars = oracle::larc_scalars(call, call.lr, call.weight_decay, false, part(weights, begin, end),
                                        part(file.gradients[t], begin, end));
    Real shift = 0;  // of |w|, by the error the weights have gathered
    for (size_t i = begin; i < end; ++i) shift += weights_bound[i] * weights_bound[i];
    if (scalars.factor.error > 0)
      scalars.factor.error +=
          scalars.factor.value * (2 * std::sqrt(shift) / scalars.weight_norm.value + oracle::kHalfUlp);
    factors[t][layer] = scalars.factor.value;
    factors_bound[t][layer] = scalars.factor.error;
    for (size_t i = begin; i < end; ++i) {
      const double w = static_cast<double>(weights[i]), b = static_cast<double>(moment[i]), g = file.gradients[t][i];
      const auto gradient = oracle::larc_gradient(call, scalars, w, g);
      const Real decayed = scalars.weight_decay * weights_bound[i];
      scaled[t][i] = gradient.value;
      scaled_bound[t][i] = gradient.error + scalars.factor.value * decayed;
      const auto element = oracle::sgd_element(call, sgd, scalars, call.lr, w, g, b);
      moment_bound[i] = sgd.momentum * moment_bound[i] + element.momentum.error + decayed;
      weights_bound[i] +=
          element.weight.error + call.lr * moment_bound[i] + oracle::kHalfUlp * std::fabs(element.weight.value - w);
      weights[i] = element.weight.value;
      moment[i] = element.momentum.value;
    }
  }
};
