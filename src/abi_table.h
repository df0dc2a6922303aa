// Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings.
// clang-format off
#pragma once

#define LAYERWISE_ABI_TYPES(TYPE) \
  TYPE(layerwise_plan) \
  TYPE(layerwise_plan_options) \
  TYPE(layerwise_layer_options) \
  TYPE(layerwise_shard_options) \
  TYPE(layerwise_novograd_options) \
  TYPE(layerwise_larc_options) \
  TYPE(layerwise_sgd_options)

#define LAYERWISE_ABI_CONSTANTS(CONSTANT) \
  CONSTANT(LAYERWISE_VERSION_MAJOR) \
  CONSTANT(LAYERWISE_VERSION_MINOR) \
  CONSTANT(LAYERWISE_VERSION_PATCH) \
  CONSTANT(LAYERWISE_ABI_VERSION) \
  CONSTANT(LAYERWISE_OK) \
  CONSTANT(LAYERWISE_ERROR_NULL_ARGUMENT) \
  CONSTANT(LAYERWISE_ERROR_INVALID_VALUE) \
  CONSTANT(LAYERWISE_ERROR_UNKNOWN_FLAG) \
  CONSTANT(LAYERWISE_ERROR_STRUCT_SIZE) \
  CONSTANT(LAYERWISE_ERROR_INVALID_PLAN) \
  CONSTANT(LAYERWISE_ERROR_COMBINATION) \
  CONSTANT(LAYERWISE_ERROR_ALIASED) \
  CONSTANT(LAYERWISE_ERROR_MISALIGNED) \
  CONSTANT(LAYERWISE_ERROR_LAYER_RANGE) \
  CONSTANT(LAYERWISE_ERROR_LAYER_OVERLAP) \
  CONSTANT(LAYERWISE_ERROR_LAYER_OVERFLOW) \
  CONSTANT(LAYERWISE_ERROR_RANKS_DISAGREE) \
  CONSTANT(LAYERWISE_ERROR_UNKNOWN_DTYPE) \
  CONSTANT(LAYERWISE_ERROR_UNSUPPORTED_DTYPE) \
  CONSTANT(LAYERWISE_ERROR_NO_CUDA) \
  CONSTANT(LAYERWISE_ERROR_UNSUPPORTED_ISA) \
  CONSTANT(LAYERWISE_ERROR_WORKSPACE) \
  CONSTANT(LAYERWISE_ERROR_OUT_OF_MEMORY) \
  CONSTANT(LAYERWISE_ERROR_PLAN_FAILED) \
  CONSTANT(LAYERWISE_ERROR_INTERNAL) \
  CONSTANT(LAYERWISE_ERROR_CUDA) \
  CONSTANT(LAYERWISE_DTYPE_NONE) \
  CONSTANT(LAYERWISE_DTYPE_FLOAT32) \
  CONSTANT(LAYERWISE_DTYPE_BFLOAT16) \
  CONSTANT(LAYERWISE_DTYPE_FLOAT16) \
  CONSTANT(LAYERWISE_DTYPE_FLOAT64) \
  CONSTANT(LAYERWISE_DTYPE_REMAINDER16) \
  CONSTANT(LAYERWISE_DEVICE_CPU) \
  CONSTANT(LAYERWISE_LAYOUT_PACKED) \
  CONSTANT(LAYERWISE_LAYOUT_SCATTERED) \
  CONSTANT(LAYERWISE_ISA_AUTO) \
  CONSTANT(LAYERWISE_ISA_BASELINE) \
  CONSTANT(LAYERWISE_ISA_AVX2) \
  CONSTANT(LAYERWISE_ISA_AVX512) \
  CONSTANT(LAYERWISE_ISA_NEON) \
  CONSTANT(LAYERWISE_NORM_L2) \
  CONSTANT(LAYERWISE_NORM_INF) \
  CONSTANT(LAYERWISE_SEED_OFF) \
  CONSTANT(LAYERWISE_SEED_WHILE_ZERO) \
  CONSTANT(LAYERWISE_SEED_FIRST_STEP) \
  CONSTANT(LAYERWISE_DECOUPLED_OFF) \
  CONSTANT(LAYERWISE_DECOUPLED_RAW) \
  CONSTANT(LAYERWISE_DECOUPLED_NORMALIZED) \
  CONSTANT(LAYERWISE_LARC_CLIP) \
  CONSTANT(LAYERWISE_LARC_SCALE) \
  CONSTANT(LAYERWISE_FOLD_OFF) \
  CONSTANT(LAYERWISE_FOLD_NORMS) \
  CONSTANT(LAYERWISE_FOLD_GRADIENT) \
  CONSTANT(LAYERWISE_FOLD_BOTH) \
  CONSTANT(LAYERWISE_FOLD_DECOUPLED) \
  CONSTANT(LAYERWISE_ZERO_NORM_KEEP) \
  CONSTANT(LAYERWISE_ZERO_NORM_FREEZE) \
  CONSTANT(LAYERWISE_ZERO_NORM_FLOOR) \
  CONSTANT(LAYERWISE_ZERO_NORM_UNTOUCHED) \
  CONSTANT(LAYERWISE_ZERO_NORM_UNIT) \
  CONSTANT(LAYERWISE_ZERO_GRAD_AS_WEIGHT) \
  CONSTANT(LAYERWISE_ZERO_GRAD_FORMULA) \
  CONSTANT(LAYERWISE_ZERO_GRAD_AT_LEAST_ONE) \
  CONSTANT(LAYERWISE_ROUNDING_NEAREST) \
  CONSTANT(LAYERWISE_ROUNDING_STOCHASTIC) \
  CONSTANT(LAYERWISE_SUMS_LAYERS) \
  CONSTANT(LAYERWISE_STAT_WEIGHT_NORM) \
  CONSTANT(LAYERWISE_STAT_GRAD_NORM) \
  CONSTANT(LAYERWISE_STAT_SECOND_MOMENT) \
  CONSTANT(LAYERWISE_STAT_FACTOR) \
  CONSTANT(LAYERWISE_STAT_EFFECTIVE_LR) \
  CONSTANT(LAYERWISE_STAT_CLIPPED) \
  CONSTANT(LAYERWISE_STAT_COUNT) \
  CONSTANT(LAYERWISE_QUERY_LAYERS) \
  CONSTANT(LAYERWISE_QUERY_ELEMENTS) \
  CONSTANT(LAYERWISE_QUERY_TILES) \
  CONSTANT(LAYERWISE_QUERY_EXTENT) \
  CONSTANT(LAYERWISE_QUERY_DEVICE) \
  CONSTANT(LAYERWISE_QUERY_THREADS) \
  CONSTANT(LAYERWISE_QUERY_ISA) \
  CONSTANT(LAYERWISE_QUERY_WORKSPACE) \
  CONSTANT(LAYERWISE_QUERY_FINGERPRINT) \
  CONSTANT(LAYERWISE_QUERY_PATH) \
  CONSTANT(LAYERWISE_QUERY_HELD_GRADS) \
  CONSTANT(LAYERWISE_QUERY_HELD_WEIGHTS) \
  CONSTANT(LAYERWISE_QUERY_GLOBAL_FINGERPRINT) \
  CONSTANT(LAYERWISE_QUERY_EXPERIMENTAL) \
  CONSTANT(LAYERWISE_PATH_CPU) \
  CONSTANT(LAYERWISE_PATH_TWO_PASS) \
  CONSTANT(LAYERWISE_PATH_ONE_PASS) \
  CONSTANT(LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH) \
  CONSTANT(LAYERWISE_EXPERIMENTAL_BULK_COPY) \
  CONSTANT(LAYERWISE_CLAIM_HEAD)

#define LAYERWISE_ABI_STRUCTS(STRUCT, FIELD, END_STRUCT) \
  STRUCT(layerwise_plan_options) \
  FIELD(layerwise_plan_options, struct_size) \
  FIELD(layerwise_plan_options, layer_count) \
  FIELD(layerwise_plan_options, sizes) \
  FIELD(layerwise_plan_options, offsets) \
  FIELD(layerwise_plan_options, device) \
  FIELD(layerwise_plan_options, layout) \
  FIELD(layerwise_plan_options, weights_dtype) \
  FIELD(layerwise_plan_options, grads_dtype) \
  FIELD(layerwise_plan_options, first_moment_dtype) \
  FIELD(layerwise_plan_options, second_moment_dtype) \
  FIELD(layerwise_plan_options, weights_extra_dtype) \
  FIELD(layerwise_plan_options, threads) \
  FIELD(layerwise_plan_options, isa) \
  FIELD(layerwise_plan_options, path) \
  FIELD(layerwise_plan_options, workspace) \
  FIELD(layerwise_plan_options, workspace_bytes) \
  FIELD(layerwise_plan_options, multiprocessors) \
  FIELD(layerwise_plan_options, experimental) \
  END_STRUCT(layerwise_plan_options) \
  STRUCT(layerwise_layer_options) \
  FIELD(layerwise_layer_options, struct_size) \
  FIELD(layerwise_layer_options, lr_mult) \
  FIELD(layerwise_layer_options, wd_mult) \
  FIELD(layerwise_layer_options, skip_larc) \
  FIELD(layerwise_layer_options, reserved) \
  END_STRUCT(layerwise_layer_options) \
  STRUCT(layerwise_shard_options) \
  FIELD(layerwise_shard_options, struct_size) \
  FIELD(layerwise_shard_options, layer_sizes) \
  FIELD(layerwise_shard_options, layer_begins) \
  FIELD(layerwise_shard_options, counted) \
  FIELD(layerwise_shard_options, reserved) \
  END_STRUCT(layerwise_shard_options) \
  STRUCT(layerwise_novograd_options) \
  FIELD(layerwise_novograd_options, struct_size) \
  FIELD(layerwise_novograd_options, lr) \
  FIELD(layerwise_novograd_options, beta1) \
  FIELD(layerwise_novograd_options, beta2) \
  FIELD(layerwise_novograd_options, eps) \
  FIELD(layerwise_novograd_options, eps_root) \
  FIELD(layerwise_novograd_options, weight_decay) \
  FIELD(layerwise_novograd_options, grad_scale) \
  FIELD(layerwise_novograd_options, step) \
  FIELD(layerwise_novograd_options, lr_ptr) \
  FIELD(layerwise_novograd_options, grad_scale_ptr) \
  FIELD(layerwise_novograd_options, step_ptr) \
  FIELD(layerwise_novograd_options, found_inf) \
  FIELD(layerwise_novograd_options, nonfinite_layers) \
  FIELD(layerwise_novograd_options, advance_step) \
  FIELD(layerwise_novograd_options, norm) \
  FIELD(layerwise_novograd_options, grad_averaging) \
  FIELD(layerwise_novograd_options, average_first_step) \
  FIELD(layerwise_novograd_options, amsgrad) \
  FIELD(layerwise_novograd_options, bias_correction) \
  FIELD(layerwise_novograd_options, seed_second_moment) \
  FIELD(layerwise_novograd_options, decoupled_weight_decay) \
  FIELD(layerwise_novograd_options, lr_in_momentum) \
  FIELD(layerwise_novograd_options, maximize) \
  FIELD(layerwise_novograd_options, rounding) \
  FIELD(layerwise_novograd_options, reserved) \
  FIELD(layerwise_novograd_options, seed) \
  FIELD(layerwise_novograd_options, reserved2) \
  END_STRUCT(layerwise_novograd_options) \
  STRUCT(layerwise_larc_options) \
  FIELD(layerwise_larc_options, struct_size) \
  FIELD(layerwise_larc_options, lr) \
  FIELD(layerwise_larc_options, eta) \
  FIELD(layerwise_larc_options, eps) \
  FIELD(layerwise_larc_options, min_update) \
  FIELD(layerwise_larc_options, weight_decay) \
  FIELD(layerwise_larc_options, grad_scale) \
  FIELD(layerwise_larc_options, lr_ptr) \
  FIELD(layerwise_larc_options, grad_scale_ptr) \
  FIELD(layerwise_larc_options, found_inf) \
  FIELD(layerwise_larc_options, nonfinite_layers) \
  FIELD(layerwise_larc_options, mode) \
  FIELD(layerwise_larc_options, zero_norm) \
  FIELD(layerwise_larc_options, fold_weight_decay) \
  FIELD(layerwise_larc_options, maximize) \
  FIELD(layerwise_larc_options, rounding) \
  FIELD(layerwise_larc_options, zero_grad_norm) \
  FIELD(layerwise_larc_options, seed) \
  FIELD(layerwise_larc_options, weight_norm_threshold) \
  FIELD(layerwise_larc_options, max_update) \
  END_STRUCT(layerwise_larc_options) \
  STRUCT(layerwise_sgd_options) \
  FIELD(layerwise_sgd_options, struct_size) \
  FIELD(layerwise_sgd_options, momentum) \
  FIELD(layerwise_sgd_options, dampening) \
  FIELD(layerwise_sgd_options, step) \
  FIELD(layerwise_sgd_options, step_ptr) \
  FIELD(layerwise_sgd_options, advance_step) \
  FIELD(layerwise_sgd_options, nesterov) \
  FIELD(layerwise_sgd_options, lr_in_momentum) \
  FIELD(layerwise_sgd_options, factor_after_momentum) \
  FIELD(layerwise_sgd_options, dampen_first_step) \
  FIELD(layerwise_sgd_options, reserved) \
  FIELD(layerwise_sgd_options, clip_value) \
  END_STRUCT(layerwise_sgd_options)

#define LAYERWISE_ABI_FUNCTIONS(FUNCTION) \
  FUNCTION(layerwise_plan_options_init, "options", "struct_size") \
  FUNCTION(layerwise_plan_workspace_size, "options", "bytes") \
  FUNCTION(layerwise_plan_create, "options", "plan") \
  FUNCTION(layerwise_plan_destroy, "plan") \
  FUNCTION(layerwise_plan_reset, "plan") \
  FUNCTION(layerwise_plan_query, "plan", "key", "value") \
  FUNCTION(layerwise_layer_options_init, "options", "struct_size") \
  FUNCTION(layerwise_plan_set_layers, "plan", "options") \
  FUNCTION(layerwise_shard_options_init, "options", "struct_size") \
  FUNCTION(layerwise_plan_set_shard, "plan", "options") \
  FUNCTION(layerwise_shard_claim, "plan", "agreed", "agreed_bytes", "claim", "count") \
  FUNCTION(layerwise_shard_verify, "plan", "claim", "sum", "count") \
  FUNCTION(layerwise_novograd_options_init, "options", "struct_size") \
  FUNCTION(novograd_step, "plan", "weights", "grads", "first_moment", "second_moment", "max_second_moment", \
    "weights_extra", "layer_mask", "layer_stats", "options", "stream") \
  FUNCTION(layerwise_larc_options_init, "options", "struct_size") \
  FUNCTION(larc_scale, "plan", "weights", "grads", "layer_mask", "layer_stats", "options", "stream") \
  FUNCTION(layerwise_sgd_options_init, "options", "struct_size") \
  FUNCTION(larc_sgd_step, "plan", "weights", "grads", "momentum", "weights_extra", "layer_mask", "layer_stats", \
    "larc", "sgd", "stream") \
  FUNCTION(layerwise_larc_novograd_step, "plan", "weights", "grads", "first_moment", "second_moment", \
    "max_second_moment", "weights_extra", "layer_mask", "layer_stats", "larc", "options", "stream") \
  FUNCTION(layerwise_partial_norms, "plan", "weights", "weights_extra", "grads", "layer_mask", "grad_sums", \
    "weight_sums", "sums_kind", "norm", "stream") \
  FUNCTION(layerwise_novograd_apply, "plan", "weights", "grads", "first_moment", "second_moment", \
    "max_second_moment", "weights_extra", "layer_mask", "layer_stats", "grad_sums", "sums_kind", "options", "stream") \
  FUNCTION(layerwise_larc_apply, "plan", "weights", "grads", "momentum", "weights_extra", "layer_mask", \
    "layer_stats", "grad_sums", "weight_sums", "sums_kind", "larc", "sgd", "stream") \
  FUNCTION(layerwise_larc_novograd_apply, "plan", "weights", "grads", "first_moment", "second_moment", \
    "max_second_moment", "weights_extra", "layer_mask", "layer_stats", "grad_sums", "weight_sums", "sums_kind", \
    "larc", "options", "stream") \
  FUNCTION(layerwise_version) \
  FUNCTION(layerwise_numerics_version) \
  FUNCTION(layerwise_build_info) \
  FUNCTION(layerwise_abi_description) \
  FUNCTION(layerwise_status_name, "status") \
  FUNCTION(layerwise_last_error)

// layerwise_novograd_options
#define LAYERWISE_NOVOGRAD_CHOICES(CHOICE) \
  CHOICE(advance_step, 0, 1) \
  CHOICE(norm, LAYERWISE_NORM_L2, LAYERWISE_NORM_INF) \
  CHOICE(grad_averaging, 0, 1) \
  CHOICE(average_first_step, 0, 1) \
  CHOICE(amsgrad, 0, 1) \
  CHOICE(bias_correction, 0, 1) \
  CHOICE(seed_second_moment, LAYERWISE_SEED_OFF, LAYERWISE_SEED_FIRST_STEP) \
  CHOICE(decoupled_weight_decay, LAYERWISE_DECOUPLED_OFF, LAYERWISE_DECOUPLED_NORMALIZED) \
  CHOICE(lr_in_momentum, 0, 1) \
  CHOICE(maximize, 0, 1) \
  CHOICE(rounding, LAYERWISE_ROUNDING_NEAREST, LAYERWISE_ROUNDING_STOCHASTIC)

#define LAYERWISE_NOVOGRAD_PLAIN(OPTION) \
  OPTION(beta1) \
  OPTION(beta2) \
  OPTION(eps) \
  OPTION(eps_root) \
  OPTION(weight_decay) \
  OPTION(grad_averaging) \
  OPTION(average_first_step) \
  OPTION(amsgrad) \
  OPTION(bias_correction) \
  OPTION(lr_in_momentum) \
  OPTION(maximize)

// layerwise_larc_options
#define LAYERWISE_LARC_CHOICES(CHOICE) \
  CHOICE(mode, LAYERWISE_LARC_CLIP, LAYERWISE_LARC_SCALE) \
  CHOICE(zero_norm, LAYERWISE_ZERO_NORM_KEEP, LAYERWISE_ZERO_NORM_UNIT) \
  CHOICE(fold_weight_decay, LAYERWISE_FOLD_OFF, LAYERWISE_FOLD_DECOUPLED) \
  CHOICE(maximize, 0, 1) \
  CHOICE(rounding, LAYERWISE_ROUNDING_NEAREST, LAYERWISE_ROUNDING_STOCHASTIC) \
  CHOICE(zero_grad_norm, LAYERWISE_ZERO_GRAD_AS_WEIGHT, LAYERWISE_ZERO_GRAD_AT_LEAST_ONE)

#define LAYERWISE_LARC_PLAIN(OPTION) \
  OPTION(eta) \
  OPTION(eps) \
  OPTION(min_update) \
  OPTION(weight_decay) \
  OPTION(maximize) \
  OPTION(weight_norm_threshold) \
  OPTION(max_update)

// layerwise_sgd_options
#define LAYERWISE_SGD_CHOICES(CHOICE) \
  CHOICE(advance_step, 0, 1) \
  CHOICE(nesterov, 0, 1) \
  CHOICE(lr_in_momentum, 0, 1) \
  CHOICE(factor_after_momentum, 0, 1) \
  CHOICE(dampen_first_step, 0, 1)

#define LAYERWISE_SGD_PLAIN(OPTION) \
  OPTION(momentum) \
  OPTION(dampening) \
  OPTION(nesterov) \
  OPTION(lr_in_momentum) \
  OPTION(factor_after_momentum) \
  OPTION(dampen_first_step) \
  OPTION(clip_value)
