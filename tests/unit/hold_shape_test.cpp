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

TEST_CASE("as many tiles are held as the shared memory has room for", "[hold_shape]") {
  CHECK(is(shape(kH100, 2), 2, 7));  // 16-bit gradients: 2 x 7 x 16 KiB
  CHECK(is(shape(kH100, 4), 2, 3));  // float32: 2 x 3 x 32 KiB
  CHECK(is(shape(kH100, 8), 1, 3));  // float32 gradients and weights: two blocks would hold two
  CHECK(is(shape(kA100, 2), 2, 5));
  CHECK(is(shape(kA100, 4), 2, 2));
  CHECK(is(shape(kRtx4090, 2), 2, 3));  // three blocks would hold a tile each
  CHECK(is(shape(kRtx4090, 4), 1, 3));  // one block of three tiles, since two blocks would hold two
  CHECK(is(shape(kT4, 4), 1, 1));
  CHECK(shape(kT4, 8).slots == 0);  // not even one: two passes
}

// Hazard: every block waits for the layer of its own tile, and nothing works meanwhile.
TEST_CASE("weights are held only where two blocks have room for two tiles each", "[hold_shape]") {
  CHECK(is_worth_holding_weights(shape(kH100, 4)));        // 16-bit gradients and weights: 2 x 3
  CHECK(is_worth_holding_weights(shape(kH100, 6)));        // 16-bit gradients, float32 weights: 2 x 2
  CHECK_FALSE(is_worth_holding_weights(shape(kH100, 8)));  // float32: 1 x 3
  CHECK(is_worth_holding_weights(shape(kA100, 4)));
  CHECK_FALSE(is_worth_holding_weights(shape(kA100, 8)));
  CHECK_FALSE(is_worth_holding_weights(shape(kT4, 4)));
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
