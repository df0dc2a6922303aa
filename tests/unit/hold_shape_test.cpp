// What a one-pass step holds on the GPUs there are. Their shared memory is from the CUDA programming guide's table of
// compute capabilities; the shapes are worked out by hand from it.
#include <catch2/catch_test_macros.hpp>

#include "kernels/tuning.h"
#include "numerics/summation.h"

namespace {

using namespace layerwise;

struct Gpu {
  const char* name;
  SharedMemory memory;
};
constexpr Gpu kT4{"T4", {64 << 10, 64 << 10, 0}};
constexpr Gpu kA100{"A100", {164 << 10, 163 << 10, 1 << 10}};
constexpr Gpu kRtx4090{"RTX 4090", {100 << 10, 99 << 10, 1 << 10}};
constexpr Gpu kH100{"H100, H200, B200", {228 << 10, 227 << 10, 1 << 10}};

constexpr HoldShape shape(const Gpu& gpu, int element_bytes) { return hold_shape(gpu.memory, kTileElements * element_bytes); }
constexpr bool is(const HoldShape& shape, int blocks, int slots) { return shape.blocks == blocks && shape.slots == slots; }

}  // namespace

TEST_CASE("as many tiles are held as the shared memory has room for, in as many blocks as keep three quarters of them",
          "[hold_shape]") {
  CHECK(is(shape(kH100, 2), 3, 4));  // 16-bit gradients: 3 x 4 x 16 KiB; two blocks would hold 2 x 7
  CHECK(is(shape(kH100, 4), 3, 2));  // float32: 3 x 2 x 32 KiB
  CHECK(is(shape(kH100, 8), 3, 1));  // float32 gradients and weights
  CHECK(is(shape(kA100, 2), 3, 3));  // two blocks would hold 2 x 5
  CHECK(is(shape(kA100, 4), 2, 2));
  CHECK(is(shape(kRtx4090, 2), 2, 3));  // three blocks would hold a tile each
  CHECK(is(shape(kRtx4090, 4), 1, 3));  // one block of three tiles, since two blocks would hold two
  CHECK(is(shape(kT4, 4), 1, 1));
  CHECK(shape(kT4, 8).slots == 0);  // not even one: two passes
}

// Hazard: a block too large for an SM is a launch that fails on the user's machine.
TEST_CASE("no shape needs more shared memory than an SM or a block has", "[hold_shape]") {
  for (const Gpu& gpu : {kT4, kA100, kRtx4090, kH100})
    for (const int element_bytes : {2, 4, 6, 8}) {
      const HoldShape held = shape(gpu, element_bytes);
      CAPTURE(gpu.name, element_bytes, held.blocks, held.slots);
      const int block = held.slots * kTileElements * element_bytes + kStaticSharedBytes;
      CHECK(held.blocks >= 1);
      CHECK(held.blocks <= kOnePassBlocks);
      CHECK(held.slots <= kMostHeldTiles);
      CHECK((held.slots == 0 || block <= gpu.memory.per_block));
      CHECK((held.slots == 0 || held.blocks * (block + gpu.memory.reserved_per_block) <= gpu.memory.per_multiprocessor));
    }
}
