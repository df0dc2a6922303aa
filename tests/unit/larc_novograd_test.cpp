// LARC and NovoGrad in one call: worked out by hand, and held against the two calls it stands for.
#include <catch2/catch_test_macros.hpp>

#include "../hazard/refusal.h"

namespace {

using namespace oracle;

layerwise_larc_options ahead() {
  layerwise_larc_options larc;
  REQUIRE_OK(layerwise_larc_options_init(&larc, sizeof larc));
  return larc;
}

bool close(double a, double b) { return std::fabs(a - b) <= 1e-6 * std::fabs(b); }

}  // namespace

// |w| = 5, |g| = 1, r = 0.1 * 5 / 1 / lr = 0.5; h = (0.3, 0.4), v = 0.25, d = 0.5, u = (0.6, 0.8).
TEST_CASE("LARC before NovoGrad: two weights by hand", "[larc_novograd]") {
  Layout two;
  two.sizes = {2};
  Model model(two);
  model.weights.set(0, 3), model.weights.set(1, 4);
  model.grads.set(0, 0.6), model.grads.set(1, 0.8);
  auto larc = ahead();
  larc.eta = 0.1, larc.eps = 0;
  auto options = good_novograd();
  options.lr = 1, options.eps = 0, options.weight_decay = 0;
  REQUIRE_OK(model.larc_novograd(larc, options));
  CHECK(close(model.weights.get(0), 2.4));
  CHECK(close(model.weights.get(1), 3.2));
  CHECK(close(model.moment.get(0), 0.6));
  CHECK(close(model.second_moment.get(0), 0.25));
  CHECK(close(model.stats[LAYERWISE_STAT_WEIGHT_NORM], 5));
  CHECK(close(model.stats[LAYERWISE_STAT_GRAD_NORM], 1));
  CHECK(close(model.stats[LAYERWISE_STAT_FACTOR], 0.5));
  CHECK(model.stats[LAYERWISE_STAT_SECOND_MOMENT] == model.second_moment.get(0));
  CHECK(model.stats[LAYERWISE_STAT_EFFECTIVE_LR] == 1);
  CHECK(model.stats[LAYERWISE_STAT_CLIPPED] == 0);
}

// The two calls round r*g' where the one does not. In units of half an ulp (2^-24, relative):
//   r*g'      its scalar and its product: 2 an element, so 4 in the sum of squares
//   n2        19 roundings in either sum, before or after r: 4 + 2*19 = 42, and v stored: 2 more
//   d         half of v's: 22
//   q = h/d   2 of r*g', 22 of d, and in either call scalar and product: 28
//   m         q's, and in either call u, c*u and the sum rounded
//   w         m's times lr, and in either call lr and the sum rounded
TEST_CASE("LARC and NovoGrad in one call agree with the two calls to the roundings of r*g'", "[larc_novograd]") {
  constexpr double kUnit = 0x1p-24;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    Layout layout;
    layout.sizes = {3, 700, 9000, 1};
    layout.second_moment = random.one_in(2) ? LAYERWISE_DTYPE_FLOAT32 : LAYERWISE_DTYPE_FLOAT64;
    Model one(layout);
    const auto scales = fill_state(random, one, false);
    fill_gradients(random, one, scales, false);
    const auto larc = random_larc_ahead(random);
    auto options = random_novograd(random);
    options.norm = LAYERWISE_NORM_L2, options.decoupled_weight_decay = options.lr_in_momentum = 0;
    const Model before = one;
    Model two = one;
    REQUIRE_OK(one.larc_novograd(larc, options));
    auto first = larc;
    first.lr = options.lr, first.grad_scale = options.grad_scale, first.maximize = options.maximize;
    auto second = options;
    second.grad_scale = 1, second.maximize = 0;
    REQUIRE_OK(two.larc_scale(first));
    REQUIRE_OK(two.novograd(second));
    CAPTURE(seed);
    const auto begins = layout.begins();
    for (size_t l = 0; l < begins.size(); ++l) {
      const int64_t layer = static_cast<int64_t>(l);
      const double v = one.second_moment.get(layer);
      REQUIRE(std::fabs(two.second_moment.get(layer) - v) <= 44 * kUnit * v);
      const double lr = one.stats[l * LAYERWISE_STAT_COUNT + LAYERWISE_STAT_EFFECTIVE_LR];
      const double over_d = two.stats[l * LAYERWISE_STAT_COUNT + LAYERWISE_STAT_FACTOR];
      for (int64_t i = begins[l]; i < begins[l] + layout.sizes[l]; ++i) {
        const double q = std::fabs(two.grads.get(i)) * over_d,
                     decay = options.weight_decay * std::fabs(before.weights.get(i));
        const double m = std::fabs(one.moment.get(i));
        const double of_m = kUnit * (28 * q + 6 * (q + decay + std::fabs(before.moment.get(i)))) + 0x1p-148;
        const double of_w = lr * (of_m + 4 * kUnit * m) + 2 * kUnit * std::fabs(one.weights.get(i)) + 0x1p-148;
        REQUIRE(std::fabs(two.moment.get(i) - one.moment.get(i)) <= of_m);
        REQUIRE(std::fabs(two.weights.get(i) - one.weights.get(i)) <= of_w);
      }
    }
  }
}

TEST_CASE("LARC before NovoGrad refuses what it does not mean", "[bad_input]") {
  Witness w;
  const auto refused = [&](auto change, std::initializer_list<std::string> words) {
    auto larc = ahead();
    auto options = good_novograd();
    change(larc, options);
    w.refused(w.model.larc_novograd(larc, options), LAYERWISE_ERROR_COMBINATION, words);
  };
  static const float number = 1;
  static int64_t count = 0;
  using Larc = layerwise_larc_options;
  using Novograd = layerwise_novograd_options;
  refused([](Larc& larc, Novograd&) { larc.lr = 0.5; }, {"larc", "lr", "0.5"});
  refused([](Larc& larc, Novograd&) { larc.lr_ptr = &number; }, {"larc", "lr"});
  refused([](Larc& larc, Novograd&) { larc.grad_scale = 8; }, {"larc", "grad_scale", "8"});
  refused([](Larc& larc, Novograd&) { larc.grad_scale_ptr = &number; }, {"larc", "grad_scale"});
  refused([](Larc& larc, Novograd&) { larc.found_inf = &number; }, {"larc", "found_inf"});
  refused([](Larc& larc, Novograd&) { larc.nonfinite_layers = &count; }, {"larc", "nonfinite_layers"});
  refused([](Larc& larc, Novograd&) { larc.maximize = 1; }, {"larc", "maximize"});
  refused([](Larc& larc, Novograd&) { larc.seed = 1; }, {"larc", "seed"});
  for (const int32_t fold : {LAYERWISE_FOLD_NORMS, LAYERWISE_FOLD_GRADIENT, LAYERWISE_FOLD_BOTH, LAYERWISE_FOLD_DECOUPLED})
    refused([=](Larc& larc, Novograd&) { larc.fold_weight_decay = fold; },
            {"fold_weight_decay", std::to_string(fold), "norm"});
  refused([](Larc& larc, Novograd&) { larc.weight_decay = 0.25; }, {"weight_decay", "0.25", "norm"});
  refused([](Larc&, Novograd& options) { options.norm = LAYERWISE_NORM_INF; }, {"norm", "1", "reduction"});

  const auto larc = ahead();
  auto bad = larc;
  bad.eta = -1;
  w.refused(w.model.larc_novograd(bad, good_novograd()), LAYERWISE_ERROR_INVALID_VALUE, {"eta", "-1"});
  bad = larc, bad.mode = 2;
  w.refused(w.model.larc_novograd(bad, good_novograd()), LAYERWISE_ERROR_UNKNOWN_FLAG, {"mode", "2"});
  bad = larc, bad.struct_size = 8;
  w.refused(w.model.larc_novograd(bad, good_novograd()), LAYERWISE_ERROR_STRUCT_SIZE, {"larc", "8"});
  auto without_lr = good_novograd();
  without_lr.lr = NAN;
  w.refused(w.model.larc_novograd(larc, without_lr), LAYERWISE_ERROR_INVALID_VALUE, {"lr", "nan"});
}
