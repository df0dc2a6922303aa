// A step as the backends receive it: checked arguments as plain data that can be passed to a kernel. An element buffer
// is the address of its elements in a packed plan, and of a table of one address per layer in a scattered plan.
#pragma once

#include "numerics/layer_scalars.h"
#include "numerics/random.h"

namespace layerwise {

struct Dtypes {
  Dtype weights, grads, first_moment, second_moment, weights_extra;
};

// Where a layer lies in every buffer.
struct LayerExtent {
  int64_t offset, size;  // elements
  int64_t first_tile;    // the plan's number of its first tile
};

struct StepBuffers {
  void* weights;
  void* grads;
  void* first_moment;   // LARC: SGD's momentum buffer, may be null
  void* weights_extra;  // low-precision copy of float32 weights, or remainders of split weights; may be null
  const uint8_t* layer_mask;
  LayerStats* layer_stats;
  const float* found_inf;
  int64_t* nonfinite_layers;
  int64_t* advanced_step;  // the counter of completed steps, if this step is to increment it, else null
  bool stochastic_moment;  // how a bfloat16 first moment is rounded
  uint64_t seed;
};

// Sums that the caller provides, one value per layer: of raw squares, or largest magnitudes. If they are null, the step
// computes them.
struct GivenSums {
  const double* grads;
  const double* weights;
};

struct NovogradStep {
  StepBuffers buffers;
  GivenSums given;
  void* second_moment;
  void* max_second_moment;
  NovogradHyper hyper;
  LarcHyper larc;
  bool applies_larc;  // to the gradients, before NovoGrad
};

struct LarcStep {
  StepBuffers buffers;
  GivenSums given;
  LarcHyper larc;
  SgdHyper sgd;
  bool applies_sgd;  // false: larc_scale, the gradients are written
};

// The arguments of layerwise_partial_norms.
struct PartialNorms {
  StepBuffers buffers;  // weights and gradients, which are only read
  double* grad_sums;
  double* weight_sums;  // may be null
  bool infinity_norm;
};

inline namespace LAYERWISE_ISA {

// A layer's sum as the caller gets it. NaN becomes infinity, because an all-reduce by maximum may lose a NaN.
LAYERWISE_INLINE double sum_for_caller(double sum, bool infinity_norm) {
  return infinity_norm && sum != sum ? bit_cast<double>(uint64_t{0x7ff0000000000000}) : sum;
}

// Calls visitor.operator()<W, G, M>() for a plan's dtypes.
template <class Visitor>
inline auto visit_dtypes(const Dtypes& dtypes, Visitor&& visitor) {
#if defined(LAYERWISE_PAIRWISE_DTYPES)
  // A test build has only some of the combinations; the others must not silently run as one of those.
  if (dtypes.first_moment != pairwise_moment(dtypes.weights, dtypes.grads)) __builtin_trap();
#endif
  return visit_element_dtype(dtypes.weights, [&]<class W>() {
    return visit_element_dtype(dtypes.grads, [&]<class G>() {
#if defined(LAYERWISE_PAIRWISE_DTYPES)
      constexpr bool kBfloat16 = pairwise_moment(dtype_of<W>(), dtype_of<G>()) == Dtype::kBfloat16;
      return visitor.template operator()<W, G, std::conditional_t<kBfloat16, bfloat16, float>>();
#else
      return visit_moment_dtype(dtypes.first_moment, [&]<class M>() { return visitor.template operator()<W, G, M>(); });
#endif
    });
  });
}

// The address of a layer's first element.
LAYERWISE_INLINE void* layer_address(void* buffer, bool scattered, int64_t layer, int64_t offset, int64_t element_size) {
  char* base = static_cast<char*>(scattered ? static_cast<void**>(buffer)[layer] : buffer);
  return base + offset * element_size;
}

// Whether the caller masks the layer, by layer_mask or, in a scattered plan, by a null gradient.
LAYERWISE_INLINE bool is_masked(const StepBuffers& buffers, bool scattered, int64_t layer) {
  if (buffers.layer_mask && !buffers.layer_mask[layer]) return true;
  return scattered && static_cast<void**>(buffers.grads)[layer] == nullptr;
}

// Whether a layer of which this rank has no element is stepped on the other ranks. Only the mask can say: it has no
// gradient here that could be null.
LAYERWISE_INLINE bool takes_part_elsewhere(const StepBuffers& buffers, const LayerOptions& options, int64_t layer) {
  return options.elsewhere && !(buffers.layer_mask && !buffers.layer_mask[layer]);
}

LAYERWISE_INLINE RandomKey random_key(const StepBuffers& buffers, int64_t layer, uint32_t step) {
  return {buffers.seed, static_cast<uint32_t>(layer), step};
}

LAYERWISE_INLINE bool step_is_cancelled(const StepBuffers& buffers) {
  return buffers.found_inf && *buffers.found_inf != 0;
}

LAYERWISE_INLINE SecondMoment load_second_moment(const NovogradStep& step, int64_t layer) {
  if (step.hyper.second_moment_dtype == Dtype::kFloat64)
    return {static_cast<const double*>(step.second_moment)[layer],
            step.hyper.amsgrad ? static_cast<const double*>(step.max_second_moment)[layer] : 0};
  return {static_cast<const float*>(step.second_moment)[layer],
          step.hyper.amsgrad ? static_cast<const float*>(step.max_second_moment)[layer] : 0};
}

LAYERWISE_INLINE void store_second_moment(const NovogradStep& step, int64_t layer, const SecondMoment& moment) {
  if (step.hyper.second_moment_dtype == Dtype::kFloat64) {
    static_cast<double*>(step.second_moment)[layer] = moment.value;
    if (step.hyper.amsgrad) static_cast<double*>(step.max_second_moment)[layer] = moment.maximum;
  } else {
    static_cast<float*>(step.second_moment)[layer] = to_float(moment.value);
    if (step.hyper.amsgrad) static_cast<float*>(step.max_second_moment)[layer] = to_float(moment.maximum);
  }
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
