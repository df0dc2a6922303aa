// The kernels of SGD with LARC.
#include "kernels/larc.cuh"

namespace layerwise {
namespace {

struct SgdRule {
  using Coefficients = LarcCoefficients;
  bool nesterov;

  __device__ __forceinline__ void operator()(const Coefficients& layer, float g, float& m, float& w) const {
    const float h = sgd_gradient(layer, g, w);
    m = sgd_momentum(layer, h, m);
    w = sgd_weight(layer, nesterov, h, m, w);
  }
};

template <class W, class G, class M>
struct SgdUpdate {
  using Step = LarcStep;
  using Coefficients = LarcCoefficients;

  template <Holder Held, class Source>
  static __device__ __forceinline__ void of_tile(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                 const Held& held, const Source& source) {
    update_weights<W, G, M>(plan, step.buffers, tile, SgdRule{step.sgd.nesterov}, held, source);
  }
  static __device__ __forceinline__ StreamedRows<W, M> streamed(const DevicePlan& plan, const Step& step, const Tile& tile,
                                                                bool with_weights) {
    return streamed_rows<W, M>(plan, step.buffers, tile, with_weights);
  }
};

}  // namespace

StepKernels<LarcStep> sgd_kernels(const Dtypes& dtypes) {
  return visit_dtypes(dtypes, [&]<class W, class G, class M>() {
    return step_kernels<BothNorms<W, G, LarcEnd>, SgdUpdate<W, G, M>, W, G>();
  });
}

}  // namespace layerwise
