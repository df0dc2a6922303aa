// The first launch of a two-pass step, and the sums alone.
#include "kernels/norms.cuh"
#include "kernels/two_pass.cuh"

namespace layerwise {
namespace {

template <class Step>
cudaError_t launch_grad_norms(const DevicePlan& plan, const Dtypes& dtypes, const Step& step,
                              const DeviceLimits& device, cudaStream_t stream) {
  return visit_element_dtype(dtypes.grads, [&]<class G>() {
    return launch(&norms<GradNorm<G, Step>>, plan, GradNorm<G, Step>::kBlocks, device, stream, step);
  });
}

template <class Step>
cudaError_t launch_both_norms(const DevicePlan& plan, const Dtypes& dtypes, const Step& step,
                              const DeviceLimits& device, cudaStream_t stream) {
  return visit_element_dtype(dtypes.weights, [&]<class W>() {
    return visit_element_dtype(dtypes.grads, [&]<class G>() {
      return launch(&norms<BothNorms<W, G, Step>>, plan, BothNorms<W, G, Step>::kBlocks, device, stream, step);
    });
  });
}

}  // namespace

cudaError_t load_norms(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return load_kernels(&norms<GradNorm<G, NovogradStep>>, &norms<BothNorms<W, G, NovogradStep>>,
                        &norms<BothNorms<W, G, LarcStep>>, &norms<GradNorm<G, PartialNorms>>,
                        &norms<BothNorms<W, G, PartialNorms>>);
  });
}

cudaError_t launch_novograd_norms(const DevicePlan& plan, const Dtypes& dtypes, const NovogradStep& step,
                                  const DeviceLimits& device, cudaStream_t stream) {
  if (step.applies_larc) return launch_both_norms(plan, dtypes, step, device, stream);
  return launch_grad_norms(plan, dtypes, step, device, stream);
}

cudaError_t launch_larc_norms(const DevicePlan& plan, const Dtypes& dtypes, const LarcStep& step,
                              const DeviceLimits& device, cudaStream_t stream) {
  return launch_both_norms(plan, dtypes, step, device, stream);
}

cudaError_t launch_partial_norms(const DevicePlan& plan, const Dtypes& dtypes, const PartialNorms& norms,
                                 const DeviceLimits& device, cudaStream_t stream) {
  if (norms.weight_sums) return launch_both_norms(plan, dtypes, norms, device, stream);
  return launch_grad_norms(plan, dtypes, norms, device, stream);
}

}  // namespace layerwise
