// The CPU step for what every processor of the architecture runs.
#include "cpu/step.h"

namespace layerwise {

const TileKernels& tile_kernels_baseline() {
  static constexpr TileKernels kernels = tile_kernels("baseline");
  return kernels;
}

}  // namespace layerwise
