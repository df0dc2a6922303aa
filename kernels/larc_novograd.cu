// LARC and NovoGrad behind it: the one-pass step. In two passes the second launch is NovoGrad's.
#include "kernels/norms.cuh"
#include "kernels/one_pass.cuh"
#include "kernels/update.cuh"

namespace layerwise {

cudaError_t prepare_larc_novograd_one_pass(const Dtypes& dtypes, int most_shared_bytes, int shared_bytes, int* blocks) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return prepare_one_pass(&one_pass<BothNorms<W, G, NovogradStep>, NovogradUpdate<W, G, M>, W, G>, most_shared_bytes, shared_bytes,
                            blocks);
  });
}

cudaError_t launch_larc_novograd_one_pass(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape,
                                  const Dtypes& dtypes, const NovogradStep& step, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return launch_one_pass(&one_pass<BothNorms<W, G, NovogradStep>, NovogradUpdate<W, G, M>, W, G>, plan, work, shape, dtypes.weights_extra,
                           step, stream);
  });
}

}  // namespace layerwise
