// The kernels of NovoGrad, with and without LARC before it, in one or two passes.
#include "kernels/novograd.cuh"
#include "kernels/step_kernels.cuh"

namespace layerwise {

StepKernels<NovogradStep> novograd_kernels(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return step_kernels<GradNorm<G, NovogradEnd>, NovogradUpdate<W, G, M>, W, G>();
  });
}

StepKernels<NovogradStep> larc_novograd_kernels(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return step_kernels<BothNorms<W, G, LarcNovogradEnd>, NovogradUpdate<W, G, M>, W, G>();
  });
}

}  // namespace layerwise
