// Results of other people's code and formulas, in float64 (tests/vectors/README.md says whose): first the oracle
// against them, so that it is known to compute the same optimizers, then the library on the CPU.
//
// Bounds. The oracle: 1e-12 of the largest value; its extended precision and the files' float64 differ by some ten
// roundings of 1e-16. The library: the roundings of every step, counted in vector_replay.h; about 20 a step, so 1e-6 of
// the largest term a step.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include "../oracle/model.h"
#include "vector_replay.h"

namespace {

template <class Expected, class Actual, class Bound>
void compare(const char* what, const Expected& expected, const Actual& actual, const Bound& bound) {
  REQUIRE(expected.size() == actual.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const long double expected_value = expected[i], difference = std::fabs(expected_value - actual[i]);
    if (difference <= static_cast<long double>(bound(i))) continue;
    CAPTURE(what, i, static_cast<double>(expected_value), static_cast<double>(actual[i]),
            static_cast<double>(difference), static_cast<double>(bound(i)));
    FAIL("the first value outside its bound");
  }
}

double largest(const std::vector<double>& values) {
  double result = 0;
  for (double value : values) result = std::fmax(result, std::fabs(value));
  return result;
}

template <class Values>
void compare_exactly(const char* what, const std::vector<double>& expected, const Values& actual) {
  compare(what, expected, actual, [&](size_t) { return 1e-12 * largest(expected); });
}

// The library's answer after every step of the file.
struct Run {
  oracle::Model model;
  std::vector<std::vector<double>> factors;

  explicit Run(const VectorFile& file) : model(layout(file)) {
    for (size_t i = 0; i < file.weights.size(); ++i) model.weights.set(static_cast<int64_t>(i), file.weights[i]);
  }
  static oracle::Layout layout(const VectorFile& file) {
    oracle::Layout layout;
    layout.sizes = file.sizes;
    return layout;
  }
  void gradients(const std::vector<double>& values) {
    for (size_t i = 0; i < values.size(); ++i) model.grads.set(static_cast<int64_t>(i), values[i]);
  }
  static std::vector<double> all(const oracle::Buffer& buffer, size_t count) {
    std::vector<double> result;
    for (size_t i = 0; i < count; ++i) result.push_back(buffer.get(static_cast<int64_t>(i)));
    return result;
  }
};

}  // namespace

TEST_CASE("the oracle agrees with results from elsewhere", "[oracle][vectors]") {
  for (const std::string& name : vector_file_names()) {
    CAPTURE(name);
    const VectorFile file(name);
    const Replay replay(file);
    compare_exactly("weights", file.expected_weights, replay.weights);
    if (file.novograd) {
      compare_exactly("first moment", file.expected_first_moment, replay.moment);
      compare_exactly("second moment", file.expected_second_moment, replay.second_moment);
      if (!file.expected_max_second_moment.empty())
        compare_exactly("max second moment", file.expected_max_second_moment, replay.max_second_moment);
    }
    for (size_t t = 0; t < file.expected_factors.size(); ++t)
      compare_exactly("factors", file.expected_factors[t], replay.factors[t]);
    for (size_t t = 0; t < file.expected_scaled_gradients.size(); ++t)
      compare_exactly("scaled gradients", file.expected_scaled_gradients[t], replay.scaled[t]);
  }
}

TEST_CASE("novograd_step agrees with results from elsewhere", "[vectors]") {
  for (const std::string& name : vector_file_names()) {
    const VectorFile file(name);
    if (!file.novograd) continue;
    CAPTURE(name);
    const Replay replay(file);
    Run run(file);
    auto options = file.novograd_options;
    for (const auto& gradients : file.gradients) {
      run.gradients(gradients);
      ++options.step;
      REQUIRE_OK(run.model.novograd(options));
    }
    const size_t elements = file.weights.size(), layers = file.sizes.size();
    compare("weights", file.expected_weights, Run::all(run.model.weights, elements),
            [&](size_t i) { return replay.weights_bound[i]; });
    compare("first moment", file.expected_first_moment, Run::all(run.model.moment, elements),
            [&](size_t i) { return replay.moment_bound[i]; });
    compare("second moment", file.expected_second_moment, Run::all(run.model.second_moment, layers),
            [&](size_t i) { return replay.second_moment_bound[i]; });
    if (!file.expected_max_second_moment.empty())
      compare("max second moment", file.expected_max_second_moment, Run::all(run.model.max_second_moment, layers),
              [&](size_t i) { return replay.second_moment_bound[i]; });
  }
}

TEST_CASE("larc_scale and larc_sgd_step agree with results from elsewhere", "[vectors]") {
  for (const std::string& name : vector_file_names()) {
    const VectorFile file(name);
    if (file.novograd) continue;
    CAPTURE(name);
    const Replay replay(file);
    Run run(file);
    auto sgd = file.sgd_options;
    for (size_t t = 0; t < file.gradients.size(); ++t) {
      CAPTURE(t);
      run.gradients(file.gradients[t]);
      REQUIRE_OK(run.model.larc_scale(file.larc_options));  // overwrites the gradients
      compare("scaled gradients", file.expected_scaled_gradients[t], Run::all(run.model.grads, file.weights.size()),
              [&](size_t i) { return replay.scaled_bound[t][i]; });
      run.gradients(file.gradients[t]);
      ++sgd.step;
      REQUIRE_OK(run.model.larc_sgd(file.larc_options, sgd));
      if (file.expected_factors.empty()) continue;
      compare("factors", file.expected_factors[t], run.model.statistics(LAYERWISE_STAT_FACTOR),
              [&](size_t i) { return replay.factors_bound[t][i]; });
    }
    compare("weights", file.expected_weights, Run::all(run.model.weights, file.weights.size()),
            [&](size_t i) { return replay.weights_bound[i]; });
  }
}

TEST_CASE("larc_scale followed by the SGD of larc_sgd_step agrees with both in one", "[vectors]") {
  // apex's wrapper around SGD, spelled as two calls: every layer skips LARC in the second.
  for (const char* name : {"larc-sgd-apex-clip.json", "larc-sgd-apex-scale.json"}) {
    CAPTURE(name);
    const VectorFile file(name);
    const Replay replay(file);
    Run run(file);
    oracle::Layout plain = Run::layout(file);
    plain.skip_larc.assign(file.sizes.size(), 1);
    Run follow(file);
    follow.model.set_layers(plain);
    auto no_decay = file.larc_options;
    no_decay.weight_decay = 0;
    auto sgd = file.sgd_options;
    for (const auto& gradients : file.gradients) {
      run.gradients(gradients);
      run.model.weights = follow.model.weights;
      REQUIRE_OK(run.model.larc_scale(file.larc_options));
      follow.model.grads = run.model.grads;
      ++sgd.step;
      REQUIRE_OK(follow.model.larc_sgd(no_decay, sgd));
    }
    compare("weights", file.expected_weights, Run::all(follow.model.weights, file.weights.size()),
            [&](size_t i) { return 2 * replay.weights_bound[i]; });
  }
}
