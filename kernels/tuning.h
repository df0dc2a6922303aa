// Tuning parameters that depend on the hardware, each with the reason for its value.
#pragma once

namespace layerwise {

// A block of 256 threads processes a tile as 8 rows of 1024 elements, 4 neighbours per thread. Float32 accesses then
// have 16 bytes, and every thread owns the 4 accumulators of the elements that it reads.
inline constexpr int kBlockThreads = 256;
inline constexpr int kThreadElements = 4;

// Rows of a full tile that an update keeps in flight: 4 rows of weights, gradients and moments fit into 80 registers
// without a spill, with which an SM holds three blocks; with all 8 rows ptxas spills.
inline constexpr int kRowsInFlight = 4;

// The same with stochastic rounding, where the generator's counter and key take registers too.
inline constexpr int kRandomRowsInFlight = 2;

// The same for tiles that are not full or not aligned, in single elements: in general, for weights that may be split,
// and with stochastic rounding.
inline constexpr int kSinglesInFlight = 4;
inline constexpr int kSplitSinglesInFlight = 2;
inline constexpr int kRandomSinglesInFlight = 1;

// Quads per thread that a sum keeps in flight, in all buffers together.
inline constexpr int kQuadsInFlight = 8;

// Blocks per SM, for __launch_bounds__ and as the upper limit of a grid. A thread of a warp that sums a tile has 32
// accumulators and 8 quads in flight, which fit into the 80 registers that 3 blocks leave; with another 32 accumulators
// for the weights they fit into the 128 registers that 2 blocks leave. That is 96 or 64 KiB of loads in flight on an
// SM, several times what it takes to hide the latency of any HBM.
inline constexpr int kNormBlocks = 3;
inline constexpr int kBothNormBlocks = 2;
inline constexpr int kUpdateBlocks = 3;

// Tiles up to this size are updated by one warp each, so that a block updates several at once: the four rounds that a
// warp needs for such a tile take about as long as a block waits before its first round.
inline constexpr int kSmallTile = 1024;
inline constexpr int kSmallTilesAUnit = kBlockThreads / 32;

// ---- The one-pass step ----

// While a block waits, memory is idle unless another block of its SM is working; hence two blocks per SM where shared
// memory allows it. That leaves 128 registers per thread, enough on every architecture for a layer's scalar formulas
// (all of them in double, in one thread) beside the loop over the work list, and for four rows in flight. With three
// blocks of 80 registers the kernel spills, and it does not hold more tiles.
inline constexpr int kOnePassBlocks = 2;

// Rows that an update keeps in flight there: 2 x 48 KiB of loads per SM, and half of that with stochastic rounding.
inline constexpr int kOnePassRowsInFlight = 4;
inline constexpr int kOnePassRandomRowsInFlight = 2;

// The bulk pass. Two producer warps, for tiles and for rows, leave a thread of two blocks 96 registers, so an update keeps
// two rows in flight, which come from shared memory. While a stage of 16 KiB is used, the other is on its way: about what
// hides the memory's latency for a block.
inline constexpr int kBulkRowsInFlight = 2;
inline constexpr int kRingStages = 2;
inline constexpr int kStageBytes = 16 * 1024;
inline constexpr int kRingBytes = kRingStages * kStageBytes;
inline constexpr int kProducerWarps = 2;

// Tiles per work item where a layer does not fit and is only summed. Drawing an item costs two round trips to L2, about
// 1 us; at an SM's share of the memory bandwidth 4 tiles of 32 KiB take four times as long on an H100.
inline constexpr int kNormTilesPerTicket = 4;

// A plan chooses one pass if at least two fifths of the elements are read only once and tiles are at least half full on
// average, otherwise two passes. The reasons are predictions of bench/cost, not yet measured on a GPU. If less is held,
// the two differ by a few percent, less than what the model leaves out. And the time from drawing a tile to updating it
// does not depend on how many elements it has, so layers of 64 elements take 1.4 to 4 times as long in one pass, and
// layers of 4000 about as long in either. A test of bench/ checks both thresholds against the model; if they or the
// kernels change, it names the networks that would become slower.
inline constexpr double kLeastHeldShare = 0.4;
inline constexpr double kLeastTileShare = 0.5;

// Pause between two polls for a layer that is not finished. One thread polls, at an L2 round trip of some 700 ns.
inline constexpr unsigned kPollNanoseconds = 64;

inline constexpr int kMostHeldTiles = 16;

// Bytes of shared memory: in a multiprocessor, the most that one block may use, and what the driver reserves for itself
// in each block.
struct SharedMemory {
  int per_multiprocessor, per_block, reserved_per_block;
};

// Resident blocks per multiprocessor, each with room for this many tiles; slots is 0 if not even one tile fits.
struct HoldShape {
  int blocks, slots;
};

// An upper bound for the static shared memory of the one-pass kernels, which use 300 to 930 bytes.
inline constexpr int kStaticSharedBytes = 1024;

// Holds as many tiles as possible, preferably in several blocks: a single block has to hold half as many tiles again to
// be chosen, because nothing runs on its SM while it waits. An H100 holds 2 x 3 tiles of float32 gradients, an A100
// 2 x 2.
constexpr HoldShape hold_shape(const SharedMemory& memory, int tile_bytes, int ring_bytes = 0) {
  HoldShape best{1, 0};
  for (int blocks = 1; blocks <= kOnePassBlocks; ++blocks) {
    const int share = memory.per_multiprocessor / blocks - memory.reserved_per_block;
    const int room = (share < memory.per_block ? share : memory.per_block) - kStaticSharedBytes - ring_bytes;
    const int slots = room / tile_bytes < kMostHeldTiles ? room / tile_bytes : kMostHeldTiles;
    const int tiles = blocks * slots, best_tiles = best.blocks * best.slots;
    if (slots > 0 && (best.blocks == 1 ? 3 * tiles > 2 * best_tiles : tiles >= best_tiles)) best = {blocks, slots};
  }
  return best;
}

// Whether to hold weights beside the gradients; `both` is the shape with room for both. Only if another block of the SM
// can work during a wait, and each block can hold one more tile than the one it waits for. Otherwise it is predicted to
// cost less to read the weights a second time, four bytes per element (BERT-large on an H200: 1.93 ms against 2.51).
constexpr bool is_worth_holding_weights(const HoldShape& both) { return both.blocks >= 2 && both.slots >= 2; }

}  // namespace layerwise
