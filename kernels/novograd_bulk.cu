// The bulk passes of NovoGrad: apart from its other kernels, since they take as long to compile as all of those.
#include "kernels/bulk_pass.cuh"
#include "kernels/novograd.cuh"

namespace layerwise {

OnePassKernels<NovogradStep> novograd_bulk_pass(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return bulk_pass_kernels<GradNorm<G, NovogradEnd>, NovogradUpdate<W, G, M>, W, G>();
  });
}

OnePassKernels<NovogradStep> larc_novograd_bulk_pass(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return bulk_pass_kernels<BothNorms<W, G, LarcNovogradEnd>, NovogradUpdate<W, G, M>, W, G>();
  });
}

}  // namespace layerwise
