// The sums of layerwise_partial_norms, which are written out for the caller.
#include "kernels/two_pass.cuh"

namespace layerwise {
namespace {

struct SumsEnd {
  using Step = PartialNorms;
  struct Call {};
  // A step does not touch a masked layer, but its entry in the caller's sums has to be +0.
  static constexpr bool is_done_for_absent_layers = true;

  static __device__ __forceinline__ Call call(const Step&) { return {}; }
  static __device__ __forceinline__ bool uses_infinity_norm(const Step& norms) { return norms.infinity_norm; }
  static __device__ __forceinline__ float decay_in_norm(const DevicePlan&, const Step&, int64_t) { return 0; }

  template <int kSums>
  static __device__ __forceinline__ void finish(const DevicePlan& plan, const Step& norms, const Call&, int64_t layer,
                                                const Sums<kSums>& sums) {
    if (plan.options[layer].not_counted) return absent(norms, layer);  // another rank counts them
    norms.grad_sums[layer] = sum_for_caller(sums.of[0], norms.infinity_norm);
    if constexpr (kSums == 2) norms.weight_sums[layer] = sums.of[1];
  }
  static __device__ __forceinline__ void absent(const Step& norms, int64_t layer) {
    norms.grad_sums[layer] = 0;
    if (norms.weight_sums) norms.weight_sums[layer] = 0;
  }
};

}  // namespace

SumKernels sum_kernels(const Dtypes& dtypes) {
  return visit_element_dtype(dtypes.weights, [&]<class W>() {
    return visit_element_dtype(dtypes.grads, [&]<class G>() -> SumKernels {
      using OfGrads = GradNorm<G, SumsEnd>;
      using OfBoth = BothNorms<W, G, SumsEnd>;
      return {[] { return load_kernels(&norms<OfGrads>, &norms<OfBoth>); }, &launch_norms<OfGrads>, &launch_norms<OfBoth>};
    });
  });
}

}  // namespace layerwise
