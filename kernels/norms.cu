// The first launch of a two-pass step, for every optimizer.
#include "kernels/larc.cuh"
#include "kernels/novograd.cuh"
#include "kernels/two_pass.cuh"

namespace layerwise {

cudaError_t load_norms(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return load_kernels(&norms<NovogradNorm<G>>, &norms<LarcNorm<W, G>>);
  });
}

cudaError_t launch_novograd_norms(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream) {
  return visit_element_dtype(
      dtypes.grads, [&]<class G>() { return launch(&norms<NovogradNorm<G>>, plan, kNormBlocks, device, stream, step); });
}

cudaError_t launch_larc_norms(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream) {
  return visit_element_dtype(dtypes.weights, [&]<class W>() {
    return visit_element_dtype(
        dtypes.grads, [&]<class G>() { return launch(&norms<LarcNorm<W, G>>, plan, kNormBlocks, device, stream, step); });
  });
}

}  // namespace layerwise
