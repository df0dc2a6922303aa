// A part of a layer, as the loops over elements see it.
#pragma once

#include <cstdint>

namespace layerwise {

// count consecutive elements of one layer, by the addresses of the first of them.
struct TileBuffers {
  void* weights;
  void* grads;
  void* first_moment;
  void* weights_extra;
  int64_t count;
};

}  // namespace layerwise
