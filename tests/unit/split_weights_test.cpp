// Split weights: the two halves are the float32, whatever it is, and steps have the bits of a plan whose weights are
// float32.
#include <catch2/catch_test_macros.hpp>

#include "../hazard/refusal.h"
#include "available_isas.h"
#include "numerics/dtype.h"

namespace {

using namespace oracle;

Layout split(Layout layout) {
  layout.weights = LAYERWISE_DTYPE_BFLOAT16, layout.extra = LAYERWISE_DTYPE_REMAINDER16;
  return layout;
}
Layout whole(Layout layout) {
  layout.weights = LAYERWISE_DTYPE_FLOAT32, layout.extra = LAYERWISE_DTYPE_NONE;
  return layout;
}

// The same model with its weights in one piece.
Model joined_model(const Model& model) {
  Model result(whole(model.layout));
  result.grads = model.grads, result.moment = model.moment, result.stats = model.stats;
  result.second_moment = model.second_moment, result.max_second_moment = model.max_second_moment;
  for (int64_t i = 0; i < model.weights.count(); ++i) result.weights.set(i, model.weight(i));
  return result;
}

std::string difference(const Model& model, const Model& master) {
  for (int64_t i = 0; i < model.weights.count(); ++i) {
    const float is = static_cast<float>(model.weight(i)), expected = static_cast<float>(master.weights.get(i));
    if (std::memcmp(&is, &expected, sizeof is) != 0 && !(std::isnan(is) && std::isnan(expected)))
      return "weight " + std::to_string(i) + " is " + std::to_string(is) + ", the master " + std::to_string(expected);
  }
  if (!(model.moment == master.moment)) return "moment";
  if (!(model.second_moment == master.second_moment)) return "second moment";
  if (std::memcmp(model.stats.data(), master.stats.data(), model.stats.size() * sizeof(double)) != 0)
    return "statistics";
  return "";
}

}  // namespace

// Every low half beside highs of each class: zeros, subnormals, numbers, the largest, either sign; infinity has one.
TEST_CASE("splitting and joining is the identity, and the upper half the nearest bfloat16", "[split]") {
  const auto check = [](uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    layerwise::bfloat16 high;
    layerwise::remainder16 low;
    layerwise::store_split(high, low, x);
    const Halves expected = split_of(x);
    const float back = layerwise::load_split(high, low);
    return high.bits == expected.weight && low.bits == expected.remainder && std::memcmp(&back, &x, sizeof x) == 0;
  };
  for (const uint32_t high :
       {0x0000u, 0x8000u, 0x0001u, 0x007fu, 0x0080u, 0x3f7fu, 0x3f80u, 0xbf80u, 0xc049u, 0x7f7fu, 0xff7fu}) {
    int64_t wrong = 0;
    for (uint32_t low = 0; low < 65536; ++low) wrong += !check(high << 16 | low);
    CAPTURE(high);
    CHECK(wrong == 0);
  }
  CHECK(check(0x7f800000u));
  CHECK(check(0xff800000u));
  // A tie goes away from zero: 1 + 2^-8 is half-way between 1 and 1 + 2^-7.
  CHECK(split_of(1.00390625f).weight == 0x3f81);
  CHECK(split_of(-1.00390625f).weight == 0xbf81);
  // No finite number's nearest is beyond the largest but infinity, and joins to itself again.
  CHECK(split_of(3.4028235e38f).weight == 0x7f80);
  for (const uint32_t bits : {0x7f800001u, 0x7fc00000u, 0xffffffffu}) {
    float nan;
    std::memcpy(&nan, &bits, sizeof nan);
    layerwise::bfloat16 high;
    layerwise::remainder16 low;
    layerwise::store_split(high, low, nan);
    CHECK(high.bits == 0x7fff);
    CHECK(low.bits == 0);
    CHECK(std::isnan(layerwise::load_split(high, low)));
  }
}

TEST_CASE("split weights have the float32 master's bits at every step", "[split]") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    Layout layout = split(random_layout(random));
    const auto isas = available_isas();
    layout.isa = isas[static_cast<size_t>(random.below(static_cast<int64_t>(isas.size())))];
    Model model(layout);
    const auto scales = fill_state(random, model, random.one_in(5));
    Model master = joined_model(model);
    const int64_t kind = random.below(3);
    auto novograd = random_novograd(random);
    if (kind == 2) novograd.norm = LAYERWISE_NORM_L2;
    const auto ahead = random_larc_ahead(random);
    auto larc = random_larc(random);
    auto sgd = random_sgd(random);
    draw_modes(random, novograd);
    draw_modes(random, larc, sgd);
    novograd.step = sgd.step = 1;
    if (layout.moment == LAYERWISE_DTYPE_BFLOAT16 && random.one_in(2)) {
      novograd.rounding = LAYERWISE_ROUNDING_STOCHASTIC, novograd.seed = 3;
      if (sgd.momentum != 0) larc.rounding = LAYERWISE_ROUNDING_STOCHASTIC, larc.seed = 3;
    }
    for (int step = 0; step < 6; ++step, ++novograd.step, ++sgd.step) {
      fill_gradients(random, model, scales, false);
      master.grads = model.grads;
      for (Model* stepped : {&model, &master})
        REQUIRE_OK(kind == 0   ? stepped->novograd(novograd)
                   : kind == 1 ? stepped->larc_sgd(larc, sgd)
                               : stepped->larc_novograd(ahead, novograd));
      CAPTURE(seed, kind, step);
      const std::string found = difference(model, master);
      INFO(found);
      REQUIRE(found.empty());
    }
  }
}

// larc_scale has no argument for them.
TEST_CASE("larc_scale sees the bfloat16 weights alone", "[split]") {
  Random random(5);
  Layout layout;
  layout.sizes = {9000, 3};
  Model model(split(layout));
  const auto scales = fill_state(random, model, false);
  fill_gradients(random, model, scales, false);
  layout.weights = LAYERWISE_DTYPE_BFLOAT16;
  Model alone(layout);
  alone.weights = model.weights, alone.grads = model.grads;
  auto larc = good_larc();
  larc.fold_weight_decay = 1, larc.weight_decay = 0.1;
  REQUIRE_OK(model.larc_scale(larc));
  REQUIRE_OK(alone.larc_scale(larc));
  CHECK(model.grads == alone.grads);
  Model::Sums with(layout), without(layout), expected(layout);
  REQUIRE_OK(model.partial_norms(with, true, LAYERWISE_NORM_L2, true));
  REQUIRE_OK(model.partial_norms(without, true, LAYERWISE_NORM_L2, false));
  REQUIRE_OK(alone.partial_norms(expected, true, LAYERWISE_NORM_L2));
  CHECK(without.weights == expected.weights);
  REQUIRE_OK(joined_model(model).partial_norms(expected, true, LAYERWISE_NORM_L2));
  CHECK(with.weights == expected.weights);
  CHECK(with.weights != without.weights);
}

// 2^-10 is less than half an ulp of a bfloat16 near 1: rounded at every step the weight would stay where it is.
TEST_CASE("split weights move by less than a bfloat16 can", "[split]") {
  Layout one;
  one.sizes = {1};
  Model model(split(one));
  model.weights.set(0, 1);
  model.grads.set(0, 1);
  auto options = good_novograd();
  options.lr = 0x1p-10, options.beta1 = 0, options.weight_decay = 0, options.eps = 0;
  for (int step = 0; step < 64; ++step) REQUIRE_OK(model.novograd(options));
  CHECK(model.weight(0) == 1 - 64 * 0x1p-10);
}

TEST_CASE("split weights without their remainders, and remainders of nothing, are refused", "[bad_input]") {
  Layout layout = split(Witness::small());
  Witness w(layout);
  Model& m = w.model;
  const auto options = good_novograd();
  const auto larc = good_larc();
  const auto sgd = good_sgd();
  w.refused(novograd_step(m.plan.get(), m.weights.data(), m.grads.data(), m.moment.data(), m.second_moment.data(),
                          nullptr, nullptr, nullptr, nullptr, &options, nullptr),
            LAYERWISE_ERROR_NULL_ARGUMENT, {"weights_extra", "NULL"});
  w.refused(larc_sgd_step(m.plan.get(), m.weights.data(), m.grads.data(), m.moment.data(), nullptr, nullptr, nullptr,
                          &larc, &sgd, nullptr),
            LAYERWISE_ERROR_NULL_ARGUMENT, {"weights_extra", "NULL"});
  const auto refused_plan = [](const Layout& described, std::initializer_list<std::string> words) {
    const auto plan = plan_options(described);
    layerwise_plan* created = nullptr;
    expect_refusal(layerwise_plan_create(&plan, &created), LAYERWISE_ERROR_UNSUPPORTED_DTYPE, words);
    CHECK(created == nullptr);
  };
  layout.weights = LAYERWISE_DTYPE_FLOAT32;
  refused_plan(layout, {"weights_extra_dtype", "remainder16", "float32"});
  layout.weights = LAYERWISE_DTYPE_FLOAT16;
  refused_plan(layout, {"weights_extra_dtype", "remainder16", "float16"});
  layout = Witness::small(), layout.weights = LAYERWISE_DTYPE_REMAINDER16;
  refused_plan(layout, {"weights_dtype", "remainder16"});
  layout = Witness::small(), layout.weights = LAYERWISE_DTYPE_BFLOAT16;  // a bfloat16 copy beside bfloat16 weights
  refused_plan(layout, {"weights_extra_dtype", "bfloat16"});
}
