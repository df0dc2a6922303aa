// The CPU step for NEON.
#include "cpu/step.h"

namespace layerwise {

const TileKernels& tile_kernels_neon() {
  static constexpr TileKernels kernels = tile_kernels("neon");
  return kernels;
}

}  // namespace layerwise
