// The kernels of LARC, with SGD and alone, in one or two passes.
#include "kernels/larc.cuh"
#include "kernels/step_kernels.cuh"

namespace layerwise {

StepKernels<LarcStep> sgd_kernels(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return step_kernels<BothNorms<W, G, LarcEnd>, SgdUpdate<W, G, M>, W, G>();
  });
}

StepKernels<LarcStep> scale_kernels(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return step_kernels<BothNorms<W, G, LarcEnd>, ScaleUpdate<W, G>, W, G>();
  });
}

}  // namespace layerwise
