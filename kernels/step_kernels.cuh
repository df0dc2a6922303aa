// Collects an optimizer's kernels into the table that the backend launches them from.
#pragma once

#include "kernels/given_norms.cuh"
#include "kernels/one_pass.cuh"

namespace layerwise {

// Whether the caller may provide the norms of a step.
template <class T>
concept TakesGivenNorms = requires(const typename T::Step& step) { T::given(step, 0); };

template <Norm N, Update U, class W, class G>
StepKernels<typename U::Step> step_kernels() {
  using End = typename N::End;
  StepKernels<typename U::Step> kernels{};
  kernels.norms = &launch_norms<N>;
  kernels.update = &launch_update<U>;
  if constexpr (TakesGivenNorms<End>) {
    kernels.load = [] { return load_kernels(&norms<N>, &update<U>, &given_norms<End>); };
    kernels.given_norms = &launch_given_norms<End>;
  } else {
    kernels.load = [] { return load_kernels(&norms<N>, &update<U>); };
  }
  kernels.compiled_for = [](int* capability) {
    cudaFuncAttributes attributes{};
    const cudaError_t status = cudaFuncGetAttributes(&attributes, &update<U>);
    *capability = attributes.ptxVersion;
    return status;
  };
  kernels.one_pass = persistent_kernels<&one_pass<N, U, W, G>, kBlockThreads, typename U::Step>();
  return kernels;
}

}  // namespace layerwise
