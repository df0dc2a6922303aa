// What a file compiled for one instruction set offers: the norm of one tile, the update of one tile or several that
// follow each other, and a layer's scalars between them.
#pragma once

#include "numerics/step.h"

namespace layerwise {

// count consecutive elements of one layer; addresses of the first.
struct TileBuffers {
  void* weights;
  void* grads;
  void* first_moment;
  void* weights_extra;
  int64_t count;
};

struct TileKernels {
  using Norm = double (*)(const void* elements, int64_t count);
  using Reduce = double (*)(double* tile_sums, int64_t count);
  using Novograd = void (*)(const TileBuffers& tiles, const NovogradElement& layer);
  using Larc = void (*)(const TileBuffers& tiles, const LarcElement& layer);
  using Copy = void (*)(const TileBuffers& tiles);

  const char* name;
  Norm (*norm)(Dtype dtype, bool infinity_norm);
  Reduce (*reduce)(bool infinity_norm);
  NovogradCall (*novograd_call)(const NovogradHyper& hyper);
  LayerUpdate<NovogradElement> (*novograd_layer)(const NovogradHyper& hyper, const NovogradCall& call,
                                                 const LayerOptions& layer, double norm, SecondMoment& moment);
  LayerUpdate<NovogradElement> (*larc_novograd_layer)(const LarcHyper& larc, const NovogradHyper& hyper,
                                                      const NovogradCall& call, const LayerOptions& layer,
                                                      double weight_sum, double grad_sum, SecondMoment& moment);
  LarcCall (*larc_call)(const LarcHyper& hyper, const SgdHyper& sgd);
  LayerUpdate<LarcElement> (*larc_layer)(const LarcHyper& hyper, const SgdHyper& sgd, const LarcCall& call,
                                         const LayerOptions& layer, double weight_sum, double grad_sum);
  Novograd (*novograd)(const Dtypes& dtypes, bool decoupled);
  Larc (*larc_scale)(const Dtypes& dtypes, bool decayed);
  Larc (*larc_sgd)(const Dtypes& dtypes, bool momentum, bool nesterov);
  Copy (*copy)(Dtype weights_extra);  // float32 weights to the low-precision copy
  // Split weights as float32, and back.
  void (*load_weights)(const void* high, const void* low, float* to, int64_t count);
  void (*store_weights)(const float* from, void* high, void* low, int64_t count);
  // bfloat16 moments as float32, and back with random bits. first: of these elements in the layer.
  void (*load_moments)(const void* from, float* to, int64_t count);
  void (*store_moments)(const float* from, void* to, int64_t count, const RandomKey& key, int64_t first);
};

const TileKernels& tile_kernels_baseline();
const TileKernels& tile_kernels_avx2();
const TileKernels& tile_kernels_avx512();
const TileKernels& tile_kernels_neon();

}  // namespace layerwise
