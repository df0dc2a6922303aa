// Numbers that other projects print: in their tests, their documentation, their papers. Few enough to check by hand.
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include "../oracle/model.h"

namespace {

using namespace oracle;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

layerwise_novograd_options novograd_options() {
  layerwise_novograd_options options;
  REQUIRE_OK(layerwise_novograd_options_init(&options, sizeof options));
  return options;
}

layerwise_larc_options larc_options() {
  layerwise_larc_options options;
  REQUIRE_OK(layerwise_larc_options_init(&options, sizeof options));
  return options;
}

void set(Buffer& buffer, std::initializer_list<double> values) {
  int64_t i = 0;
  for (double value : values) buffer.set(i++, value);
}

// Bound: the values are near 4, whose float32 neighbours are 2.4e-7 to either side; two steps of a few roundings.
void check(const Buffer& buffer, std::initializer_list<double> expected) {
  int64_t i = 0;
  for (double value : expected) {
    CAPTURE(i);
    CHECK_THAT(buffer.get(i++), WithinAbs(value, 1e-6));
  }
}

// TensorFlow Addons, novograd_test.py: two variables of two elements.
Model addons() {
  Layout layout;
  layout.sizes = {2, 2};
  Model model(layout);
  set(model.weights, {1, 2, 3, 4});
  set(model.grads, {0.1, 0.2, 0.3, 0.4});
  return model;
}

layerwise_novograd_options addons_options() {
  auto options = novograd_options();
  options.lr = 0.1, options.beta1 = 0.9, options.beta2 = 0.999, options.eps = 1e-8, options.weight_decay = 0;
  return options;
}

}  // namespace

TEST_CASE("TensorFlow Addons' NovoGrad: one step", "[literals]") {
  Model model = addons();
  REQUIRE_OK(model.novograd(addons_options()));
  check(model.weights, {0.9552786425, 1.9105572849, 2.94, 3.92});
}

TEST_CASE("TensorFlow Addons' NovoGrad: one step with weight decay 0.1", "[literals]") {
  Model model = addons();
  auto options = addons_options();
  options.weight_decay = 0.1;
  REQUIRE_OK(model.novograd(options));
  check(model.weights, {0.945278642, 1.8905572849, 2.91, 3.88});
}

TEST_CASE("TensorFlow Addons' NovoGrad: two steps with gradient averaging", "[literals]") {
  Model model = addons();
  auto options = addons_options();
  options.grad_averaging = 1, options.average_first_step = 0, options.lr_in_momentum = 1;
  for (options.step = 1; options.step <= 2; ++options.step) REQUIRE_OK(model.novograd(options));
  check(model.weights, {0.9105572849, 1.8211145698, 2.88, 3.84});
}

TEST_CASE("torchlars' adaptive rate", "[literals]") {
  // torchlars' test of its formula: |w| 1.234, |g| 5.678, decay 1e-4, eps 1e-8, trust coefficient 0.001.
  Layout layout;
  layout.sizes = {1};
  Model model(layout);
  set(model.weights, {1.234});
  set(model.grads, {5.678});
  auto options = larc_options();
  options.lr = 1, options.eta = 0.001, options.eps = 1e-8, options.weight_decay = 1e-4;
  options.mode = LAYERWISE_LARC_SCALE, options.fold_weight_decay = 1;
  REQUIRE_OK(model.larc_scale(options));
  // Six digits are printed: half a unit of the last.
  CHECK_THAT(model.statistics(LAYERWISE_STAT_FACTOR)[0], WithinAbs(0.000217325, 5e-10));
  CHECK_THAT(model.grads.get(0), WithinRel(0.000217325 * (5.678 + 1e-4 * 1.234), 5e-6));
}

TEST_CASE("optax's documentation: NovoGrad on the sum of squares", "[literals]") {
  // optax.novograd(0.003), its defaults b1 0.9, b2 0.25, eps 1e-6, no decay, from [1, 2, 3]; the objective after every
  // step. Its page prints fewer digits of the same numbers. Bound: half a unit of the last digit, and a float32's
  // error.
  Layout layout;
  layout.sizes = {3};
  Model model(layout);
  set(model.weights, {1, 2, 3});
  auto options = novograd_options();
  options.lr = 0.003, options.beta1 = 0.9, options.beta2 = 0.25, options.eps = 1e-6, options.weight_decay = 0;
  for (double expected : {13.9776, 13.9350, 13.8744, 13.7976, 13.7066}) {
    for (int64_t i = 0; i < 3; ++i) model.grads.set(i, 2 * model.weights.get(i));
    REQUIRE_OK(model.novograd(options));
    double objective = 0;
    for (int64_t i = 0; i < 3; ++i) objective += model.weights.get(i) * model.weights.get(i);
    CHECK_THAT(objective, WithinAbs(expected, 6e-5));
  }
}

TEST_CASE("the paper's LARC: the local rate eta |w| / |g| is capped at the global one", "[literals]") {
  // |w| 5 and |g| 13: eta 0.002 gives 0.002 * 5 / 13 = 7.692308e-4.
  Layout layout;
  layout.sizes = {2};
  for (double lr : {0.1, 7e-4}) {
    Model model(layout);
    set(model.weights, {3, 4});
    set(model.grads, {5, 12});
    auto options = larc_options();
    options.lr = lr, options.eps = 0;
    layerwise_sgd_options sgd;
    REQUIRE_OK(layerwise_sgd_options_init(&sgd, sizeof sgd));
    sgd.momentum = 0;
    REQUIRE_OK(model.larc_sgd(options, sgd));
    const double rate = std::fmin(lr, 0.002 * 5 / 13);
    CHECK_THAT(model.statistics(LAYERWISE_STAT_EFFECTIVE_LR)[0], WithinRel(rate, 1e-6));
    CHECK(model.statistics(LAYERWISE_STAT_CLIPPED)[0] == (lr < 0.002 * 5 / 13 ? 1 : 0));
    check(model.weights, {3 - rate * 5, 4 - rate * 12});
  }
}

TEST_CASE("the initialisers give the papers' defaults", "[literals]") {
  const auto novograd = novograd_options();
  CHECK(novograd.beta1 == 0.95);
  CHECK(novograd.beta2 == 0.98);
  CHECK(novograd.eps == 1e-8);
  CHECK(novograd.eps_root == 0);
  CHECK(novograd.weight_decay == 0.001);
  CHECK(novograd.grad_scale == 1);
  CHECK(novograd.seed_second_moment == 1);
  CHECK(novograd.average_first_step == 1);
  CHECK(novograd.norm == LAYERWISE_NORM_L2);
  CHECK(std::isnan(novograd.lr));
  const auto larc = larc_options();
  CHECK(larc.eta == 0.002);
  CHECK(larc.eps == 1e-8);
  CHECK(larc.min_update == 0);
  CHECK(larc.weight_decay == 0);
  CHECK(larc.grad_scale == 1);
  CHECK(larc.mode == LAYERWISE_LARC_CLIP);
  CHECK(larc.zero_norm == LAYERWISE_ZERO_NORM_KEEP);
  CHECK(larc.fold_weight_decay == 0);
  CHECK(std::isnan(larc.lr));
  layerwise_sgd_options sgd;
  REQUIRE_OK(layerwise_sgd_options_init(&sgd, sizeof sgd));
  CHECK(sgd.momentum == 0.9);
  CHECK(sgd.dampening == 0);
  CHECK(sgd.nesterov == 0);
}
