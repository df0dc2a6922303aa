// A call that must be refused: with which status, with what in its message, and without a byte written.
#pragma once

#include <string>

#include "../oracle/random_case.h"

// The message has to name the argument, the value received and the rule; the first two are given as words to find. A
// message of fewer than four words cannot hold a rule.
inline void expect_refusal(int32_t status, int32_t expected, std::initializer_list<std::string> words) {
  const std::string message = layerwise_last_error();
  CAPTURE(message);
  CHECK(std::string(layerwise_status_name(status)) == layerwise_status_name(expected));
  for (const std::string& word : words) {
    CAPTURE(word);
    CHECK(message.find(word) != std::string::npos);
  }
  CHECK(std::count(message.begin(), message.end(), ' ') >= 3);
}

// A small model with every buffer filled, and a copy of all of it.
struct Witness {
  oracle::Model model;
  oracle::Model before;

  explicit Witness(const oracle::Layout& layout = small()) : model(filled(layout)), before(model) {}

  static oracle::Layout small() {
    oracle::Layout layout;
    layout.sizes = {3, 0, 40, 1};
    layout.second_moment = LAYERWISE_DTYPE_FLOAT64;
    layout.extra = LAYERWISE_DTYPE_BFLOAT16;
    layout.mask = {1, 1, 1, 1};
    return layout;
  }
  static oracle::Model filled(const oracle::Layout& layout) {
    oracle::Model model(layout);
    oracle::Random random(1);
    oracle::fill_layer(random, model.weights, 0, layout.extent(), 1);
    oracle::fill_layer(random, model.grads, 0, layout.extent(), 1);
    oracle::fill_layer(random, model.moment, 0, layout.extent(), 1);
    model.second_moment.fill(0.25);
    model.max_second_moment.fill(0.5);
    return model;
  }

  void refused(int32_t status, int32_t expected, std::initializer_list<std::string> words) {
    expect_refusal(status, expected, words);
    CHECK(model.same_bits(before));
  }
};

inline layerwise_novograd_options good_novograd() {
  layerwise_novograd_options options;
  REQUIRE_OK(layerwise_novograd_options_init(&options, sizeof options));
  options.lr = 0.01;
  return options;
}

inline layerwise_larc_options good_larc() {
  layerwise_larc_options options;
  REQUIRE_OK(layerwise_larc_options_init(&options, sizeof options));
  options.lr = 0.01;
  return options;
}

inline layerwise_sgd_options good_sgd() {
  layerwise_sgd_options options;
  REQUIRE_OK(layerwise_sgd_options_init(&options, sizeof options));
  return options;
}
