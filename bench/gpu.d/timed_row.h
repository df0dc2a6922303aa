// One row of the timing: an op on a model, in two passes and in one, in turn on the same buffers.
#pragma once

#include "gpu.d/rows.h"

namespace bench {

// Prints one line for each path, or for half a step's one launch, with what the cost model says of it. True where what
// was timed has the CPU's bits.
bool time_row(const Row& row, const Layers& layers, double copy_gb_per_s, double seconds_per_path);

}  // namespace bench
