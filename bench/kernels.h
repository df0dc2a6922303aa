// How the kernels are built, as far as the time of a step goes, and what each thing that they wait for takes. The model
// of prediction.h knows nothing else of them.
#pragma once

#include "gpus.h"
#include "kernels/tuning.h"

namespace bench {

// Rows are of 1024 elements of every buffer that is read, eight in a tile.
struct Kernels {
  const char* name;
  bool warp_sums;      // the norms' launch: a warp sums a tile, without barriers; else a block
  int norm_rows;       // in flight a block, or a warp
  int norm_barriers;   // of each buffer that a tile sums
  bool drawn;          // two passes: tiles are drawn by ticket; else a grid's width apart
  int layer_loads;     // that wait for one another, from a tile's number to its address
  int constant_loads;  // the same, from a layer's norm to its constants
  int update_rows;     // in flight a block, in two passes
  int one_pass_rows;   // the same in one pass
  int draw_barriers;   // of a tile that a block draws in one pass, beside norm_barriers
  bool prefetched;     // one pass: the first rows of moments and weights are asked for before the layer's norm is there
  bool drawn_ahead;    // tickets and what leads to a tile's address are asked for while the tile before is worked on
  bool tiny_packed;    // a layer of at most one row is a warp's, eight a block
  int ring_bytes;  // one pass, not 0: asynchronous copies bring the next tile's gradients into a free slot while the block
                   // works, and the next rows of moments and weights into a ring of two stages, of so many bytes
};

// As the kernels were first built.
inline constexpr Kernels kBlockATile{
    "a block a tile, strided", false, 8, 2, false, 2, 2, 4, 2, 2, false, false, false, 0};

// As the machine code of today's kernels has it: tests/kernels/compiled has loads in flight and barriers, to which a
// test holds these.
inline constexpr Kernels kWarpATile{
    "a warp a tile, drawn, prefetched", true, 1, 0, true, 2, 1, 4, 4, 3, true, true, true, 0};
// The same with LAYERWISE_EXPERIMENTAL_BULK_COPY.
inline constexpr Kernels kBulk{"the same, with bulk copies", true, 1, 0, true, 2, 1, 4, 2, 0, true, true, true,
                               layerwise::kRingBytes};

// Those of kernels/. Whoever changes them so that another structure is true changes this line, and the test of the
// choice of path says whether kernels/tuning.h has to follow.
inline constexpr const Kernels& kKernels = kWarpATile;

// In microseconds.
struct Latencies {
  double l2;         // a load that L2 serves: of tables, of a flag that is polled
  double memory;     // a load that memory serves, beside its bytes and whatever is queued before it
  double atomic;     // an atomic that L2 carries out, until its result is back
  double fence;      // until a warp's stores before it are seen by the whole device
  double barrier;    // of a block whose warps arrive together
  double reduction;  // from a tile's accumulators to its sum, barriers apart
  double scalars;    // a layer's constants from its norm: double-precision roots and divisions one after the other
  double launch;     // from one kernel's end to the next one's first instruction, in a graph
};

// What a table's round trip grows to in a kernel: the tables chase one pointer on an idle device, always in the nearer
// half of L2 and always in the TLB. With it an H100's trips are 0.35 us to L2 and 0.65 to memory.
//
// No GPU has said it. The first run of bench/gpu calibrates, by these rows of its stages profile and timing:
//
// - kBusy: the kernels `norms` and `update` of 10000x64 (profile), whose tiles are latency alone: their times over the
//   model's are the factor.
// - fence, atomic: `partial_norms:grads` of bert-large beside that of 10000x64 (timing-rest). Layers of many tiles hand
//   up by fence and atomic, layers of one tile do not.
// - scalars: the kernel `norms` of 10000x64 (profile) beside `partial_norms:grads` of 10000x64, which has none.
// - launch: `novograd_step` of 10000x64 in two passes beside the sum of its two kernels' times.
// - the rest: `stalled_barrier`, `stalled_fence` and `stalled_memory` of the kernel `one_pass` on resnet50.
inline constexpr double kBusy = 2.35;
// The model's own range: everything but the launch takes up to so many times longer.
inline constexpr double kLatest = 1.5;

// No table has these, so they are counted in round trips to L2: an atomic is one and its execution; a fence waits for a
// store's way there and the acknowledgement's way back and for its own. A barrier and the shuffles and shared memory of
// a tile's sum are cycles of the SM: 15 steps of a dependent chain at 29 cycles each, which is what gpus.h's table has
// for a load from shared memory, are 0.25 us at 1755 MHz.
constexpr Latencies latencies_of(const Gpu& gpu, double times = 1) {
  const double l2 = gpu.l2_ns * 1e-3 * kBusy * times, memory = gpu.memory_ns * 1e-3 * kBusy * times;
  return {l2, memory, 1.4 * l2, 2 * l2, 0.05 * times, 0.25 * times, 1.0 * times, 2.5};
}

}  // namespace bench
