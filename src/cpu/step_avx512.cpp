// The CPU step for AVX-512.
#include "cpu/step.h"

namespace layerwise {

const TileKernels& tile_kernels_avx512() {
  static constexpr TileKernels kernels = tile_kernels("avx512");
  return kernels;
}

}  // namespace layerwise
