// Gradients at the ends of float32's range, where squares overflow or vanish: norms hold for every finite input.
// (PyTorch issue 193006: a sum of squares overflows at a norm of 1e20.) What the second moment's dtype cannot hold is
// skipped.
#include "../oracle/check.h"
#include "refusal.h"

namespace {

using namespace oracle;

Layout layout(int32_t second_moment) {
  Layout layout;
  layout.sizes = {1, 9, 1000, 8192, 20000};
  layout.second_moment = second_moment;
  return layout;
}

Model model_of(double scale, int32_t second_moment) {
  Model model(layout(second_moment));
  Random random(5);
  fill_layer(random, model.weights, 0, model.layout.extent(), 1);
  fill_layer(random, model.grads, 0, model.layout.extent(), scale);
  return model;
}

std::string step(Model& model, const layerwise_novograd_options& options, int64_t skipped) {
  const Model before = model;
  int64_t counter = 0;
  auto counted = options;
  counted.nonfinite_layers = &counter;
  REQUIRE_OK(model.novograd(counted));
  CHECK(counter == skipped);
  Effects effects;
  effects.nonfinite_layers = counter;
  return Check(before, model).novograd(counted, effects);
}

}  // namespace

TEST_CASE("a float64 second moment holds the norm of every finite gradient", "[range]") {
  for (double scale : {1e38, 1e30, 1e20, 1e19, 1e-18, 1e-22, 1e-30, 1e-38, 1e-41, 1e-44}) {
    CAPTURE(scale);
    Model model = model_of(scale, LAYERWISE_DTYPE_FLOAT64);
    auto options = good_novograd();
    options.eps = 0;
    for (int t = 0; t < 2; ++t) {
      const std::string wrong = step(model, options, 0);
      INFO(wrong);
      CHECK(wrong.empty());
    }
    for (int64_t l = 0; l < 5; ++l)
      if (scale > 1e-44) CHECK(model.second_moment.get(l) > 0);
  }
}

TEST_CASE("a float32 second moment that overflows skips its layer", "[range]") {
  // n2 of 20000 elements of 1e18 is 2e40, of one 1e18 squared 1e36: float32 ends at 3.4e38.
  Model model = model_of(1, LAYERWISE_DTYPE_FLOAT32);
  model.grads.fill(1e18);
  const auto begins = model.layout.begins();
  const std::string wrong = step(model, good_novograd(), 3);  // 1000 e36 and more do not fit
  INFO(wrong);
  CHECK(wrong.empty());
  CHECK(model.second_moment.get(1) > 0);
  CHECK(model.second_moment.get(2) == 0);
  CHECK(begins.size() == 5);
}

TEST_CASE("a float32 second moment that underflows to 0 is legal and seeds again", "[range]") {
  Model model = model_of(1e-30, LAYERWISE_DTYPE_FLOAT32);
  std::string wrong = step(model, good_novograd(), 0);
  INFO(wrong);
  CHECK(wrong.empty());
  for (int64_t l = 0; l < 5; ++l) CHECK(model.second_moment.get(l) == 0);
  model.grads.fill(0.5);
  wrong = step(model, good_novograd(), 0);
  CHECK(wrong.empty());
  CHECK(model.second_moment.get(0) == 0.25);  // n2 itself, not (1 - beta2) n2
}

TEST_CASE("the largest and the smallest float32", "[range]") {
  for (double value : {3.4028234663852886e38, 1.401298464324817e-45}) {
    Layout one;
    one.sizes = {8193};
    one.second_moment = LAYERWISE_DTYPE_FLOAT64;
    Model model(one);
    model.weights.fill(1);
    model.grads.fill(value);
    REQUIRE_OK(model.novograd(good_novograd()));
    // All elements are equal, so every partial sum of 8192 of them is a power of two times one square: exact.
    CAPTURE(value);
    CHECK(std::fabs(model.second_moment.get(0) / (8193 * value * value) - 1) < 1e-6);
  }
}

TEST_CASE("one huge element does not lose its layer, nor the tiny ones elsewhere", "[range]") {
  Layout one;
  one.sizes = {3 * 8192};
  one.second_moment = LAYERWISE_DTYPE_FLOAT64;
  Model model(one);
  model.weights.fill(1);
  model.grads.fill(1e-30);
  model.grads.set(9000, 2e38);
  const std::string wrong = step(model, good_novograd(), 0);
  INFO(wrong);
  CHECK(wrong.empty());
  CHECK(std::fabs(std::sqrt(model.second_moment.get(0)) / 2e38 - 1) < 1e-6);
}

TEST_CASE("all gradients 0: nothing is divided by 0 and weights only decay", "[range]") {
  for (double eps : {0.0, 1e-8})
    for (double decay : {0.0, 0.1}) {
      Model model = model_of(0, LAYERWISE_DTYPE_FLOAT32);
      auto options = good_novograd();
      options.eps = eps, options.weight_decay = decay;
      const std::string wrong = step(model, options, 0);
      INFO(wrong);
      CHECK(wrong.empty());
      for (int64_t i = 0; i < model.layout.extent(); ++i) REQUIRE(std::isfinite(model.weights.get(i)));
      for (int64_t l = 0; l < 5; ++l) {
        CHECK(model.second_moment.get(l) == 0);
        CHECK(model.statistics(LAYERWISE_STAT_FACTOR)[static_cast<size_t>(l)] == (eps == 0 ? 0 : 1e8));
      }
    }
}

TEST_CASE("a first gradient of 0 does not make the next step too long", "[range]") {
  // Seeding by t = 1 would leave v at (1 - beta2) n2 here and step 7 times too far.
  Model model = model_of(0, LAYERWISE_DTYPE_FLOAT32);
  Model direct = model;
  auto options = good_novograd();
  options.weight_decay = 0;
  REQUIRE_OK(model.novograd(options));
  model.grads.fill(0.25), direct.grads.fill(0.25);
  REQUIRE_OK(model.novograd(options));
  REQUIRE_OK(direct.novograd(options));
  CHECK(model.same_bits(direct));
}

TEST_CASE("a second moment that decays towards 0 under zero gradients stays harmless", "[range]") {
  // After thousands of zero gradients a float64 v is subnormal; with eps 0, 1/d is beyond float32.
  for (double v : {1e-300, 4.9406564584124654e-324}) {
    Model model = model_of(0, LAYERWISE_DTYPE_FLOAT64);
    model.second_moment.fill(v);
    model.moment.fill(0.5);
    auto options = good_novograd();
    options.eps = 0;
    const std::string wrong = step(model, options, 0);
    CAPTURE(v, wrong);
    CHECK(wrong.empty());
  }
}

TEST_CASE("LARC's norms hold at the ends of the range", "[range]") {
  for (double scale : {1e38, 1e25, 1e-25, 1e-38, 1e-42})
    for (int32_t mode : {LAYERWISE_LARC_CLIP, LAYERWISE_LARC_SCALE}) {
      Model model = model_of(scale, LAYERWISE_DTYPE_FLOAT32);
      for (int64_t i = 0; i < model.layout.extent(); ++i) model.weights.set(i, model.weights.get(i) * scale);
      auto options = good_larc();
      options.eps = 0, options.mode = mode;
      const Model before = model;
      REQUIRE_OK(model.larc_scale(options));
      const std::string wrong = Check(before, model).larc_scale(options, Effects{false, -1});
      CAPTURE(scale, mode, wrong);
      CHECK(wrong.empty());
    }
}

TEST_CASE("a gradient scale far from 1 is undone without loss", "[range]") {
  // Loss scales are powers of two; unscaling is exact as long as the result is.
  for (double grad_scale : {0x1p-100, 0x1p-24, 0x1p24, 0x1p100}) {
    Model plain = model_of(1, LAYERWISE_DTYPE_FLOAT64), scaled = plain;
    for (int64_t i = 0; i < plain.layout.extent(); ++i) scaled.grads.set(i, plain.grads.get(i) * grad_scale);
    auto options = good_novograd();
    REQUIRE_OK(plain.novograd(options));
    options.grad_scale = grad_scale;
    REQUIRE_OK(scaled.novograd(options));
    CAPTURE(grad_scale);
    const bool same = plain.weights == scaled.weights && plain.second_moment == scaled.second_moment;
    CHECK(same);
  }
}
