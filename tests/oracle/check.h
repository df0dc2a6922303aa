// A step held against the oracle: the model before, the model after, the options. Says in one line what is wrong first:
// layer, tile, index, and both values in hexadecimal; an empty string when nothing is.
#pragma once

#include <cinttypes>
#include <cstdio>

#include "larc.h"
#include "model.h"
#include "novograd.h"

namespace oracle {

// Counters and flags that a step may change besides the buffers.
struct Effects {
  bool found_inf = false;
  int64_t nonfinite_layers = 0;  // how many the step reported; -1: it was not asked
};

class Check {
 public:
  Check(const Model& was, const Model& is) : before(was), after(is), begins(was.layout.begins()) {}

  std::string novograd(const layerwise_novograd_options& options, const Effects& effects) {
    const NovogradCall call(options);
    each_layer(effects, [&](int64_t l) { return novograd_layer(call, l); });
    same("grads", before.grads, after.grads);
    if (!call.amsgrad) same("max_second_moment", before.max_second_moment, after.max_second_moment);
    return verdict(effects);
  }

  // LARC's lr, grad_scale and maximize are NovoGrad's.
  std::string larc_novograd(layerwise_larc_options larc, const layerwise_novograd_options& options,
                            const Effects& effects) {
    larc.lr = options.lr, larc.lr_ptr = options.lr_ptr, larc.maximize = options.maximize;
    larc.grad_scale = options.grad_scale, larc.grad_scale_ptr = options.grad_scale_ptr;
    const LarcCall ahead(larc);
    const NovogradCall call(options);
    each_layer(effects, [&](int64_t l) { return novograd_layer(call, l, &ahead); });
    same("grads", before.grads, after.grads);
    if (!call.amsgrad) same("max_second_moment", before.max_second_moment, after.max_second_moment);
    return verdict(effects);
  }

  std::string larc_scale(const layerwise_larc_options& options, const Effects& effects) {
    const LarcCall call(options);
    each_layer(effects, [&](int64_t l) { return larc_layer(call, nullptr, l); });
    same("weights", before.weights, after.weights);
    same("moment", before.moment, after.moment);
    same("extra", before.extra, after.extra);
    same("second_moment", before.second_moment, after.second_moment);
    return verdict(effects);
  }

  std::string larc_sgd(const layerwise_larc_options& options, const layerwise_sgd_options& sgd_options,
                       const Effects& effects) {
    const LarcCall call(options);
    const SgdCall sgd(sgd_options);
    each_layer(effects, [&](int64_t l) { return larc_layer(call, &sgd, l); });
    same("grads", before.grads, after.grads);
    same("second_moment", before.second_moment, after.second_moment);
    return verdict(effects);
  }

 private:
  // Runs step(layer), which says whether the layer was skipped; what takes no part must have kept its bits.
  template <class Step>
  void each_layer(const Effects& effects, Step step) {
    for (int64_t l = 0; l < before.layout.layers() && wrong.empty(); ++l) {
      layer = l, begin = begins[static_cast<size_t>(l)], end = begin + before.layout.sizes[static_cast<size_t>(l)];
      if (effects.found_inf || !before.takes_part(l)) {
        untouched("a layer that takes no part");
      } else if (step(l)) {
        ++skipped;
        untouched("a layer that is not finite");
      }
    }
    outside_layers("weights", before.weights, after.weights);
    outside_layers("grads", before.grads, after.grads);
    outside_layers("moment", before.moment, after.moment);
    outside_layers("extra", before.extra, after.extra);
  }

  // larc: null, or what comes before.
  bool novograd_layer(NovogradCall call, int64_t l, const LarcCall* larc = nullptr) {
    const Real lr = call.lr * of(before.layout.lr_mult, l), decay = call.weight_decay * of(before.layout.wd_mult, l);
    LarcScalars ahead{};
    if (larc) {
      ahead = larc_scalars(*larc, lr, 0, skips_larc(l), decoded_weights(true), decoded(before.grads));
      if (ahead.skipped) return true;
      call.ahead = ahead.factor;
    }
    const auto scalars =
        novograd_scalars(call, decoded(before.grads), before.second_moment.get(l), after.second_moment.dtype());
    if (scalars.skipped) return true;
    scalar("second_moment", after.second_moment, l, scalars.second_moment);
    double v = after.second_moment.get(l);
    if (call.amsgrad) {
      const double largest = std::fmax(v, before.max_second_moment.get(l));
      scalar("max_second_moment", after.max_second_moment, l, {largest, 0});
      v = largest;
    }
    const Real d = novograd_denominator(call, v);
    for (int64_t i = begin; i < end && wrong.empty(); ++i) {
      const auto expected =
          novograd_element(call, lr, decay, d, before.weight(i), before.grads.get(i), before.moment.get(i));
      element("first_moment", after.moment, i, expected.moment);
      weight(i, expected.weight);
    }
    statistic(l, LAYERWISE_STAT_SECOND_MOMENT, {after.second_moment.get(l), 0});
    statistic(l, LAYERWISE_STAT_EFFECTIVE_LR, relative(lr / call.correction1()));
    if (larc) {
      larc_statistics(*larc, ahead, l);
      return false;
    }
    statistic(l, LAYERWISE_STAT_WEIGHT_NORM, {NAN, 0});
    statistic(l, LAYERWISE_STAT_GRAD_NORM, scalars.norm);
    statistic(l, LAYERWISE_STAT_FACTOR, relative(d == 0 ? 0 : 1 / d));
    statistic(l, LAYERWISE_STAT_CLIPPED, {0, 0});
    return false;
  }

  void larc_statistics(const LarcCall& call, const LarcScalars& scalars, int64_t l) {
    const Bounded& r = scalars.factor;
    statistic(l, LAYERWISE_STAT_WEIGHT_NORM, scalars.weight_norm);
    statistic(l, LAYERWISE_STAT_GRAD_NORM, scalars.grad_norm);
    statistic(l, LAYERWISE_STAT_FACTOR, {r.value, r.error + 2 * kHalfUlp * r.value});
    const bool near = std::fabs(scalars.uncut - 1) <= 64 * kHalfUlp;  // either answer will do
    if (!call.clip || !near) statistic(l, LAYERWISE_STAT_CLIPPED, {call.clip && scalars.uncut > 1 ? 1.0L : 0.0L, 0});
  }

  bool larc_layer(const LarcCall& call, const SgdCall* sgd, int64_t l) {
    const Real lr = call.lr * of(before.layout.lr_mult, l), decay = call.weight_decay * of(before.layout.wd_mult, l);
    const auto scalars =
        larc_scalars(call, lr, decay, skips_larc(l), decoded_weights(sgd != nullptr), decoded(before.grads));
    if (scalars.skipped) return true;
    for (int64_t i = begin; i < end && wrong.empty(); ++i) {
      const double w = sgd ? before.weight(i) : before.weights.get(i), g = before.grads.get(i),
                   b = before.moment.get(i);
      if (!sgd) {
        element("grads", after.grads, i, larc_gradient(call, scalars, w, g));
        continue;
      }
      const auto expected = sgd_element(call, *sgd, scalars, lr, w, g, b);
      if (sgd->momentum != 0) element("momentum", after.moment, i, expected.momentum);
      weight(i, expected.weight);
    }
    const Bounded& r = scalars.factor;
    larc_statistics(call, scalars, l);
    statistic(l, LAYERWISE_STAT_SECOND_MOMENT, {NAN, 0});
    statistic(l, LAYERWISE_STAT_EFFECTIVE_LR, {lr * r.value, lr * (r.error + 3 * kHalfUlp * r.value)});
    return false;
  }

  bool skips_larc(int64_t l) const {
    return !before.layout.skip_larc.empty() && before.layout.skip_larc[static_cast<size_t>(l)];
  }
  static Real of(const std::vector<double>& multipliers, int64_t l) {
    return multipliers.empty() ? 1 : multipliers[static_cast<size_t>(l)];
  }
  // Scalars are computed in double, and may be rounded to float32 once and multiplied once.
  static Bounded relative(Real value) { return {value, 3 * kHalfUlp * std::fabs(value)}; }
  std::vector<double> decoded(const Buffer& buffer) const {
    std::vector<double> result;
    for (int64_t i = begin; i < end; ++i) result.push_back(buffer.get(i));
    return result;
  }

  // larc_scale does not see remainders.
  std::vector<double> decoded_weights(bool remainders) const {
    if (!remainders) return decoded(before.weights);
    std::vector<double> result;
    for (int64_t i = begin; i < end; ++i) result.push_back(before.weight(i));
    return result;
  }

  void scalar(const char* what, const Buffer& buffer, int64_t l, const Bounded& expected) {
    if (!may_be_stored(buffer.dtype(), expected, buffer.get(l))) report(what, buffer, l, 0, expected);
  }
  void element(const char* what, const Buffer& buffer, int64_t i, const Bounded& expected) {
    if (!may_be_stored(buffer.dtype(), expected, buffer.get(i))) report(what, buffer, i, i - begin, expected);
  }
  // The copy rounds the new weight, which float32 weights hold unrounded; the halves of a split one are those of a
  // float32.
  void weight(int64_t i, const Bounded& expected) {
    if (after.layout.split()) {
      const double is = after.weight(i);
      const Halves halves = split_of(static_cast<float>(is));
      if (!may_be_stored(LAYERWISE_DTYPE_FLOAT32, expected, is) || after.weights.bits(i) != halves.weight ||
          after.extra.bits(i) != halves.remainder)
        report("split weights", after.weights, i, i - begin, expected);
      return;
    }
    element("weights", after.weights, i, expected);
    if (after.extra.present()) element("weights_extra", after.extra, i, {after.weights.get(i), 0});
  }
  void statistic(int64_t l, int column, const Bounded& expected) {
    if (after.stats.empty() || !wrong.empty()) return;
    const double is = after.stats[static_cast<size_t>(l * LAYERWISE_STAT_COUNT + column)];
    if (may_be_stored(LAYERWISE_DTYPE_FLOAT64, expected, is)) return;
    print("layer %" PRId64 " layer_stats[%d]: %a (%.9g), expected %.9Lg within %.3Lg", l, column, is, is,
          expected.value, expected.error);
  }

  void untouched(const char* which) {
    untouched_elements(which, "weights", before.weights, after.weights);
    untouched_elements(which, "grads", before.grads, after.grads);
    untouched_elements(which, "first_moment", before.moment, after.moment);
    untouched_elements(which, "weights_extra", before.extra, after.extra);
    if (before.second_moment.bits(layer) != after.second_moment.bits(layer) ||
        before.max_second_moment.bits(layer) != after.max_second_moment.bits(layer))
      print("layer %" PRId64 ": second moment changed for %s", layer, which);
    const size_t row = static_cast<size_t>(layer) * LAYERWISE_STAT_COUNT;
    if (!after.stats.empty() &&
        std::memcmp(&before.stats[row], &after.stats[row], LAYERWISE_STAT_COUNT * sizeof(double)) != 0)
      print("layer %" PRId64 ": layer_stats changed for %s", layer, which);
  }
  void untouched_elements(const char* which, const char* what, const Buffer& was, const Buffer& is) {
    if (!was.present() || was.same_elements(is, begin, end)) return;
    for (int64_t i = begin; i < end; ++i)
      if (was.bits(i) != is.bits(i))
        return print("layer %" PRId64 " tile %" PRId64 " index %" PRId64 ": %s changed from %#" PRIx64 " to %#" PRIx64
                     " for %s",
                     layer, (i - begin) / 8192, i - begin, what, was.bits(i), is.bits(i), which);
  }
  void outside_layers(const char* what, const Buffer& was, const Buffer& is) {
    if (!was.present()) return;
    if (!was.same_guards(is)) print("%s: changed outside the buffer", what);
    std::vector<bool> inside(static_cast<size_t>(was.count()));
    for (size_t l = 0; l < begins.size(); ++l)
      for (int64_t i = begins[l]; i < begins[l] + before.layout.sizes[l]; ++i) inside[static_cast<size_t>(i)] = true;
    for (int64_t i = 0; i < was.count(); ++i)
      if (!inside[static_cast<size_t>(i)] && was.bits(i) != is.bits(i))
        print("%s: changed in a gap, at %" PRId64, what, i);
  }
  void same(const char* what, const Buffer& was, const Buffer& is) {
    if (!(was == is)) print("%s: changed by a step that must not write it", what);
  }
  std::string verdict(const Effects& effects) {
    if (effects.nonfinite_layers >= 0 && effects.nonfinite_layers != skipped)
      print("nonfinite_layers rose by %" PRId64 ", expected %" PRId64, effects.nonfinite_layers, skipped);
    return wrong;
  }

  void report(const char* what, const Buffer& buffer, int64_t at, int64_t index, const Bounded& expected) {
    print("layer %" PRId64 " tile %" PRId64 " index %" PRId64 ": %s (%s) is %#" PRIx64 " = %.9g, expected %#" PRIx64
          " = %.9Lg within %.3Lg",
          layer, index / 8192, index, what, dtype_name(buffer.dtype()), buffer.bits(at), buffer.get(at),
          encode(buffer.dtype(), expected.value), expected.value, expected.error);
  }
  template <class... Arguments>
  void print(const char* format, Arguments... arguments) {
    if (!wrong.empty()) return;
    char line[512];
    std::snprintf(line, sizeof line, format, arguments...);
    wrong = line;
  }

  const Model& before;
  const Model& after;
  const std::vector<int64_t> begins;
  int64_t layer = 0, begin = 0, end = 0, skipped = 0;
  std::string wrong;
};

}  // namespace oracle
