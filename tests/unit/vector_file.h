// One file of tests/vectors as options of the C ABI. The files name things as the implementations they came from do;
// every such name is translated here, once.
#pragma once

#include <layerwise.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "json_reader.h"

#ifndef LAYERWISE_VECTORS_DIR
#define LAYERWISE_VECTORS_DIR "tests/vectors"
#endif

struct VectorFile {
  std::vector<int64_t> sizes;
  std::vector<double> weights;                 // before the first step
  std::vector<std::vector<double>> gradients;  // one a step
  std::vector<double> expected_weights;        // after the last step

  bool novograd = false;
  layerwise_novograd_options novograd_options;
  std::vector<double> expected_first_moment, expected_second_moment, expected_max_second_moment;

  layerwise_larc_options larc_options;
  layerwise_sgd_options sgd_options;
  std::vector<std::vector<double>> expected_scaled_gradients, expected_factors;  // one a step; factors may be missing

  explicit VectorFile(const std::string& name);

 private:
  void read_novograd(const json::Value& file);
  void read_larc(const json::Value& file);
};

inline std::vector<std::vector<double>> lists(const json::Value& value) {
  std::vector<std::vector<double>> result;
  for (const json::Value& list : value.array()) result.push_back(list.numbers());
  return result;
}

inline VectorFile::VectorFile(const std::string& name) {
  const json::Value file = json::read_file(std::string(LAYERWISE_VECTORS_DIR) + "/" + name);
  for (double size : file.at("layer_sizes").numbers()) sizes.push_back(static_cast<int64_t>(size));
  weights = file.at("initial_weights").numbers();
  gradients = lists(file.at("gradients"));
  expected_weights = file.at("expected_weights").numbers();
  novograd = file.at("operation").string() == "novograd";
  if (novograd)
    read_novograd(file);
  else
    read_larc(file);
}

inline void VectorFile::read_novograd(const json::Value& file) {
  const json::Value& given = file.at("hyper_parameters");
  const auto number = [&](const char* key, double otherwise) {
    return given.has(key) ? given.at(key).number() : otherwise;
  };
  const auto flag = [&](const char* key, bool otherwise) {
    return given.has(key) ? given.at(key).boolean() : otherwise;
  };
  layerwise_novograd_options_init(&novograd_options, sizeof novograd_options);
  novograd_options.lr = given.at("lr").number();
  novograd_options.beta1 = given.at("beta1").number();
  novograd_options.beta2 = given.at("beta2").number();
  novograd_options.eps = given.at("eps").number();
  novograd_options.eps_root = number("eps_inside_sqrt", 0);
  novograd_options.weight_decay = given.at("weight_decay").number();
  novograd_options.grad_averaging = flag("grad_averaging", false);
  novograd_options.average_first_step = flag("average_first_step", true);
  novograd_options.lr_in_momentum = flag("lr_in_momentum", false);
  novograd_options.maximize = flag("maximize", false);
  novograd_options.amsgrad = flag("amsgrad", false);
  novograd_options.bias_correction = flag("bias_correction", false);
  const bool infinity = given.at("norm").string() == "inf";
  novograd_options.norm = infinity ? LAYERWISE_NORM_INF : LAYERWISE_NORM_L2;
  // "zero" starts the average from 0. Every other wording starts it from the first norm; blending that norm with
  // itself, as apex does, changes nothing.
  novograd_options.seed_second_moment = given.at("first_step").string() != "zero";
  novograd_options.decoupled_weight_decay = given.at("decay").string().rfind("decoupled", 0) == 0;
  expected_first_moment = file.at("expected_first_moment").numbers();
  if (file.has("expected_norms")) {  // apex stores the norm, this library its square
    for (double norm : file.at("expected_norms").numbers())
      expected_second_moment.push_back(infinity ? norm : norm * norm);
  } else {
    expected_second_moment = file.at("expected_second_moment").numbers();
  }
  if (file.has("expected_max_second_moment"))
    expected_max_second_moment = file.at("expected_max_second_moment").numbers();
}

inline void VectorFile::read_larc(const json::Value& file) {
  const json::Value& given = file.at("hyper_parameters");
  const auto first_of = [&](const char* name, const char* other, double otherwise) {
    return given.has(name) ? given.at(name).number() : given.has(other) ? given.at(other).number() : otherwise;
  };
  layerwise_larc_options_init(&larc_options, sizeof larc_options);
  larc_options.lr = given.at("lr").number();
  larc_options.eta = first_of("larc_eta", "trust_coefficient", NAN);
  larc_options.eps = first_of("epsilon", "eps", NAN);
  larc_options.min_update = first_of("min_update", "", 0);
  larc_options.weight_decay = first_of("weight_decay", "", 0);
  const char* mode = given.has("larc_mode") ? "larc_mode" : "mode";
  larc_options.mode = given.at(mode).string() == "clip" ? LAYERWISE_LARC_CLIP : LAYERWISE_LARC_SCALE;
  const char* fold = given.has("fold_weight_decay") ? "fold_weight_decay" : "weight_decay_in_norm";
  larc_options.fold_weight_decay = given.has(fold) && given.at(fold).boolean();
  // OpenSeq2Seq's files name no rule: its formula gives min_update where the weights are 0.
  const std::string rule = given.has("zero_norm") ? given.at("zero_norm").string() : "floor";
  larc_options.zero_norm = rule == "floor"    ? LAYERWISE_ZERO_NORM_FLOOR
                           : rule == "freeze" ? LAYERWISE_ZERO_NORM_FREEZE
                           : rule == "keep"   ? LAYERWISE_ZERO_NORM_KEEP
                                              : LAYERWISE_ZERO_NORM_UNTOUCHED;  // apex: in words
  layerwise_sgd_options_init(&sgd_options, sizeof sgd_options);
  sgd_options.momentum = first_of("momentum", "", 0);
  expected_scaled_gradients = lists(file.at("expected_scaled_gradients"));
  if (file.has("expected_factors")) expected_factors = lists(file.at("expected_factors"));
}

inline const std::vector<std::string>& vector_file_names() {
  static const std::vector<std::string> names = {
      "larc-openseq2seq-clip.json",       "larc-openseq2seq-scale.json",   "larc-sgd-apex-clip.json",
      "larc-sgd-apex-scale.json",         "larc-zero-freeze.json",         "larc-zero-keep.json",
      "larc-zero-untouched.json",         "novograd-amsgrad.json",         "novograd-beta2-zero.json",
      "novograd-bias-correction.json",    "novograd-decoupled-decay.json", "novograd-eps-inside-sqrt.json",
      "novograd-grad-averaging.json",     "novograd-inf-norm.json",        "novograd-lr-in-momentum.json",
      "novograd-many-tiles.json",         "novograd-maximize.json",        "novograd-seed-defaults.json",
      "novograd-zero-first-gradient.json"};
  return names;
}
