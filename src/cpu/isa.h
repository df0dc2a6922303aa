// Which instruction sets this processor has, and the tile kernels compiled for each.
#pragma once

#include "cpu/tile.h"

namespace layerwise {

// The instruction set a plan asks for as a number of the C ABI, AUTO resolved to the best there is.
int32_t checked_isa(int32_t isa);

const TileKernels& tile_kernels_for(int32_t isa);

}  // namespace layerwise
