// The yardstick: a loop that reads and writes the same arrays as a step, each once, and does next to nothing with them.
#pragma once

#include <cstdint>

#include "step.h"

namespace bench {

// Elements [begin, end). The arithmetic is on bits, so no value is slow, and a mask of 0 that the compiler cannot know
// leaves every array as it was:
//   novograd_step, larc_sgd_step   m += g & mask; w ^= m & mask   three arrays read, two written
//   larc_scale                     g ^= w & mask                  two read, one written
void plain_loop(Op op, const ElementBytes& bytes, const StepBuffers& buffers, int64_t begin, int64_t end, uint32_t mask);

}  // namespace bench
