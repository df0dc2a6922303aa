// Options that must not become steps: each is refused with its own status before anything is written.
#include <limits>

#include "refusal.h"

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

template <class Change>
void novograd(int32_t expected, std::initializer_list<std::string> words, Change change) {
  Witness witness;
  auto options = good_novograd();
  change(options);
  witness.refused(witness.model.novograd(options), expected, words);
}

// Both calls that take LARC's options refuse them alike.
template <class Change>
void larc(int32_t expected, std::initializer_list<std::string> words, Change change) {
  Witness witness;
  auto options = good_larc();
  change(options);
  witness.refused(witness.model.larc_scale(options), expected, words);
  witness.refused(witness.model.larc_sgd(options, good_sgd()), expected, words);
}

template <class Change>
void sgd(int32_t expected, std::initializer_list<std::string> words, Change change) {
  Witness witness;
  auto options = good_sgd();
  change(options);
  witness.refused(witness.model.larc_sgd(good_larc(), options), expected, words);
}

constexpr int32_t kValue = LAYERWISE_ERROR_INVALID_VALUE, kFlag = LAYERWISE_ERROR_UNKNOWN_FLAG,
                  kCombination = LAYERWISE_ERROR_COMBINATION;

}  // namespace

TEST_CASE("novograd_step refuses numbers outside their ranges", "[bad_input]") {
  struct Field {
    const char* name;
    double layerwise_novograd_options::*member;
    std::vector<std::pair<double, const char*>> bad;
  };
  using Options = layerwise_novograd_options;
  const std::vector<std::pair<double, const char*>> not_a_fraction = {
      {1.0, "1"}, {1.5, "1.5"}, {-0.25, "-0.25"}, {kNan, "nan"}, {kInfinity, "inf"}};
  const std::vector<std::pair<double, const char*>> negative = {
      {-0.25, "-0.25"}, {kNan, "nan"}, {kInfinity, "inf"}, {-kInfinity, "-inf"}};
  const Field fields[] = {{"beta1", &Options::beta1, not_a_fraction},
                          {"beta2", &Options::beta2, not_a_fraction},
                          {"lr", &Options::lr, negative},
                          {"eps", &Options::eps, negative},
                          {"eps_root", &Options::eps_root, negative},
                          {"weight_decay", &Options::weight_decay, negative},
                          {"grad_scale", &Options::grad_scale, {{0, "0"}, {kNan, "nan"}, {kInfinity, "inf"}}}};
  for (const Field& field : fields)
    for (const auto& bad : field.bad) {  // by name, not taken apart: clang captures no parts before 16
      CAPTURE(field.name, bad.first);
      novograd(kValue, {field.name, bad.second}, [&](auto& o) { o.*field.member = bad.first; });
    }
  novograd(kValue, {"lr", "1e+39"}, [](auto& o) { o.lr = 1e39; });  // finite, but not as the float32 it becomes
  novograd(kValue, {"step", "-1"}, [](auto& o) { o.step = -1; });
}

TEST_CASE("larc_scale and larc_sgd_step refuse numbers outside their ranges", "[bad_input]") {
  struct Field {
    const char* name;
    double layerwise_larc_options::*member;
  };
  using Options = layerwise_larc_options;
  for (const Field& field : {Field{"lr", &Options::lr}, Field{"eta", &Options::eta}, Field{"eps", &Options::eps},
                             Field{"min_update", &Options::min_update}, Field{"max_update", &Options::max_update},
                             Field{"weight_norm_threshold", &Options::weight_norm_threshold},
                             Field{"weight_decay", &Options::weight_decay}})
    for (const auto& [value, text] : {std::pair{-0.25, "-0.25"}, std::pair{kNan, "nan"}, std::pair{kInfinity, "inf"}}) {
      CAPTURE(field.name, value);
      const double bad = value;
      larc(kValue, {field.name, text}, [&](auto& o) { o.*field.member = bad; });
    }
  larc(kValue, {"grad_scale", "0"}, [](auto& o) { o.grad_scale = 0; });
  larc(kValue, {"grad_scale", "nan"}, [](auto& o) { o.grad_scale = kNan; });
  for (double momentum : {-0.5, 1.0, kNan, kInfinity})
    sgd(kValue, {"momentum"}, [&](auto& o) { o.momentum = momentum; });
  for (double dampening : {-0.5, 1.5, kNan, kInfinity})
    sgd(kValue, {"dampening"}, [&](auto& o) { o.dampening = dampening, o.step = 1; });
  for (double clip_value : {-0.5, kNan, kInfinity, 1e-50})  // the last would be no limit as a float32
    sgd(kValue, {"clip_value"}, [&](auto& o) { o.clip_value = clip_value; });
  sgd(kValue, {"step", "-1"}, [](auto& o) { o.step = -1; });
}

TEST_CASE("unknown selectors, flags and reserved fields are refused", "[bad_input]") {
  using Novograd = layerwise_novograd_options;
  const std::pair<const char*, int32_t Novograd::*> flags[] = {
      {"advance_step", &Novograd::advance_step},
      {"norm", &Novograd::norm},
      {"grad_averaging", &Novograd::grad_averaging},
      {"average_first_step", &Novograd::average_first_step},
      {"amsgrad", &Novograd::amsgrad},
      {"bias_correction", &Novograd::bias_correction},
      {"lr_in_momentum", &Novograd::lr_in_momentum},
      {"maximize", &Novograd::maximize},
      {"rounding", &Novograd::rounding},
      {"reserved", &Novograd::reserved}};
  for (const auto& [name, member] : flags)
    for (int32_t value : {2, -1}) {
      CAPTURE(name, value);
      const auto flag = member;
      novograd(kFlag, {name, std::to_string(value)}, [&](auto& o) { o.*flag = value; });
    }
  novograd(kCombination, {"seed", "9"}, [](auto& o) { o.seed = 9; });
  novograd(kFlag, {"reserved2", "9"}, [](auto& o) { o.reserved2[0] = 9; });
  novograd(kFlag, {"reserved2", "9"}, [](auto& o) { o.reserved2[1] = 9; });
  larc(kFlag, {"mode", "2"}, [](auto& o) { o.mode = 2; });
  for (int32_t value : {3, -1}) {
    novograd(kFlag, {"seed_second_moment", std::to_string(value)}, [&](auto& o) { o.seed_second_moment = value; });
    novograd(kFlag, {"decoupled_weight_decay", std::to_string(value)},
             [&](auto& o) { o.decoupled_weight_decay = value; });
  }
  larc(kFlag, {"zero_norm", "5"}, [](auto& o) { o.zero_norm = 5; });
  larc(kFlag, {"zero_norm", "-1"}, [](auto& o) { o.zero_norm = -1; });
  larc(kFlag, {"fold_weight_decay", "5"}, [](auto& o) { o.fold_weight_decay = 5; });
  larc(kFlag, {"zero_grad_norm", "3"}, [](auto& o) { o.zero_grad_norm = 3; });
  larc(kFlag, {"maximize", "-1"}, [](auto& o) { o.maximize = -1; });
  larc(kFlag, {"rounding", "2"}, [](auto& o) { o.rounding = 2; });
  larc(kCombination, {"seed", "1"}, [](auto& o) { o.seed = 1; });
  sgd(kFlag, {"nesterov", "2"}, [](auto& o) { o.nesterov = 2; });
  sgd(kFlag, {"advance_step", "2"}, [](auto& o) { o.advance_step = 2; });
  sgd(kFlag, {"lr_in_momentum", "2"}, [](auto& o) { o.lr_in_momentum = 2; });
  sgd(kFlag, {"factor_after_momentum", "-1"}, [](auto& o) { o.factor_after_momentum = -1; });
  sgd(kFlag, {"dampen_first_step", "2"}, [](auto& o) { o.dampen_first_step = 2; });
  sgd(kFlag, {"reserved", "1"}, [](auto& o) { o.reserved = 1; });
}

TEST_CASE("options that exclude each other are refused", "[bad_input]") {
  int64_t completed = 3;
  novograd(kCombination, {"lr_in_momentum", "bias_correction"},
           [](auto& o) { o.lr_in_momentum = 1, o.bias_correction = 1, o.step = 1; });
  novograd(kCombination, {"lr_in_momentum", "decoupled_weight_decay"},
           [](auto& o) { o.lr_in_momentum = 1, o.decoupled_weight_decay = 1; });
  novograd(kCombination, {"eps_root", "norm"}, [](auto& o) { o.norm = LAYERWISE_NORM_INF, o.eps_root = 1e-8; });
  novograd(kValue, {"step", "0", "bias_correction"}, [](auto& o) { o.bias_correction = 1; });
  novograd(kValue, {"step", "0", "average_first_step"},
           [](auto& o) { o.grad_averaging = 1, o.average_first_step = 0; });
  novograd(kCombination, {"advance_step", "step_ptr"}, [](auto& o) { o.advance_step = 1; });
  novograd(kCombination, {"step", "step_ptr"}, [&](auto& o) { o.step = 4, o.step_ptr = &completed; });
  novograd(kValue, {"step", "0", "seeded on the first step"},
           [](auto& o) { o.seed_second_moment = LAYERWISE_SEED_FIRST_STEP; });
  larc(kCombination, {"max_update", "0.5", "SCALE"}, [](auto& o) { o.max_update = 0.5; });
  larc(kValue, {"max_update", "0.5", "min_update", "0.75"},
       [](auto& o) { o.mode = LAYERWISE_LARC_SCALE, o.max_update = 0.5, o.min_update = 0.75; });
  sgd(kCombination, {"lr_in_momentum", "factor_after_momentum"},
      [](auto& o) { o.lr_in_momentum = 1, o.factor_after_momentum = 1; });
  sgd(kValue, {"step", "0", "dampening"}, [](auto& o) { o.dampening = 0.5; });
  sgd(kCombination, {"nesterov", "dampening"}, [](auto& o) { o.nesterov = 1, o.dampening = 0.5, o.step = 1; });
  sgd(kCombination, {"advance_step", "step_ptr"}, [](auto& o) { o.advance_step = 1; });
  CHECK(completed == 3);
}

TEST_CASE("buffers that an option needs or excludes", "[bad_input]") {
  Witness w;
  oracle::Model& m = w.model;
  auto options = good_novograd();
  const auto step = [&](void* maximum, void* extra) {
    return novograd_step(m.plan.get(), m.weights.data(), m.grads.data(), m.moment.data(), m.second_moment.data(),
                         maximum, extra, nullptr, nullptr, &options, nullptr);
  };
  options.amsgrad = 1;
  w.refused(step(nullptr, nullptr), kCombination, {"max_second_moment", "amsgrad"});
  options.amsgrad = 0;
  w.refused(step(m.max_second_moment.data(), nullptr), kCombination, {"max_second_moment", "amsgrad"});

  const auto larc = good_larc();
  auto sgd = good_sgd();
  const auto larc_step = [&](void* momentum) {
    return larc_sgd_step(m.plan.get(), m.weights.data(), m.grads.data(), momentum, nullptr, nullptr, nullptr, &larc,
                         &sgd, nullptr);
  };
  w.refused(larc_step(nullptr), kCombination, {"momentum"});
  sgd.momentum = 0;
  w.refused(larc_step(m.moment.data()), kCombination, {"momentum"});
  sgd.nesterov = 1;
  w.refused(larc_step(nullptr), kCombination, {"nesterov", "momentum"});

  oracle::Layout plain = Witness::small();
  plain.extra = LAYERWISE_DTYPE_NONE;
  const auto no_copy = oracle::create_plan(oracle::plan_options(plain));
  w.refused(novograd_step(no_copy.get(), m.weights.data(), m.grads.data(), m.moment.data(), m.second_moment.data(),
                          nullptr, m.extra.data(), nullptr, nullptr, &options, nullptr),
            kCombination, {"weights_extra"});
}

TEST_CASE("per-layer options with bad values are refused and change nothing", "[bad_input]") {
  for (double bad : {-1.0, kNan, kInfinity})
    for (bool rate : {true, false}) {
      Witness w;
      const std::vector<double> values = {1, 1, bad, 1}, halves(4, 0.5);
      layerwise_layer_options options;
      REQUIRE_OK(layerwise_layer_options_init(&options, sizeof options));
      options.lr_mult = halves.data();
      REQUIRE_OK(layerwise_plan_set_layers(w.model.plan.get(), &options));
      (rate ? options.lr_mult : options.wd_mult) = values.data();
      expect_refusal(layerwise_plan_set_layers(w.model.plan.get(), &options), kValue,
                     {rate ? "lr_mult[2]" : "wd_mult[2]", bad == -1.0       ? "-1"
                                                          : std::isnan(bad) ? "nan"
                                                                            : "inf"});
      // What was set before is still in force.
      REQUIRE_OK(w.model.novograd(good_novograd()));
      CHECK(w.model.statistics(LAYERWISE_STAT_EFFECTIVE_LR)[0] == static_cast<double>(0.01f) * 0.5);
    }
  Witness w;
  layerwise_layer_options options;
  REQUIRE_OK(layerwise_layer_options_init(&options, sizeof options));
  const uint8_t skip[4] = {0, 1, 2, 0};
  options.skip_larc = skip;
  expect_refusal(layerwise_plan_set_layers(w.model.plan.get(), &options), kFlag, {"skip_larc[2]", "2"});
  options.skip_larc = nullptr, options.reserved[1] = 1;
  expect_refusal(layerwise_plan_set_layers(w.model.plan.get(), &options), kFlag, {"reserved", "1"});
  expect_refusal(layerwise_plan_set_layers(w.model.plan.get(), nullptr), LAYERWISE_ERROR_NULL_ARGUMENT,
                 {"options", "NULL"});
}
