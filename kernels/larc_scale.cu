// LARC alone: the second launch of a two-pass step, and the one-pass step.
#include "kernels/norms.cuh"
#include "kernels/one_pass.cuh"
#include "kernels/scale.cuh"
#include "kernels/two_pass.cuh"

namespace layerwise {

cudaError_t load_larc_scale_update(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() { return load_kernels(&update<LarcScaleUpdate<W, G>>); });
}

cudaError_t launch_larc_scale_update(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                                const DeviceLimits& device, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return launch(&update<LarcScaleUpdate<W, G>>, plan, kUpdateBlocks, device, stream, dtypes.weights_extra, step);
  });
}

cudaError_t prepare_larc_scale_one_pass(const Dtypes& dtypes, int most_shared_bytes, int shared_bytes, int* blocks) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return prepare_one_pass(&one_pass<BothNorms<W, G, LarcStep>, LarcScaleUpdate<W, G>, W, G>, most_shared_bytes, shared_bytes,
                            blocks);
  });
}

cudaError_t launch_larc_scale_one_pass(const DevicePlan& plan, const OnePassWork& work, const OnePassShape& shape,
                                  const Dtypes& dtypes, const LarcStep& step, cudaStream_t stream) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return launch_one_pass(&one_pass<BothNorms<W, G, LarcStep>, LarcScaleUpdate<W, G>, W, G>, plan, work, shape, dtypes.weights_extra,
                           step, stream);
  });
}

}  // namespace layerwise
