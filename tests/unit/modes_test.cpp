// The modes that stand in for other implementations, on numbers that can be worked out by hand: every value here is exact
// in float32. Which implementation has which formula is said beside each; all of them meet the oracle on random models
// (property_test.cpp).
#include "../hazard/refusal.h"

namespace {

using namespace oracle;

// One layer of one element, stepped with the gradients in turn; its weight, and its momentum after it.
struct Trace {
  std::vector<double> weights, momenta;
};

Model one_element(double w) {
  Layout layout;
  layout.sizes = {1};
  Model model(layout);
  model.weights.set(0, w);
  return model;
}

Trace sgd_trace(double w, const std::vector<double>& grads, const std::vector<double>& lr, layerwise_larc_options larc,
                layerwise_sgd_options sgd) {
  Model model = one_element(w);
  Trace trace;
  for (size_t i = 0; i < grads.size(); ++i) {
    model.grads.set(0, grads[i]);
    larc.lr = lr[i], sgd.step = static_cast<int64_t>(i) + 1;
    REQUIRE_OK(model.larc_sgd(larc, sgd));
    trace.weights.push_back(model.weights.get(0));
    trace.momenta.push_back(model.moment.get(0));
  }
  return trace;
}

layerwise_larc_options ratio_of(double eta, double weight_decay, int32_t fold) {
  auto larc = good_larc();
  larc.eta = eta, larc.eps = 0, larc.weight_decay = weight_decay, larc.fold_weight_decay = fold;
  larc.mode = LAYERWISE_LARC_SCALE;
  return larc;
}

layerwise_sgd_options momentum_of(double momentum) {
  auto sgd = good_sgd();
  sgd.momentum = momentum;
  return sgd;
}

using Values = std::vector<double>;

}  // namespace

// r = eta*|w|/|g| is 1 throughout without decay: eta = |g|/|w| is chosen so by the first case alone, where skip_larc
// takes the ratio out of it.
TEST_CASE("lr_in_momentum: a rate that falls leaves what is in the momentum as it was", "[modes]") {
  Layout layout;
  layout.sizes = {1};
  layout.skip_larc = {1};
  for (bool nesterov : {false, true}) {
    Model model(layout);
    model.weights.set(0, 8);
    auto larc = ratio_of(1, 0, LAYERWISE_FOLD_OFF);
    auto sgd = momentum_of(0.5);
    sgd.lr_in_momentum = 1, sgd.nesterov = nesterov;
    Values weights;
    for (const auto& [lr, g] : {std::pair{1.0, 2.0}, std::pair{0.0, 4.0}, std::pair{0.25, 4.0}}) {
      larc.lr = lr, ++sgd.step;
      model.grads.set(0, g);
      REQUIRE_OK(model.larc_sgd(larc, sgd));
      weights.push_back(model.weights.get(0));
    }
    // b = 2, 1, 1.5; plain w -= b: 6, 5, 3.5. Nesterov w -= lr*h + b/2: 2 + 1, 0 + .5, 1 + .75.
    CHECK(weights == (nesterov ? Values{5, 4.5, 2.75} : Values{6, 5, 3.5}));
    CHECK(model.moment.get(0) == 1.5);
  }
}

// optax.lars and tf-models: h = g + wd*w = 2 + 1 = 3 of w = 4; r = eta*4/3 = 2/3 of eta 1/2, r*h = 2.
// |g| + wd*|w| gives the same here, and another where g points the other way: h = -2 + 1 = -1, r = 2, r*h = -2; by norms
// r = 2/3, r*h = -2/3.
TEST_CASE("fold gradient: the ratio has the norm of the decayed gradient", "[modes]") {
  const auto larc = ratio_of(0.5, 0.25, LAYERWISE_FOLD_GRADIENT);
  CHECK(sgd_trace(4, {2}, {1}, larc, momentum_of(0)).weights == Values{2});
  CHECK(sgd_trace(4, {-2}, {1}, larc, momentum_of(0)).weights == Values{6});
  Model model = one_element(4);
  model.grads.set(0, -2);
  REQUIRE_OK(model.larc_scale(larc));
  CHECK(model.grads.get(0) == -2);
  CHECK(model.statistics(LAYERWISE_STAT_GRAD_NORM)[0] == 1);
  CHECK(model.statistics(LAYERWISE_STAT_FACTOR)[0] == 2);
}

// grad_scale and maximize act on g alone: g' = 16/-8 = -2 as above.
TEST_CASE("fold gradient: the gradient is unscaled and turned round before it decays", "[modes]") {
  auto larc = ratio_of(0.5, 0.25, LAYERWISE_FOLD_GRADIENT);
  larc.grad_scale = -8;
  CHECK(sgd_trace(4, {16}, {1}, larc, momentum_of(0)).weights == Values{6});
  larc.grad_scale = 8, larc.maximize = 1;
  CHECK(sgd_trace(4, {16}, {1}, larc, momentum_of(0)).weights == Values{6});
}

// Hazard: the norm from |g|^2, g.w and |w|^2 cancels where decay and gradient nearly do. g = -1 in 8000 elements of
// w = 2 with wd = 1/2 - 2^-12: g + wd*w = -2^-11.
TEST_CASE("fold gradient: decay that nearly cancels the gradient is summed element by element", "[modes]") {
  Layout layout;
  layout.sizes = {8000};
  Model model(layout);
  for (int64_t i = 0; i < 8000; ++i) model.weights.set(i, 2), model.grads.set(i, -1);
  auto larc = ratio_of(1, 0.5 - 0x1p-12, LAYERWISE_FOLD_GRADIENT);
  REQUIRE_OK(model.larc_scale(larc));
  CHECK(model.statistics(LAYERWISE_STAT_FACTOR)[0] == 2 * 0x1p11);
  CHECK(model.grads.get(7999) == -2);
}

// fastai, decouple_wd=False: |g + wd*w| + wd*|w| = 1 + 1 of the case above; r = 1.
TEST_CASE("fold both: the norm of decay is added to that of the decayed gradient", "[modes]") {
  CHECK(sgd_trace(4, {-2}, {1}, ratio_of(0.5, 0.25, LAYERWISE_FOLD_BOTH), momentum_of(0)).weights == Values{5});
}

// wd_mult is the layer's in the norm too: the second layer does not decay, so its h is g.
TEST_CASE("fold gradient: every layer decays by its own multiplier", "[modes]") {
  Layout layout;
  layout.sizes = {1, 1};
  layout.wd_mult = {1, 0};
  Model model(layout);
  for (int64_t i : {0, 1}) model.weights.set(i, 4), model.grads.set(i, -2);
  REQUIRE_OK(model.larc_scale(ratio_of(0.5, 0.25, LAYERWISE_FOLD_GRADIENT)));
  CHECK(model.grads.get(0) == -2);  // r = 2 of h = -1
  CHECK(model.grads.get(1) == -2);  // r = 1 of h = -2
  CHECK(model.statistics(LAYERWISE_STAT_GRAD_NORM) == Values{1, 2});
}

// fastai: w shrinks to 4*(1 - 1/2*1/2) = 3 first; r = eta*3/(|g| + 3/2) of eta 1, g 1.5: 1. w = 3 - 1/2*1.5.
TEST_CASE("fold decoupled: the weights decay before the step, and the ratio is of what is left", "[modes]") {
  const auto larc = ratio_of(1, 0.5, LAYERWISE_FOLD_DECOUPLED);
  CHECK(sgd_trace(4, {1.5}, {0.5}, larc, momentum_of(0)).weights == Values{2.25});
  const Trace trace = sgd_trace(4, {1.5}, {0.5}, larc, momentum_of(0.5));
  CHECK(trace.weights == Values{2.25});
  CHECK(trace.momenta == Values{1.5});  // no decay inside
}

// h = g + wd*w; b = 2, then 2/2 + 4 = 5 without decay; r = eta*|w|/|g| = 8/2 = 4 and 7.5/4 of eta 1 and 1/16 as lr:
// w = 8 - 1/16*4*2 = 7.5, then 7.5 - 1/16*1.875*5 = 6.9140625.
TEST_CASE("factor_after_momentum: the momentum is of plain gradients", "[modes]") {
  auto sgd = momentum_of(0.5);
  sgd.factor_after_momentum = 1;
  const Trace trace = sgd_trace(8, {2, 4}, {0.0625, 0.0625}, ratio_of(1, 0, LAYERWISE_FOLD_OFF), sgd);
  CHECK(trace.momenta == Values{2, 5});
  CHECK(trace.weights == Values{7.5, 6.9140625});
}

// ColossalAI cuts g + wd*w at 10: here 2 + 1/4*8 = 4 at 3, and -7 + 2 = -5 at -3; b = 3, then 3/2 - 3.
TEST_CASE("clip_value: what enters the momentum is cut element by element", "[modes]") {
  auto sgd = momentum_of(0.5);
  sgd.clip_value = 3, sgd.factor_after_momentum = 1;
  CHECK(sgd_trace(8, {2, -7}, {0, 0}, ratio_of(1, 0.25, LAYERWISE_FOLD_NORMS), sgd).momenta == Values{3, -1.5});
  sgd.momentum = 0;
  auto larc = ratio_of(1, 0.25, LAYERWISE_FOLD_NORMS);
  larc.weight_norm_threshold = 100;  // r is 1
  CHECK(sgd_trace(8, {2}, {1}, larc, sgd).weights == Values{5});
}

TEST_CASE("dampen_first_step: the first gradient enters like the others", "[modes]") {
  auto sgd = momentum_of(0.5);
  sgd.dampening = 0.75;
  auto larc = ratio_of(1, 0, LAYERWISE_FOLD_OFF);
  larc.zero_norm = LAYERWISE_ZERO_NORM_KEEP;
  larc.weight_norm_threshold = 100;  // r is 1
  CHECK(sgd_trace(8, {4}, {1}, larc, sgd).momenta == Values{4});
  sgd.dampen_first_step = 1;
  CHECK(sgd_trace(8, {4, 8}, {1, 1}, larc, sgd).momenta == Values{1, 2.5});
}

// optax, TensorFlow Addons, apex: a layer without gradient on the first step has v = 0 seeded, and averages from there:
// v = 0, then 3/4 of 4 = 3, and not 4. d = sqrt(v) + eps.
TEST_CASE("seed first_step: a layer whose first gradient is 0 averages from 0", "[modes]") {
  Model model = one_element(8);
  auto options = good_novograd();
  options.beta1 = 0, options.beta2 = 0.25, options.eps = 0, options.weight_decay = 0, options.lr = 1;
  options.seed_second_moment = LAYERWISE_SEED_FIRST_STEP;
  Values moments;
  for (double g : {0.0, 2.0, 2.0}) {
    model.grads.set(0, g);
    ++options.step;
    REQUIRE_OK(model.novograd(options));
    moments.push_back(model.second_moment.get(0));
  }
  CHECK(moments == Values{0, 3, 3.75});
  // A v that is not 0 is seeded too where t is 1, as a state that is taken up again from its beginning.
  options.step = 1;
  model.grads.set(0, 4);
  REQUIRE_OK(model.novograd(options));
  CHECK(model.second_moment.get(0) == 16);
}

// timm's novogradw: w *= 1 - lr*wd, then w -= lr*m with m of g/d: g/d = 1, lr 1/2, wd 1/4: 8*7/8 - 1/2, and m = 1 + 1/2.
TEST_CASE("decoupled normalized: decay beside a momentum of normalised gradients", "[modes]") {
  Model model = one_element(8);
  auto options = good_novograd();
  options.beta1 = 0.5, options.beta2 = 0, options.eps = 0, options.weight_decay = 0.25, options.lr = 0.5;
  options.decoupled_weight_decay = LAYERWISE_DECOUPLED_NORMALIZED;
  model.grads.set(0, 2);
  REQUIRE_OK(model.novograd(options));
  CHECK(model.weights.get(0) == 6.5);
  CHECK(model.moment.get(0) == 1);
  model.grads.set(0, 4);
  REQUIRE_OK(model.novograd(options));
  CHECK(model.weights.get(0) == 6.5 * 0.875 - 0.5 * 1.5);
  CHECK(model.moment.get(0) == 1.5);
}

TEST_CASE("modes that a call cannot have are refused", "[modes]") {
  Witness w;
  auto larc = good_larc();
  larc.fold_weight_decay = LAYERWISE_FOLD_DECOUPLED;
  w.refused(w.model.larc_scale(larc), LAYERWISE_ERROR_COMBINATION, {"fold_weight_decay", "4", "sgd"});
  Model::Sums sums(w.model.layout);
  const auto sgd = good_sgd();
  for (const auto& [fold, number] : {std::pair{LAYERWISE_FOLD_GRADIENT, "2"}, std::pair{LAYERWISE_FOLD_BOTH, "3"}}) {
    larc.fold_weight_decay = fold;
    for (const auto* behind : {static_cast<const layerwise_sgd_options*>(nullptr), &sgd})
      w.refused(w.model.larc_apply(sums, larc, behind), LAYERWISE_ERROR_COMBINATION,
                {"fold_weight_decay", number, "sums"});
  }
}
