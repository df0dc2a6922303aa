// Any layout, any dtypes, any options, several steps: after every step each stored value must be what the oracle's
// value, give or take the counted roundings (tests/oracle), rounds to. Every step starts from the state the library
// stored, so bounds do not grow.
//
// LAYERWISE_PROPERTY_CASES=100000 explores more cases, LAYERWISE_PROPERTY_SEED=n starts elsewhere; a failure prints
// both.
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>

#include "../oracle/check.h"
#include "../oracle/random_case.h"

namespace {

using namespace oracle;

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Host scalars, or the same through pointers, as a replayed graph would have them.
template <class Options>
struct Pointers {
  float lr, grad_scale, found_inf;
  int64_t nonfinite = 5;

  Pointers(Random& random, Options& options) {
    found_inf = random.one_in(12) ? 1.0f : 0.0f;
    if (random.one_in(2)) options.found_inf = &found_inf;
    if (random.one_in(2)) options.nonfinite_layers = &nonfinite;
    lr = static_cast<float>(options.lr);
    if (random.one_in(4)) options.lr_ptr = &lr, options.lr = 123;
    grad_scale = static_cast<float>(options.grad_scale);
    if (random.one_in(4)) options.grad_scale_ptr = &grad_scale, options.grad_scale = 456;
  }
  Effects effects(const Options& options) const {
    Effects effects;
    effects.found_inf = options.found_inf && found_inf != 0;
    effects.nonfinite_layers = options.nonfinite_layers ? nonfinite - 5 : -1;
    return effects;
  }
};

template <class Step, class Verdict>
std::string steps(Random& random, Model& model, const std::vector<double>& scales, Step step, Verdict verdict) {
  const bool nonfinite = random.one_in(5);
  for (int64_t count = 1 + random.below(3); count > 0; --count) {
    fill_gradients(random, model, scales, nonfinite);
    const Model before = model;
    REQUIRE_OK(step());
    const std::string wrong = verdict(before);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

std::string novograd_case(Random& random, Model& model, const std::vector<double>& scales, bool after_larc = false) {
  auto options = random_novograd(random);
  if (after_larc) options.norm = LAYERWISE_NORM_L2;
  draw_modes(random, options);
  auto larc = random_larc_ahead(random);
  draw_zero_norms(random, larc);
  Pointers pointers(random, options);
  int64_t completed = options.step - 1;
  const bool by_pointer = random.one_in(3), advance = by_pointer && random.one_in(2);
  if (by_pointer) options.step_ptr = &completed, options.step = 0, options.advance_step = advance;
  auto was = options;
  int64_t was_completed = completed;
  return steps(
      random, model, scales,
      [&] {
        pointers.nonfinite = 5;
        if (!advance) by_pointer ? ++completed : ++options.step;
        was_completed = completed;
        return after_larc ? model.larc_novograd(larc, options) : model.novograd(options);
      },
      [&](const Model& before) -> std::string {
        const Effects effects = pointers.effects(options);
        const int64_t expected = was_completed + (advance && !effects.found_inf);
        if (by_pointer && completed != expected)
          return "step is " + std::to_string(completed) + ", expected " + std::to_string(expected);
        was = options;
        was.step_ptr = by_pointer ? &was_completed : nullptr;
        return after_larc ? Check(before, model).larc_novograd(larc, was, effects)
                          : Check(before, model).novograd(was, effects);
      });
}

std::string larc_scale_case(Random& random, Model& model, const std::vector<double>& scales) {
  auto options = random_larc(random);
  draw_modes(random, options);
  Pointers pointers(random, options);
  return steps(
      random, model, scales, [&] { return pointers.nonfinite = 5, model.larc_scale(options); },
      [&](const Model& before) { return Check(before, model).larc_scale(options, pointers.effects(options)); });
}

std::string larc_sgd_case(Random& random, Model& model, const std::vector<double>& scales) {
  auto options = random_larc(random);
  auto sgd = random_sgd(random);
  draw_modes(random, options, sgd);
  Pointers pointers(random, options);
  return steps(
      random, model, scales, [&] { return pointers.nonfinite = 5, model.larc_sgd(options, sgd); },
      [&](const Model& before) {
        const std::string wrong = Check(before, model).larc_sgd(options, sgd, pointers.effects(options));
        ++sgd.step;
        return wrong;
      });
}

std::string run_case(uint64_t seed, std::string& description) {
  Random random(seed);
  Layout layout = random_layout(random);
  split_some(random, layout);
  Model model(layout);
  const bool extreme = random.one_in(4);
  const std::vector<double> scales = fill_state(random, model, extreme);
  if (random.one_in(4)) model.stats.clear();
  const int64_t kind = random.below(4);
  constexpr const char* kNames[] = {"novograd_step", "larc_scale", "larc_sgd_step", "layerwise_larc_novograd_step"};
  description = std::string(kNames[kind]) + ", " + std::to_string(layout.layers()) + " layers, weights " +
                dtype_name(layout.weights) + ", grads " + dtype_name(layout.grads) + ", moment " +
                dtype_name(layout.moment) + ", v " + dtype_name(layout.second_moment) + ", " +
                std::to_string(layout.threads) + " threads" + (layout.scattered ? ", scattered" : "") +
                (extreme ? ", extreme values" : "");
  if (kind == 0 || kind == 3) return novograd_case(random, model, scales, kind == 3);
  return kind == 1 ? larc_scale_case(random, model, scales) : larc_sgd_case(random, model, scales);
}

}  // namespace

TEST_CASE("every step agrees with the oracle on random models", "[property]") {
  const uint64_t first = setting("LAYERWISE_PROPERTY_SEED", 1), cases = setting("LAYERWISE_PROPERTY_CASES", 1500);
  for (uint64_t seed = first; seed < first + cases; ++seed) {
    INFO("reproduce with LAYERWISE_PROPERTY_SEED=" << seed << " LAYERWISE_PROPERTY_CASES=1 unit '[property]'");
    std::string description;
    const std::string wrong = run_case(seed, description);
    INFO(description);
    INFO(wrong);
    REQUIRE(wrong.empty());
  }
}

TEST_CASE("every combination of dtypes agrees with the oracle", "[property]") {
  uint64_t seed = 7000;
  for (int32_t weights : {1, 2, 3})
    for (int32_t grads : {1, 2, 3})
      for (int32_t moment : {1, 2})
        for (int32_t second : {1, 4})
          for (int32_t extra : {0, 2, 3, 5}) {
            const int32_t beside =
                extra == LAYERWISE_DTYPE_REMAINDER16 ? LAYERWISE_DTYPE_BFLOAT16 : LAYERWISE_DTYPE_FLOAT32;
            if (extra != 0 && weights != beside) continue;
            Layout layout;
            layout.sizes = {1, 1500, 0, 8200, 33};
            layout.weights = weights, layout.grads = grads, layout.moment = moment;
            layout.second_moment = second, layout.extra = extra;
            for (int kind = 0; kind < 4; ++kind) {
              Random random(++seed);
              Model model(layout);
              const auto scales = fill_state(random, model, false);
              CAPTURE(seed, kind, dtype_name(weights), dtype_name(grads), dtype_name(moment), dtype_name(second),
                      dtype_name(extra));
              const std::string wrong = kind == 1   ? larc_scale_case(random, model, scales)
                                        : kind == 2 ? larc_sgd_case(random, model, scales)
                                                    : novograd_case(random, model, scales, kind == 3);
              INFO(wrong);
              REQUIRE(wrong.empty());
            }
          }
}

TEST_CASE("a layer of more than 256 tiles agrees with the oracle", "[property]") {
  Layout layout;
  layout.sizes = {3, 256 * 8192 + 4097, 5};
  layout.grads = LAYERWISE_DTYPE_BFLOAT16;
  layout.threads = 2;
  Random random(99);
  Model model(layout);
  const auto scales = fill_state(random, model, false);
  const std::string wrong = novograd_case(random, model, scales);
  INFO(wrong);
  REQUIRE(wrong.empty());
}
