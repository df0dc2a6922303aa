// The kernels of NovoGrad with LARC before it.
#include "kernels/novograd.cuh"

namespace layerwise {
namespace {

struct LarcNovogradEnd : AnyNovogradEnd {
  static __device__ __forceinline__ Sums<2> given(const Step& step, int64_t layer) {
    return {{step.given.grads[layer], step.given.weights[layer]}};
  }
  static __device__ __forceinline__ void finish(const DevicePlan& plan, const Step& step, const Call& call, int64_t layer,
                                                const Sums<2>& sums) {
    SecondMoment moment = load_second_moment(step, layer);
    const auto update =
        larc_novograd_layer(step.larc, step.hyper, call, plan.options[layer], sums.of[1], sums.of[0], moment);
    store(plan, step, layer, update, moment);
  }
};

}  // namespace

StepKernels<NovogradStep> larc_novograd_kernels(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return step_kernels<BothNorms<W, G, LarcNovogradEnd>, NovogradUpdate<W, G, M>, W, G>();
  });
}

}  // namespace layerwise
