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
inline constexpr int kUpdateBlocks = 3;

}  // namespace layerwise
