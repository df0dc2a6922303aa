// The kernels of NovoGrad.
#include "kernels/novograd.cuh"

namespace layerwise {
namespace {

struct NovogradEnd : AnyNovogradEnd {
  static __device__ __forceinline__ Sums<1> given(const Step& step, int64_t layer) { return {{step.given.grads[layer]}}; }
  static __device__ __forceinline__ void finish(const DevicePlan& plan, const Step& step, const Call& call, int64_t layer,
                                                const Sums<1>& sums) {
    SecondMoment moment = load_second_moment(step, layer);
    store(plan, step, layer, novograd_layer(step.hyper, call, plan.options[layer], sums.of[0], moment), moment);
  }
};

}  // namespace

StepKernels<NovogradStep> novograd_kernels(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return step_kernels<GradNorm<G, NovogradEnd>, NovogradUpdate<W, G, M>, W, G>();
  });
}

}  // namespace layerwise
