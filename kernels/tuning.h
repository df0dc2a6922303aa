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

// Blocks an SM holds at once; a grid is at most this many blocks an SM, each walking tiles with a stride. 4 norm
// blocks may use 64 registers a thread and 3 update blocks 80; 5 norm blocks spill. 4 blocks of 8 rows are 128 KiB of
// loads in flight on an SM, several times what hides the latency of any HBM. sm_75 has room for 4 blocks.
inline constexpr int kNormBlocks = 4;
// With LARC before NovoGrad: the thread that finishes a layer works out both, which spills at 64 registers from sm_100 on.
inline constexpr int kLarcNovogradNormBlocks = 3;
inline constexpr int kUpdateBlocks = 3;

// ---- The one-pass step ----

// A block that waits leaves the memory idle unless others of its SM work, hence at least two where they have room; an
// update's registers allow three.
inline constexpr int kOnePassBlocks = 3;

// Rows an update keeps in flight there. With 4 the walk over the work list beside them spills; 2 rows of weights and
// moments are 48 KiB of loads on an SM with three blocks, which hide 1.5 us at its share of an H100's memory rate.
inline constexpr int kOnePassRowsInFlight = 2;

// Tiles to sum that one ticket draws where a layer does not fit: a ticket's two round trips to L2, about 1 us, are then
// small beside 4 times 32 KiB at an SM's share of the memory rate (4 us on an H100).
inline constexpr int kNormTilesPerTicket = 4;

// One pass is chosen where a quarter of the elements at least are read once and the average tile is half full at least,
// two passes else. By the model (bench/cost; no GPU has said it): where less is held the two differ by a few
// hundredths, less than what the model leaves out; and a tile's way from its ticket to its update takes as long however
// few elements it has, so that layers of 64 elements take 1.4 to 4 times as long in one pass, of 4000 about as long. A
// test of bench/ holds both numbers to the model: with others, or with other kernels, it names the models that lose by
// them.
inline constexpr double kLeastHeldShare = 0.25;
inline constexpr double kLeastTileShare = 0.5;

// Between two looks at a layer that is not finished: a look is an L2 round trip of some 700 ns, taken by one thread.
inline constexpr unsigned kPollNanoseconds = 64;

inline constexpr int kMostHeldTiles = 16;

// Shared memory in bytes: of a multiprocessor, the most of it that one block may have, and what the system takes of each.
struct SharedMemory {
  int per_multiprocessor, per_block, reserved_per_block;
};

// Blocks a multiprocessor holds, each with room for slots tiles; slots is 0 where not even one tile fits.
struct HoldShape {
  int blocks, slots;
};

// What a one-pass kernel declares itself: 300 to 700 bytes.
inline constexpr int kStaticSharedBytes = 1024;

// As many tiles as possible, but blocks before tiles: a block takes one step after the other, so that what an SM does
// at the same time is its blocks. One block alone must hold half as many tiles again as several, since nothing works
// while it waits; of several, more are better where each still has room for two tiles and three quarters of the tiles
// remain. By the model (bench/cost; no GPU has said it) three blocks of 4 tiles of 16-bit gradients take 0.7 to 0.9 of
// the time of two blocks of 7 on an H100 and H200. These hold 3 x 2 tiles of float32 gradients, an A100 2 x 2.
constexpr HoldShape hold_shape(const SharedMemory& memory, int tile_bytes) {
  HoldShape best{1, 0};
  for (int blocks = 1; blocks <= kOnePassBlocks; ++blocks) {
    const int share = memory.per_multiprocessor / blocks - memory.reserved_per_block;
    const int room = (share < memory.per_block ? share : memory.per_block) - kStaticSharedBytes;
    const int slots = room / tile_bytes < kMostHeldTiles ? room / tile_bytes : kMostHeldTiles;
    const int tiles = blocks * slots, best_tiles = best.blocks * best.slots;
    const bool better = best.blocks == 1 ? 3 * tiles > 2 * best_tiles
                        : slots >= 2     ? 4 * tiles >= 3 * best_tiles
                                         : tiles >= best_tiles;
    if (slots > 0 && better) best = {blocks, slots};
  }
  return best;
}

}  // namespace layerwise
