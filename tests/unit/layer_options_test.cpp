// What differs from layer to layer: each option against the same thing said for a whole model.
#include <catch2/catch_test_macros.hpp>

#include "../oracle/random_case.h"

namespace {

using namespace oracle;

Model model_with(std::vector<double> lr_mult, std::vector<double> wd_mult, std::vector<uint8_t> skip_larc) {
  Layout layout;
  layout.sizes = {70, 9000};
  layout.lr_mult = std::move(lr_mult), layout.wd_mult = std::move(wd_mult), layout.skip_larc = std::move(skip_larc);
  Model model(layout);
  Random random(8);
  fill_layer(random, model.weights, 0, 9070, 1);
  fill_layer(random, model.grads, 0, 9070, 1);
  return model;
}

template <class Options>
Options options_of(int32_t (*init)(Options*, int64_t)) {
  Options options;
  REQUIRE_OK(init(&options, sizeof options));
  return options;
}
layerwise_novograd_options novograd(double lr, double decay) {
  auto options = options_of(layerwise_novograd_options_init);
  options.lr = lr, options.weight_decay = decay;
  return options;
}
layerwise_larc_options larc(double lr, double decay) {
  auto options = options_of(layerwise_larc_options_init);
  options.lr = lr, options.weight_decay = decay;
  return options;
}

bool same_layer(const Model& a, const Model& b, int64_t begin, int64_t end) {
  return a.weights.same_elements(b.weights, begin, end) && a.moment.same_elements(b.moment, begin, end);
}

}  // namespace

TEST_CASE("lr_mult is another learning rate for its layer", "[layers]") {
  const auto sgd = options_of(layerwise_sgd_options_init);
  Model mixed = model_with({1, 0.5}, {}, {}), whole = model_with({}, {}, {}), half = model_with({}, {}, {});
  REQUIRE_OK(mixed.novograd(novograd(0.25, 0.1)));
  REQUIRE_OK(whole.novograd(novograd(0.25, 0.1)));
  REQUIRE_OK(half.novograd(novograd(0.125, 0.1)));
  REQUIRE_OK(mixed.larc_sgd(larc(0.25, 0.1), sgd));  // clipping divides by the layer's own rate
  REQUIRE_OK(whole.larc_sgd(larc(0.25, 0.1), sgd));
  REQUIRE_OK(half.larc_sgd(larc(0.125, 0.1), sgd));
  CHECK(same_layer(mixed, whole, 0, 70));
  CHECK(same_layer(mixed, half, 70, 9070));
}

TEST_CASE("wd_mult 0 is no weight decay for its layer", "[layers]") {
  const auto sgd = options_of(layerwise_sgd_options_init);
  Model mixed = model_with({}, {1, 0}, {}), decayed = model_with({}, {}, {}), plain = decayed;
  for (int32_t fold : {0, 1}) {
    auto with = larc(0.25, 0.1), without = larc(0.25, 0);
    with.fold_weight_decay = without.fold_weight_decay = fold;
    REQUIRE_OK(mixed.novograd(novograd(0.25, 0.1)));
    REQUIRE_OK(decayed.novograd(novograd(0.25, 0.1)));
    REQUIRE_OK(plain.novograd(novograd(0.25, 0)));
    REQUIRE_OK(mixed.larc_sgd(with, sgd));
    REQUIRE_OK(decayed.larc_sgd(with, sgd));
    REQUIRE_OK(plain.larc_sgd(without, sgd));
    CHECK(same_layer(mixed, decayed, 0, 70));
    CHECK(same_layer(mixed, plain, 70, 9070));
  }
}

TEST_CASE("skip_larc makes a layer's step plain SGD, whatever LARC's rules say", "[layers]") {
  // w 2, g 0 and decay 0.5: SGD decays, w = 2 - 0.25 * 0.5 * 2 = 1.75. So it must under every rule for zero norms: a
  // layer that does without LARC is not left undecayed by one of LARC's rules.
  auto sgd = options_of(layerwise_sgd_options_init);
  sgd.momentum = 0;
  for (int32_t rule :
       {LAYERWISE_ZERO_NORM_KEEP, LAYERWISE_ZERO_NORM_FREEZE, LAYERWISE_ZERO_NORM_FLOOR, LAYERWISE_ZERO_NORM_UNTOUCHED})
    for (int32_t mode : {LAYERWISE_LARC_CLIP, LAYERWISE_LARC_SCALE})
      for (double gradient : {0.0, 3.0})
        for (int32_t fold : {0, 1}) {
          Model model = model_with({}, {}, {1, 1});
          model.weights.fill(2);
          model.grads.fill(gradient);
          auto options = larc(0.25, 0.5);
          options.zero_norm = rule, options.mode = mode, options.fold_weight_decay = fold;
          REQUIRE_OK(model.larc_sgd(options, sgd));
          CAPTURE(rule, mode, gradient, fold);
          CHECK(model.weights.get(0) == 2 - 0.25 * (gradient + 0.5 * 2));
          CHECK(model.statistics(LAYERWISE_STAT_FACTOR)[0] == 1);
          CHECK(model.statistics(LAYERWISE_STAT_CLIPPED)[0] == 0);
        }
}

TEST_CASE("setting layer options replaces what was set, NULL included", "[layers]") {
  Model model = model_with({0, 0}, {0, 0}, {1, 1}), plain = model_with({}, {}, {});
  model.set_layers(plain.layout);
  REQUIRE_OK(model.novograd(novograd(0.25, 0.1)));
  REQUIRE_OK(plain.novograd(novograd(0.25, 0.1)));
  CHECK(model.same_bits(plain));
}

TEST_CASE("lr_mult 0 holds the weights and keeps the moments going", "[layers]") {
  Model model = model_with({0, 1}, {}, {});
  const Model before = model;
  REQUIRE_OK(model.novograd(novograd(0.25, 0.1)));
  CHECK(model.weights.same_elements(before.weights, 0, 70));
  CHECK_FALSE(model.moment.same_elements(before.moment, 0, 70));
  CHECK(model.second_moment.get(0) > 0);
}
