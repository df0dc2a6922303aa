// The CPU step for AVX2.
#include "cpu/step.h"

namespace layerwise {

const TileKernels& tile_kernels_avx2() {
  static constexpr TileKernels kernels = tile_kernels("avx2");
  return kernels;
}

}  // namespace layerwise
