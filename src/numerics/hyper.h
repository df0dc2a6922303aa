// Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings.
// The options of each step that are plain numbers and flags, by the header's names.
// clang-format off
#pragma once

namespace layerwise {

struct NovogradPlain {
  double beta1;
  double beta2;
  double eps;
  double eps_root;
  double weight_decay;
  bool grad_averaging;
  bool average_first_step;
  bool amsgrad;
  bool bias_correction;
  bool lr_in_momentum;
  bool maximize;
};

struct LarcPlain {
  double eta;
  double eps;
  double min_update;
  double weight_decay;
  bool maximize;
  double weight_norm_threshold;
  double max_update;
};

struct SgdPlain {
  double momentum;
  double dampening;
  bool nesterov;
  bool lr_in_momentum;
  bool factor_after_momentum;
  bool dampen_first_step;
  double clip_value;
};

}  // namespace layerwise
