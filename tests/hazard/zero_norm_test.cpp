// Layers whose weights or gradients are all 0, where LARC's ratio is 0/x or x/0. Users were hurt by every choice: with
// 0 a zero-initialised bias never trains (SimCLR 27), without a rule the ratio is NaN (vissl 543). So it is the
// caller's.
#include "refusal.h"

namespace {

using namespace oracle;

struct Result {
  double factor, gradient, weight;
};

// One layer of one element, through both calls: g after larc_scale, w after larc_sgd_step without momentum.
Result run(double w, double g, const layerwise_larc_options& options) {
  Layout layout;
  layout.sizes = {1};
  Model model(layout);
  model.weights.set(0, w);
  model.grads.set(0, g);
  auto sgd = good_sgd();
  sgd.momentum = 0;
  Model other = model;
  REQUIRE_OK(model.larc_sgd(options, sgd));
  REQUIRE_OK(other.larc_scale(options));
  CHECK(other.statistics(LAYERWISE_STAT_FACTOR)[0] == model.statistics(LAYERWISE_STAT_FACTOR)[0]);
  return {model.statistics(LAYERWISE_STAT_FACTOR)[0], other.grads.get(0), model.weights.get(0)};
}

layerwise_larc_options rule(int32_t zero_norm, int32_t mode, double min_update, double eps = 0) {
  auto options = good_larc();
  options.zero_norm = zero_norm, options.mode = mode, options.min_update = min_update, options.eps = eps;
  options.lr = 0.5, options.grad_scale = 4;  // the factor 1 still unscales
  return options;
}

const int32_t kModes[] = {LAYERWISE_LARC_CLIP, LAYERWISE_LARC_SCALE};

}  // namespace

TEST_CASE("weights of 0: keep and untouched train, freeze does not, floor takes the least factor", "[zero_norm]") {
  for (int32_t mode : kModes)
    for (double eps : {0.0, 1e-8}) {
      CAPTURE(mode, eps);
      const Result keep = run(0, 8, rule(LAYERWISE_ZERO_NORM_KEEP, mode, 0.125, eps));
      CHECK(keep.factor == 1);
      CHECK(keep.gradient == 2);
      CHECK(keep.weight == -1);
      const Result untouched = run(0, 8, rule(LAYERWISE_ZERO_NORM_UNTOUCHED, mode, 0.125, eps));
      CHECK(untouched.factor == 1);
      CHECK(untouched.weight == -1);
      const Result freeze = run(0, 8, rule(LAYERWISE_ZERO_NORM_FREEZE, mode, 0.125, eps));
      CHECK(freeze.factor == 0);
      CHECK(freeze.gradient == 0);
      CHECK(freeze.weight == 0);
      const Result floor = run(0, 8, rule(LAYERWISE_ZERO_NORM_FLOOR, mode, 0.125, eps));
      CHECK(floor.factor == 0.125);
      CHECK(floor.gradient == 0.25);
      CHECK(floor.weight == -0.125);
    }
}

TEST_CASE("gradients of 0: the weights decay, but for untouched", "[zero_norm]") {
  for (int32_t mode : kModes)
    for (int32_t fold : {0, 1})
      for (int32_t zero_norm : {LAYERWISE_ZERO_NORM_KEEP, LAYERWISE_ZERO_NORM_UNTOUCHED}) {
        auto options = rule(zero_norm, mode, 0);
        options.weight_decay = 0.25, options.fold_weight_decay = fold;
        const Result result = run(16, 0, options);
        CAPTURE(mode, fold, zero_norm);
        CHECK(result.factor == 1);
        const bool decayed = zero_norm == LAYERWISE_ZERO_NORM_KEEP;
        CHECK(result.weight == (decayed ? 16 - 0.5 * 0.25 * 16 : 16));
        CHECK(result.gradient == (decayed && fold ? 0.25 * 16 : 0));
      }
}

TEST_CASE("gradients of 0 under the formula: no division by 0", "[zero_norm]") {
  for (int32_t mode : kModes)
    for (int32_t zero_norm : {LAYERWISE_ZERO_NORM_FREEZE, LAYERWISE_ZERO_NORM_FLOOR}) {
      CAPTURE(mode, zero_norm);
      const Result bare = run(16, 0, rule(zero_norm, mode, 0));
      CHECK(bare.factor == 1);  // the denominator is 0
      CHECK(bare.weight == 16);
      const Result held = run(16, 0, rule(zero_norm, mode, 0, 1e-8));
      CHECK(held.factor == (mode == LAYERWISE_LARC_CLIP ? 1 : 0.002 * 16 / 1e-8));
      CHECK(held.weight == 16);
    }
}

TEST_CASE("both of 0: nothing happens, under every rule", "[zero_norm]") {
  for (int32_t mode : kModes)
    for (int32_t zero_norm = 0; zero_norm < 5; ++zero_norm)
      for (double eps : {0.0, 1e-8})
        for (int32_t fold : {LAYERWISE_FOLD_OFF, LAYERWISE_FOLD_NORMS, LAYERWISE_FOLD_GRADIENT}) {
          auto options = rule(zero_norm, mode, 0, eps);
          options.weight_decay = 0.25, options.fold_weight_decay = fold;
          const Result result = run(0, 0, options);
          CAPTURE(mode, zero_norm, eps, fold);
          CHECK(std::isfinite(result.factor));
          CHECK(result.gradient == 0);
          CHECK(result.weight == 0);
        }
}

// timm's larc clips its fallback of 1 too, so that at a learning rate above 1 such a layer is slowed down: 1/lr = 1/4.
TEST_CASE("unit: a ratio of 1 is divided by lr and capped like another", "[zero_norm]") {
  for (const auto& [w, g] : {std::pair{0.0, 8.0}, std::pair{16.0, 0.0}})
    for (double lr : {0.5, 4.0}) {
      CAPTURE(w, g, lr);
      const double before = w, gradient = g;
      auto options = rule(LAYERWISE_ZERO_NORM_UNIT, LAYERWISE_LARC_CLIP, 0);
      options.lr = lr;
      CHECK(run(before, gradient, options).factor == (lr > 1 ? 1 / lr : 1));
      options.mode = LAYERWISE_LARC_SCALE;
      CHECK(run(before, gradient, options).factor == 1);
    }
}

// pytorch_optimizer, holocron, fastai and Chainer ask for |w| alone: a layer without gradient decays at the ratio
// eta*|w| / (wd*|w|) = 0.5 / 0.25.
TEST_CASE("zero_grad_norm: the formula holds where only the gradient is 0", "[zero_norm]") {
  for (int32_t zero_norm : {LAYERWISE_ZERO_NORM_KEEP, LAYERWISE_ZERO_NORM_UNTOUCHED, LAYERWISE_ZERO_NORM_UNIT})
    for (int32_t fold : {LAYERWISE_FOLD_NORMS, LAYERWISE_FOLD_GRADIENT}) {
      auto options = rule(zero_norm, LAYERWISE_LARC_SCALE, 0);
      options.eta = 0.5, options.weight_decay = 0.25, options.fold_weight_decay = fold;
      options.zero_grad_norm = LAYERWISE_ZERO_GRAD_FORMULA;
      CAPTURE(zero_norm, fold);
      const Result still = run(16, 0, options);
      CHECK(still.factor == 2);
      CHECK(still.gradient == 2 * 0.25 * 16);
      CHECK(run(0, 8, options).factor == 1);
      CHECK(run(0, 0, options).factor == 1);
    }
}

// objax takes the larger of its ratio and of 1 where a norm is 0.
TEST_CASE("at_least_one: a ratio below 1 becomes 1 where only the gradient is 0", "[zero_norm]") {
  auto options = rule(LAYERWISE_ZERO_NORM_KEEP, LAYERWISE_LARC_SCALE, 0);
  options.weight_decay = 0.25, options.fold_weight_decay = LAYERWISE_FOLD_NORMS;
  options.zero_grad_norm = LAYERWISE_ZERO_GRAD_AT_LEAST_ONE;
  for (const auto& [eta, factor] : {std::pair{0.5, 2.0}, std::pair{0.125, 1.0}}) {
    options.eta = eta;
    CHECK(run(16, 0, options).factor == factor);
  }
  CHECK(run(16, 8, options).factor == 0.125 * 16 / (2 + 0.25 * 16));
  CHECK(run(0, 8, options).factor == 1);
}

// Chainer's GradientLARS scales layers with |w| > 0.01 alone.
TEST_CASE("weight norms up to the threshold count as 0", "[zero_norm]") {
  auto options = rule(LAYERWISE_ZERO_NORM_KEEP, LAYERWISE_LARC_SCALE, 0);
  options.eta = 0.5, options.weight_norm_threshold = 0.25;
  CHECK(run(0.25, 8, options).factor == 1);
  CHECK(run(-0.25, 8, options).factor == 1);
  CHECK(run(0.5, 8, options).factor == 0.5 * 0.5 / 2);
  options.zero_norm = LAYERWISE_ZERO_NORM_FREEZE;
  CHECK(run(0.25, 8, options).factor == 0);
}

// fastai's clip is min(r, 1) whatever lr is; ColossalAI's is 50.
TEST_CASE("max_update is the greatest factor", "[zero_norm]") {
  auto options = rule(LAYERWISE_ZERO_NORM_KEEP, LAYERWISE_LARC_SCALE, 0);
  options.eta = 4;
  CHECK(run(16, 8, options).factor == 32);
  options.max_update = 1;
  CHECK(run(16, 8, options).factor == 1);
  CHECK(run(0, 8, options).factor == 1);
}

TEST_CASE("a learning rate of 0 does not divide by 0 when clipping", "[zero_norm]") {
  auto options = rule(LAYERWISE_ZERO_NORM_KEEP, LAYERWISE_LARC_CLIP, 0);
  options.lr = 0;
  const Result result = run(16, 8, options);
  CHECK(result.factor == 1);
  CHECK(result.gradient == 2);
  CHECK(result.weight == 16);
}
