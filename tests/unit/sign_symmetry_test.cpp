// Hazard: a factor beyond the range of float32 that loses its sign. Where the denominator is next to nothing the factor
// 1/d is cut to what float32 holds, and that must happen alike on both sides of 0: to maximize, or to divide by a
// negative grad_scale, is to minimize with the negated gradient, bit for bit.
#include <catch2/catch_test_macros.hpp>

#include "../oracle/random_case.h"

namespace {

using namespace oracle;

// Gradients so small that a float32 second moment is 0: d is eps alone, and 1/eps is far outside float32.
Model underflowing_model(double sign) {
  Layout layout;
  layout.sizes = {37, 1};
  Model model(layout);
  Random random(4);
  fill_layer(random, model.weights, 0, 38, 1);
  fill_layer(random, model.grads, 0, 38, 1e-25);
  for (int64_t i = 0; i < 38; ++i) model.grads.set(i, sign * model.grads.get(i));
  return model;
}

layerwise_novograd_options options_with(double eps) {
  layerwise_novograd_options options;
  REQUIRE_OK(layerwise_novograd_options_init(&options, sizeof options));
  options.lr = 1e-3;
  options.eps = eps;
  return options;
}

}  // namespace

TEST_CASE("a factor cut to float32's range keeps its sign", "[range]") {
  for (double eps : {1e-300, 1e-100, 1e-8})
    for (int32_t decoupled : {0, 1}) {
      auto plain = options_with(eps), maximizing = plain, scaled = plain;
      plain.decoupled_weight_decay = maximizing.decoupled_weight_decay = scaled.decoupled_weight_decay = decoupled;
      maximizing.maximize = 1;
      scaled.grad_scale = -1;
      Model expected = underflowing_model(-1), ascending = underflowing_model(1), negated = underflowing_model(1);
      REQUIRE_OK(expected.novograd(plain));
      REQUIRE_OK(ascending.novograd(maximizing));
      REQUIRE_OK(negated.novograd(scaled));
      CAPTURE(eps, decoupled);
      CHECK(expected.second_moment.get(0) == 0);
      for (int64_t i = 0; i < 38; ++i) {
        CHECK(ascending.weights.bits(i) == expected.weights.bits(i));
        CHECK(negated.weights.bits(i) == expected.weights.bits(i));
        CHECK(ascending.moment.bits(i) == expected.moment.bits(i));
      }
    }
}
