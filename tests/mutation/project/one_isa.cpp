// The other instruction sets compile the same text: in a mutation run the first stands in for them.
#include "cpu/tile.h"

namespace layerwise {

const TileKernels& tile_kernels_avx2() { return tile_kernels_baseline(); }
const TileKernels& tile_kernels_avx512() { return tile_kernels_baseline(); }

}  // namespace layerwise
