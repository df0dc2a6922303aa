// Numbers that belong to the hardware, each with where it comes from.
#pragma once

namespace layerwise {

// 256 threads take a tile as 8 rows of 1024 elements, 4 neighbours a thread: 16-byte accesses on float32, and each
// thread keeps the 4 accumulators whose elements it reads.
inline constexpr int kBlockThreads = 256;
inline constexpr int kThreadElements = 4;

// Rows of a whole tile an update keeps in flight: 4 rows of weights, gradients and moments fit 80 registers without a
// spill, and three blocks of them fill an SM; with all 8 rows ptxas spills.
inline constexpr int kRowsInFlight = 4;

// With random bits for the moments: a generator's counter and key are live beside them.
inline constexpr int kRandomRowsInFlight = 2;

// The same of single elements, where a tile is not whole or not aligned; where weights may be split; with random bits.
inline constexpr int kSinglesInFlight = 4;
inline constexpr int kSplitSinglesInFlight = 2;
inline constexpr int kRandomSinglesInFlight = 1;

// Quads that a sum keeps in flight a thread, of one buffer or of two together.
inline constexpr int kQuadsInFlight = 8;

// Blocks an SM holds at once; a grid is at most this many blocks an SM. A warp that sums a tile has 32 accumulators a
// thread and 8 quads in flight, which fit the 80 registers of 3 blocks; with the weights' 32 beside them, the 128 of 2.
// That is 96 or 64 KiB of loads in flight on an SM, several times what hides the latency of any HBM.
inline constexpr int kNormBlocks = 3;
inline constexpr int kBothNormBlocks = 2;
inline constexpr int kUpdateBlocks = 3;

// Tiles of at most this many elements are updated by a warp each, a block's at once: four turns of a warp are as long
// as what a block waits for before its first.
inline constexpr int kSmallTile = 1024;
inline constexpr int kSmallTilesAUnit = kBlockThreads / 32;

// ---- The one-pass step ----

// A block that waits leaves the memory idle unless others of its SM work, hence two where they have room: with the 128
// registers that leaves a thread, the end of a layer (every double formula, in one thread) fits beside the walk over
// the work list on every architecture, and an update has four rows in flight. Three blocks of 80 spill, and hold no
// more.
inline constexpr int kOnePassBlocks = 2;

// Rows an update keeps in flight there: 2 x 48 KiB of loads on an SM. Half of that with random bits for the moments.
inline constexpr int kOnePassRowsInFlight = 4;
inline constexpr int kOnePassRandomRowsInFlight = 2;

// With a producer's warp beside them a thread of two blocks has 96 registers, and an update two rows in flight: they come
// from L2, and there are copies of gradients in flight beside them.
inline constexpr int kBulkRowsInFlight = 2;

// Tiles to sum that one ticket draws where a layer does not fit: a ticket's two round trips to L2, about 1 us, are then
// small beside 4 times 32 KiB at an SM's share of the memory rate (4 us on an H100).
inline constexpr int kNormTilesPerTicket = 4;

// One pass is chosen where two fifths of the elements at least are read once and the average tile is half full at least,
// two passes else. By the model (bench/cost; no GPU has said it): where less is held the two differ by a few
// hundredths, less than what the model leaves out; and a tile's way from its ticket to its update takes as long however
// few elements it has, so that layers of 64 elements take 1.4 to 4 times as long in one pass, of 4000 about as long. A
// test of bench/ holds both numbers to the model: with others, or with other kernels, it names the models that lose by
// them.
inline constexpr double kLeastHeldShare = 0.4;
inline constexpr double kLeastTileShare = 0.5;

// Between two looks at a layer that is not finished: a look is an L2 round trip of some 700 ns, taken by one thread.
inline constexpr unsigned kPollNanoseconds = 64;

inline constexpr int kMostHeldTiles = 16;

// Shared memory in bytes: of a multiprocessor, the most of it that one block may have, and what the system takes of
// each.
struct SharedMemory {
  int per_multiprocessor, per_block, reserved_per_block;
};

// Blocks a multiprocessor holds, each with room for slots tiles; slots is 0 where not even one tile fits.
struct HoldShape {
  int blocks, slots;
};

// What a one-pass kernel declares itself: 300 to 700 bytes.
inline constexpr int kStaticSharedBytes = 1024;

// As many tiles as possible in as many blocks as possible: one block alone must hold half as many again to be better
// than several, since nothing works while it waits. An H100 holds 2 x 3 tiles of float32 gradients, an A100 2 x 2.
constexpr HoldShape hold_shape(const SharedMemory& memory, int tile_bytes) {
  HoldShape best{1, 0};
  for (int blocks = 1; blocks <= kOnePassBlocks; ++blocks) {
    const int share = memory.per_multiprocessor / blocks - memory.reserved_per_block;
    const int room = (share < memory.per_block ? share : memory.per_block) - kStaticSharedBytes;
    const int slots = room / tile_bytes < kMostHeldTiles ? room / tile_bytes : kMostHeldTiles;
    const int tiles = blocks * slots, best_tiles = best.blocks * best.slots;
    if (slots > 0 && (best.blocks == 1 ? 3 * tiles > 2 * best_tiles : tiles >= best_tiles)) best = {blocks, slots};
  }
  return best;
}

// Whether weights wait beside their gradients, in this shape for both: only where another block of the SM works
// meanwhile, and each has room for a tile beside the one whose layer it waits for. By the model the four bytes more an
// element that are read otherwise cost less (BERT-large on an H200: 1.93 ms against 2.51).
constexpr bool is_worth_holding_weights(const HoldShape& both) { return both.blocks >= 2 && both.slots >= 2; }

}  // namespace layerwise
