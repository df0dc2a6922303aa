// Layers with infinities or NaN: left untouched to the bit, statistics included, and counted once; their neighbours
// step as if nothing had happened. (DeepSpeed, Megatron and GradScaler users lose weights where one NaN spreads.)
#include <limits>

#include "../oracle/check.h"
#include "refusal.h"

namespace {

using namespace oracle;

const double kBad[] = {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                       std::numeric_limits<double>::quiet_NaN()};

Layout layout(int32_t grads, int32_t threads) {
  Layout layout;
  layout.sizes = {5, 1, 9000, 1024, 20000, 3};
  layout.grads = grads;
  layout.extra = LAYERWISE_DTYPE_BFLOAT16;
  layout.threads = threads;
  return layout;
}

// Puts value into chosen places of some layers: first, last, on a tile's edge, alone in its layer.
int64_t spoil(Model& model, Buffer& buffer, double value) {
  const auto begins = model.layout.begins();
  buffer.set(begins[1], value);
  buffer.set(begins[2] + 8192, value);
  buffer.set(begins[4] + 19999, value);
  buffer.set(begins[4], value);  // twice in one layer: counted once
  return 3;
}

template <class Call, class Verdict>
void check(Model& model, int64_t& counter, Call call, Verdict verdict) {
  counter = 40;
  const Model before = model;
  REQUIRE_OK(call());
  CHECK(counter == 43);
  Effects effects;
  effects.nonfinite_layers = counter - 40;
  const std::string wrong = verdict(Check(before, model), effects);
  INFO(wrong);
  CHECK(wrong.empty());
}

}  // namespace

TEST_CASE("layers with a gradient that is not finite keep every bit", "[nonfinite]") {
  for (int32_t grads : {LAYERWISE_DTYPE_FLOAT32, LAYERWISE_DTYPE_BFLOAT16, LAYERWISE_DTYPE_FLOAT16})
    for (int32_t threads : {1, 3})
      for (double bad : kBad) {
        CAPTURE(dtype_name(grads), threads, bad);
        Model model = Witness::filled(layout(grads, threads));
        spoil(model, model.grads, bad);
        int64_t counter = 0;
        for (int32_t norm : {LAYERWISE_NORM_L2, LAYERWISE_NORM_INF}) {
          auto options = good_novograd();
          options.norm = norm, options.nonfinite_layers = &counter;
          check(
              model, counter, [&] { return model.novograd(options); },
              [&](Check check, const Effects& effects) { return check.novograd(options, effects); });
        }
        auto larc = good_larc();
        larc.nonfinite_layers = &counter;
        const auto sgd = good_sgd();
        check(
            model, counter, [&] { return model.larc_sgd(larc, sgd); },
            [&](Check check, const Effects& effects) { return check.larc_sgd(larc, sgd, effects); });
        check(
            model, counter, [&] { return model.larc_scale(larc); },
            [&](Check check, const Effects& effects) { return check.larc_scale(larc, effects); });
      }
}

TEST_CASE("layers whose weights are not finite are left out by LARC", "[nonfinite]") {
  for (double bad : kBad) {
    CAPTURE(bad);
    Model model = Witness::filled(layout(LAYERWISE_DTYPE_FLOAT32, 2));
    spoil(model, model.weights, bad);
    int64_t counter = 0;
    auto larc = good_larc();
    larc.nonfinite_layers = &counter;
    const auto sgd = good_sgd();
    check(
        model, counter, [&] { return model.larc_sgd(larc, sgd); },
        [&](Check check, const Effects& effects) { return check.larc_sgd(larc, sgd, effects); });
    check(
        model, counter, [&] { return model.larc_scale(larc); },
        [&](Check check, const Effects& effects) { return check.larc_scale(larc, effects); });
  }
}

TEST_CASE("a NaN hidden among larger numbers is found by the infinity norm", "[nonfinite]") {
  // A floating-point maximum drops NaN; a NaN of either sign, anywhere, must still stop the layer.
  for (int64_t at : {0, 1, 7, 8, 15, 500, 1023, 1024, 8191, 8192, 8999})
    for (double sign : {1.0, -1.0}) {
      Layout one;
      one.sizes = {9000};
      Model model = Witness::filled(one);
      model.grads.set(0, 1e30);
      model.grads.set(8999, -1e30);
      model.grads.set(at, std::copysign(NAN, sign));
      const Model before = model;
      auto options = good_novograd();
      options.norm = LAYERWISE_NORM_INF;
      REQUIRE_OK(model.novograd(options));
      CAPTURE(at, sign);
      CHECK(model.same_bits(before));
    }
}

TEST_CASE("counts of several steps add up, and nobody else resets them", "[nonfinite]") {
  Model model = Witness::filled(layout(LAYERWISE_DTYPE_FLOAT32, 3));
  spoil(model, model.grads, NAN);
  int64_t counter = -5;
  auto options = good_novograd();
  options.nonfinite_layers = &counter;
  for (int step = 0; step < 4; ++step) REQUIRE_OK(model.novograd(options));
  CHECK(counter == -5 + 4 * 3);
}

TEST_CASE("a second moment that is not finite stops its layer", "[nonfinite]") {
  for (double bad : kBad) {
    Model model = Witness::filled(layout(LAYERWISE_DTYPE_FLOAT32, 1));
    model.second_moment.set(2, bad);
    const Model before = model;
    int64_t counter = 0;
    auto options = good_novograd();
    options.nonfinite_layers = &counter;
    REQUIRE_OK(model.novograd(options));
    Effects effects;
    effects.nonfinite_layers = 1;
    const std::string wrong = Check(before, model).novograd(options, effects);
    INFO(wrong);
    CHECK(wrong.empty());
    CHECK(counter == 1);
  }
}
