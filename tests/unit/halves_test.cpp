// A step in two halves: the sums, and the step from them. The whole step is the expectation of the bits, the summation
// oracle that of the sums; what a caller may hand in besides is worked out here.
#include <catch2/catch_test_macros.hpp>

#include "../hazard/refusal.h"
#include "../oracle/summation.h"

namespace {

using namespace oracle;

Layout layout() {
  Layout layout;
  layout.sizes = {5, 0, 9000, 1, 20000, 3};
  layout.offsets = {0, 7, 10, 9020, 9030, 29033};
  layout.mask = {1, 1, 1, 0, 1, 1};
  layout.threads = 3;
  return layout;
}

std::vector<float> values_of(const Buffer& buffer, int64_t begin, int64_t size) {
  std::vector<float> values;
  for (int64_t i = begin; i < begin + size; ++i) values.push_back(static_cast<float>(buffer.get(i)));
  return values;
}

}  // namespace

// Hazard: sums of an earlier call in a buffer that is used again, added up over ranks by the caller.
TEST_CASE("partial norms are the sums of the bit contract, and those of layers left out are +0", "[halves]") {
  for (const int32_t dtype : {LAYERWISE_DTYPE_FLOAT32, LAYERWISE_DTYPE_BFLOAT16, LAYERWISE_DTYPE_FLOAT16}) {
    Layout described = layout();
    described.grads = described.weights = dtype;
    Model model = Witness::filled(described);
    Model::Sums sums(described), largest(described);
    REQUIRE_OK(model.partial_norms(sums, true, LAYERWISE_NORM_L2));
    REQUIRE_OK(model.partial_norms(largest, false, LAYERWISE_NORM_INF));
    for (size_t l = 0; l < described.sizes.size(); ++l) {
      CAPTURE(dtype_name(dtype), l);
      const auto grads = values_of(model.grads, described.offsets[l], described.sizes[l]);
      const auto weights = values_of(model.weights, described.offsets[l], described.sizes[l]);
      const bool summed = described.mask[l] && !grads.empty();
      float most = 0;
      for (float g : grads) most = std::fmax(most, std::fabs(g));
      CHECK(sums.grads[l] == (summed ? squared_norm(grads) : 0));
      CHECK(sums.weights[l] == (summed ? squared_norm(weights) : 0));
      CHECK(largest.grads[l] == (summed ? most : 0));
      CHECK_FALSE(std::signbit(sums.grads[l] + sums.weights[l] + largest.grads[l]));
      CHECK(largest.weights[l] == -7);  // not wanted
    }
  }
}

// Hazard: the maximum over ranks that common libraries of collectives offer drops NaN, as fmax does, so that one rank would
// skip the layer and the others not. The largest double bits below NaN's are those of +infinity.
TEST_CASE("the largest magnitude of a layer with NaN is +infinity, its sum of squares NaN", "[halves]") {
  for (const double bad : {static_cast<double>(NAN), -static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    CAPTURE(bad);
    Layout two;
    two.sizes = {9000, 2};
    Model model(two);
    model.weights.fill(1), model.grads.fill(0.5);
    model.grads.set(8999, bad);
    Model::Sums sums(two), largest(two);
    REQUIRE_OK(model.partial_norms(sums, true, LAYERWISE_NORM_L2));
    REQUIRE_OK(model.partial_norms(largest, false, LAYERWISE_NORM_INF));
    CHECK(largest.grads == std::vector<double>{INFINITY, 0.5});
    CHECK((std::isnan(bad) ? std::isnan(sums.grads[0]) : std::isinf(sums.grads[0])));
    CHECK(sums.weights == std::vector<double>{9000, 2});
  }
}

TEST_CASE("the sums and the step from them have the bits of the whole step on random models", "[halves]") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    Layout described = random_layout(random);
    split_some(random, described);
    Model whole(described);
    const auto scales = fill_state(random, whole, random.one_in(4));
    fill_gradients(random, whole, scales, random.one_in(5));
    int64_t counted[2] = {}, completed[2] = {6, 6};
    auto novograd = random_novograd(random);
    novograd.step = 0, novograd.advance_step = 1;
    auto larc = random_larc(random);
    auto sgd = random_sgd(random);
    sgd.step = 0, sgd.advance_step = 1;
    Model halves = whole;
    const int64_t kind = random.below(4);
    draw_modes(random, novograd);
    kind == 2 ? draw_modes(random, larc, sgd) : draw_modes(random, larc);
    do_without_decayed_norm(larc);
    if (kind == 3) larc = random_larc_ahead(random), novograd.norm = LAYERWISE_NORM_L2;
    CAPTURE(seed, kind);
    const auto point = [&](int which) {
      novograd.nonfinite_layers = &counted[which];
      larc.nonfinite_layers = kind == 3 ? nullptr : &counted[which];
      novograd.step_ptr = sgd.step_ptr = &completed[which];
    };
    point(0);
    REQUIRE_OK(kind == 0   ? whole.novograd(novograd)
               : kind == 1 ? whole.larc_scale(larc)
               : kind == 2 ? whole.larc_sgd(larc, sgd)
                           : whole.larc_novograd(larc, novograd));
    point(1);
    Model::Sums sums(halves.layout);
    REQUIRE_OK(halves.partial_norms(sums, kind != 0, kind == 0 ? novograd.norm : LAYERWISE_NORM_L2, kind >= 2));
    REQUIRE_OK(kind == 0   ? halves.novograd_apply(sums, novograd)
               : kind == 3 ? halves.larc_novograd_apply(sums, larc, novograd)
                           : halves.larc_apply(sums, larc, kind == 1 ? nullptr : &sgd));
    REQUIRE(halves.same_bits(whole));
    REQUIRE(counted[0] == counted[1]);
    REQUIRE(completed[0] == completed[1]);
  }
}

// Hazard: a caller's norm that overflowed, or an exchange that went wrong. w = 1, g = 1, |g|^2 given as 4: u = 1/2.
TEST_CASE("a layer whose given sum is negative or not finite is skipped and counted", "[halves]") {
  for (const double bad :
       {-1.0, -1e-300, static_cast<double>(INFINITY), -static_cast<double>(INFINITY), static_cast<double>(NAN)}) {
    CAPTURE(bad);
    Layout two;
    two.sizes = {2, 2};
    Model model(two);
    model.weights.fill(1), model.grads.fill(1);
    Model::Sums sums(two);
    sums.grads = {bad, 4}, sums.weights = {4, 4};
    int64_t counted = 0;
    auto novograd = good_novograd();
    novograd.lr = 1, novograd.eps = 0, novograd.weight_decay = 0, novograd.nonfinite_layers = &counted;
    const Model before = model;
    REQUIRE_OK(model.novograd_apply(sums, novograd));
    CHECK(counted == 1);
    CHECK(model.weights.same_elements(before.weights, 0, 2));
    CHECK(model.stats[LAYERWISE_STAT_GRAD_NORM] == -7);
    CHECK(model.second_moment.get(0) == 0);
    CHECK(model.second_moment.get(1) == 4);
    CHECK(model.weights.get(2) == 0.5);

    auto larc = good_larc();
    larc.nonfinite_layers = &counted;
    for (const bool of_weights : {false, true}) {
      Model scaled = before;
      sums.grads = {of_weights ? 4 : bad, 4}, sums.weights = {of_weights ? bad : 4, 4};
      counted = 0;
      REQUIRE_OK(scaled.larc_apply(sums, larc, nullptr));
      CHECK(counted == 1);
      CHECK(scaled.grads.same_elements(before.grads, 0, 2));
      // eta |w| / (|g| + eps) / lr = 0.002 * 2 / 2 / 0.01, eps aside
      CHECK(std::fabs(scaled.grads.get(2) - 0.2) < 1e-7);
    }
  }
}
