// LARC with SGD: the second launch of a two-pass step, and the one-pass step.
#include "kernels/norms.cuh"
#include "kernels/one_pass.cuh"
#include "kernels/two_pass.cuh"
#include "kernels/update.cuh"

namespace layerwise {

cudaError_t load_larc_sgd_update(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() { return load_kernels(&update<LarcSgdUpdate<W, G, M>>); });
}

cudaError_t launch_larc_sgd_update(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                                const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return launch(&update<LarcSgdUpdate<W, G, M>>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

cudaError_t prepare_larc_sgd_one_pass(const Dtypes& dtypes, int most_shared_bytes, int shared_bytes, int* blocks) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return prepare_one_pass(&one_pass<BothNorms<W, G, LarcStep>, LarcSgdUpdate<W, G, M>, W, G>, most_shared_bytes, shared_bytes,
                            blocks);
  });
}

cudaError_t launch_larc_sgd_one_pass(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape,
                                  const Dtypes& dtypes, const LarcStep& step, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return launch_one_pass(&one_pass<BothNorms<W, G, LarcStep>, LarcSgdUpdate<W, G, M>, W, G>, plan, work, shape, dtypes.weights_extra,
                           step, stream);
  });
}

}  // namespace layerwise
