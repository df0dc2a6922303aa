// A model and a call drawn from one number: layouts, dtypes, contents and options. The generator is written out
// (splitmix64), so a seed means the same case with every standard library, and
// the arguments of one call never draw, so with every compiler too.
#pragma once

#include "model.h"

namespace oracle {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  int64_t below(int64_t count) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(count)); }
  bool one_in(int64_t count) { return below(count) == 0; }
  double unit() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double between(double low, double high) { return low + (high - low) * unit(); }
  // Roughly normal: four uniform numbers; variance 1.
  double normal() {
    double sum = unit();
    for (int i = 1; i < 4; ++i) sum += unit();
    return (sum - 2) * 1.7320508;
  }
  template <class T>
  T pick(std::initializer_list<T> choices) {
    return choices.begin()[below(static_cast<int64_t>(choices.size()))];
  }
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i)
      std::swap(values[i - 1], values[static_cast<size_t>(below(static_cast<int64_t>(i)))]);
  }

 private:
  uint64_t state_;
};

inline std::vector<int64_t> random_sizes(Random& random) {
  std::vector<int64_t> sizes;
  if (random.one_in(60)) {  // many small layers
    const int64_t layers = random.pick<int64_t>({1000, 4096, 10000});
    for (int64_t l = 0; l < layers; ++l) sizes.push_back(random.below(12));
    return sizes;
  }
  const int64_t layers = 1 + random.below(9);
  for (int64_t l = 0; l < layers; ++l)
    sizes.push_back(random.one_in(2) ? random.below(600)
                                     : random.pick<int64_t>({0,    1,    1,    2,    3,    5,    7,    8,     15,
                                                             16,   17,   31,   33,   63,   64,   65,   255,   1023,
                                                             1024, 1025, 2047, 3000, 8191, 8192, 8193, 16384, 16385}));
  return sizes;
}

// Layers in any order, with or without gaps between them.
inline void random_offsets(Random& random, Layout& layout) {
  if (random.one_in(3)) return;
  const bool gaps = random.one_in(2);
  std::vector<size_t> order(layout.sizes.size());
  for (size_t l = 0; l < order.size(); ++l) order[l] = l;
  if (random.one_in(2)) random.shuffle(order);
  layout.offsets.assign(order.size(), 0);
  int64_t at = gaps ? random.below(9) : 0;
  for (size_t l : order) {
    layout.offsets[l] = at;
    at += layout.sizes[l] + (gaps ? random.below(20) : 0);
  }
}

inline Layout random_layout(Random& random) {
  constexpr int32_t f32 = LAYERWISE_DTYPE_FLOAT32, bf16 = LAYERWISE_DTYPE_BFLOAT16, f16 = LAYERWISE_DTYPE_FLOAT16;
  Layout layout;
  layout.sizes = random_sizes(random);
  random_offsets(random, layout);
  layout.weights = random.pick({f32, f32, bf16, f16});
  layout.grads = random.pick({f32, f32, bf16, f16});
  layout.moment = random.pick({f32, f32, bf16});
  layout.second_moment = random.pick<int32_t>({f32, f32, LAYERWISE_DTYPE_FLOAT64});
  if (layout.weights == f32) layout.extra = random.pick<int32_t>({LAYERWISE_DTYPE_NONE, bf16, f16});
  layout.threads = random.pick({1, 2, 3, 7});
  layout.shift = random.one_in(2) ? 0 : random.below(9);
  layout.scattered = random.one_in(4);
  const size_t layers = layout.sizes.size();
  if (random.one_in(3)) {
    for (size_t l = 0; l < layers; ++l) layout.mask.push_back(!random.one_in(3));
    layout.mask_by_null = random.one_in(2);
  }
  if (random.one_in(3)) {
    for (size_t l = 0; l < layers; ++l) {
      layout.lr_mult.push_back(random.pick({1.0, 0.1, 2.5, 0.0, 1 / 3.0}));
      layout.wd_mult.push_back(random.pick({1.0, 0.0, 0.5, 10.0}));
      layout.skip_larc.push_back(random.one_in(4));
    }
  }
  return layout;
}

// Some of the models with bfloat16 weights get remainders beside them.
inline void split_some(Random& random, Layout& layout) {
  if (layout.weights == LAYERWISE_DTYPE_BFLOAT16 && random.one_in(2)) layout.extra = LAYERWISE_DTYPE_REMAINDER16;
}

// What fills one layer of one buffer. Extreme scales go to 16-bit types only where those can hold them.
inline void fill_layer(Random& random, Buffer& buffer, int64_t begin, int64_t end, double scale) {
  if (buffer.dtype() == LAYERWISE_DTYPE_FLOAT16) scale = std::fmin(std::fmax(scale, 1e-7), 1e3);
  for (int64_t i = begin; i < end; ++i) buffer.set(i, random.normal() * scale);
}

inline double random_scale(Random& random, bool extreme) {
  if (random.one_in(12)) return 0;
  if (extreme) return random.pick({1e-40, 1e-38, 1e-30, 1e-22, 1e-12, 1e10, 1e17, 1e18, 1e20, 1e30});
  return std::pow(10.0, random.between(-5, 1));
}

// New gradients for a step. With nonfinite, some layers hold an infinity or a NaN.
inline void fill_gradients(Random& random, Model& model, const std::vector<double>& scales, bool nonfinite) {
  const auto begins = model.layout.begins();
  for (size_t l = 0; l < begins.size(); ++l) {
    const int64_t begin = begins[l], size = model.layout.sizes[l];
    fill_layer(random, model.grads, begin, begin + size, scales[l] * random.between(0.5, 2));
    if (nonfinite && size > 0 && random.one_in(3)) {
      const double value = random.pick({INFINITY, -INFINITY, NAN});
      model.grads.set(begin + random.below(size), value);
    }
  }
}

// Weights and moments in the middle of a training run, or before it. Scales of the gradients come back.
inline std::vector<double> fill_state(Random& random, Model& model, bool extreme) {
  std::vector<double> scales;
  const auto begins = model.layout.begins();
  const bool started = random.one_in(2);
  for (size_t l = 0; l < begins.size(); ++l) {
    const int64_t begin = begins[l], end = begin + model.layout.sizes[l];
    const double scale = random_scale(random, extreme);
    scales.push_back(scale);
    // Near the gradients' scale, so that LARC's factors stay what float32 can hold.
    fill_layer(random, model.weights, begin, end,
               random.one_in(12) ? 0
               : extreme         ? scale
                                 : random_scale(random, false));
    if (model.layout.split())
      for (int64_t i = begin; i < end; ++i) model.set_weight(i, model.weights.get(i) * random.between(0.996, 1.004));
    if (!started) continue;
    fill_layer(random, model.moment, begin, end, scale);
    const double v = scale * scale * random.between(0, 20);
    if (v < 1e38) {
      model.second_moment.set(static_cast<int64_t>(l), v);
      model.max_second_moment.set(static_cast<int64_t>(l), v * random.between(0.5, 2));
    }
  }
  return scales;
}

inline layerwise_novograd_options random_novograd(Random& random) {
  layerwise_novograd_options options;
  REQUIRE_OK(layerwise_novograd_options_init(&options, sizeof options));
  options.lr = random.pick({0.01, 0.1, 1.0, 0.0, 1e-4});
  options.beta1 = random.pick({0.95, 0.9, 0.0, 0.5, 0.999});
  options.beta2 = random.pick({0.98, 0.25, 0.0, 0.999});
  options.eps = random.pick({1e-8, 0.0, 1e-3});
  options.weight_decay = random.pick({0.001, 0.0, 0.1});
  options.grad_scale = random.pick({1.0, 1.0, 1024.0, 0.3, -2.0});
  options.step = random.pick<int64_t>({1, 2, 10, 1000, 3000000000});
  options.norm = random.one_in(4) ? LAYERWISE_NORM_INF : LAYERWISE_NORM_L2;
  if (options.norm == LAYERWISE_NORM_L2) options.eps_root = random.pick({0.0, 1e-7});
  options.grad_averaging = random.one_in(2);
  options.average_first_step = !random.one_in(3);
  options.amsgrad = random.one_in(4);
  options.bias_correction = random.one_in(3);
  options.seed_second_moment = !random.one_in(4);
  options.decoupled_weight_decay = random.one_in(4) ? LAYERWISE_DECOUPLED_RAW : LAYERWISE_DECOUPLED_OFF;
  options.lr_in_momentum = !options.bias_correction && !options.decoupled_weight_decay && random.one_in(3);
  options.maximize = random.one_in(5);
  return options;
}

inline layerwise_larc_options random_larc(Random& random) {
  layerwise_larc_options options;
  REQUIRE_OK(layerwise_larc_options_init(&options, sizeof options));
  options.lr = random.pick({0.01, 0.1, 1.0, 10.0});
  options.eta = random.pick({0.002, 0.02, 1.0});
  options.eps = random.pick({1e-8, 0.0, 1e-7});
  options.min_update = random.pick({0.0, 0.0, 1e-7, 0.05});
  options.weight_decay = random.pick({0.0, 0.0005, 0.1});
  options.grad_scale = random.pick({1.0, 1.0, 1024.0, 0.3, -2.0});
  options.mode = random.pick({LAYERWISE_LARC_CLIP, LAYERWISE_LARC_SCALE});
  options.zero_norm = static_cast<int32_t>(random.below(4));
  options.fold_weight_decay = random.one_in(2) ? LAYERWISE_FOLD_NORMS : LAYERWISE_FOLD_OFF;
  options.maximize = random.one_in(5);
  return options;
}

// LARC before NovoGrad: what options has for both is left at its default.
inline layerwise_larc_options random_larc_ahead(Random& random) {
  layerwise_larc_options defaults;
  REQUIRE_OK(layerwise_larc_options_init(&defaults, sizeof defaults));
  const layerwise_larc_options drawn = random_larc(random);
  defaults.eta = drawn.eta, defaults.eps = drawn.eps, defaults.min_update = drawn.min_update;
  defaults.mode = drawn.mode, defaults.zero_norm = drawn.zero_norm;
  return defaults;
}

inline layerwise_sgd_options random_sgd(Random& random) {
  layerwise_sgd_options options;
  REQUIRE_OK(layerwise_sgd_options_init(&options, sizeof options));
  options.momentum = random.pick({0.9, 0.0, 0.5});
  options.nesterov = options.momentum > 0 && random.one_in(3);
  options.dampening = options.nesterov ? 0.0 : random.pick({0.0, 0.0, 0.1, 1.0});
  options.step = random.pick<int64_t>({1, 2, 1000});
  return options;
}

// The modes that are not drawn above, where the committed digests come from.
inline void draw_modes(Random& random, layerwise_novograd_options& options) {
  if (random.one_in(3)) options.seed_second_moment = LAYERWISE_SEED_FIRST_STEP;
  if (!options.lr_in_momentum && random.one_in(4)) options.decoupled_weight_decay = LAYERWISE_DECOUPLED_NORMALIZED;
}

// For larc_scale and what goes before NovoGrad alike.
inline void draw_zero_norms(Random& random, layerwise_larc_options& options) {
  options.zero_norm = random.one_in(4) ? LAYERWISE_ZERO_NORM_UNIT : options.zero_norm;
  options.zero_grad_norm = static_cast<int32_t>(random.below(3));
  options.weight_norm_threshold = random.pick({0.0, 0.0, 0.0137});  // no norm that a step of these rates leads to
  if (options.mode == LAYERWISE_LARC_SCALE) options.max_update = random.pick({0.0, 1.0, 0.05});
}

inline void draw_modes(Random& random, layerwise_larc_options& options) {
  draw_zero_norms(random, options);
  if (random.one_in(2)) options.fold_weight_decay = random.pick({LAYERWISE_FOLD_GRADIENT, LAYERWISE_FOLD_BOTH});
}

// What a caller who has the norms can have.
inline void do_without_decayed_norm(layerwise_larc_options& options) {
  if (options.fold_weight_decay == LAYERWISE_FOLD_GRADIENT || options.fold_weight_decay == LAYERWISE_FOLD_BOTH)
    options.fold_weight_decay = LAYERWISE_FOLD_NORMS;
}

inline void draw_modes(Random& random, layerwise_larc_options& larc, layerwise_sgd_options& sgd) {
  draw_modes(random, larc);
  if (random.one_in(4)) {
    larc.fold_weight_decay = LAYERWISE_FOLD_DECOUPLED;
    larc.weight_decay = 0.0005;  // 1 - lr*weight_decay must not cancel: the oracle has more digits
  }
  const int64_t place = random.below(4);
  sgd.lr_in_momentum = place == 0;
  sgd.factor_after_momentum = place == 1;
  sgd.dampen_first_step = random.one_in(4);
  if (sgd.dampen_first_step && sgd.nesterov) sgd.dampening = 0.25;
  sgd.clip_value = random.pick({0.0, 0.0, 0.001, 0.5});
}

}  // namespace oracle
