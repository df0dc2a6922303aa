// The bulk passes of LARC: apart from its other kernels, since they take as long to compile as all of those.
#include "kernels/bulk_pass.cuh"
#include "kernels/larc.cuh"

namespace layerwise {

OnePassKernels<LarcStep> sgd_bulk_pass(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return bulk_pass_kernels<BothNorms<W, G, LarcEnd>, SgdUpdate<W, G, M>, W, G>();
  });
}

OnePassKernels<LarcStep> scale_bulk_pass(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return bulk_pass_kernels<BothNorms<W, G, LarcEnd>, ScaleUpdate<W, G>, W, G>();
  });
}

}  // namespace layerwise
