// Planted bugs: one mistake each, of the kinds that kernels of this project could hold.
#pragma once

#include <driver_types.h>

namespace selftest {

enum class Bug {
  kNone,
  kMissingBarrier,  // a block's sum is read before all its warps have written
  kTailOffByOne,    // the element behind the last one is read
  kLatePublish,     // a tile says that it has arrived, then writes its sum
  kRelaxedPublish,  // ... in the right order, but nothing makes the order hold
  kRelaxedFlag,     // the layer's flag orders nothing before it
  kFlagNeverSet,
  kNonAtomicCounter,    // two blocks can draw the same tile
  kDrawnAheadOfWait,    // a block draws its next tile, and then waits for the layer of the one it has: deadlock
  kArrivalOrder,        // the sum begins with the tile of the last arriver
  kMissingCopyWait,     // the ring's consumers do not wait for the copy
  kEarlySlotClaim,      // a tile is drawn before there is a slot for it: deadlock
  kSlotFreedEarly,      // a slot is given back before it was read
  kTooFewBytes,         // expect_tx announces less than is copied
  kPhaseTakenTwice,     // the ring's consumers wait for the phase that has ended already
  kMissingElementWait,  // cp.async without wait_group
  kWrongShuffleMask,    // full mask in a branch that half the warp takes
  kShuffleAsFence,      // lanes exchange data through memory with a shuffle for order
  kSharedOverrun,
  kDynamicSharedOverrun,
  kUnwrittenShared,  // shared memory is read that nobody wrote
  kDivergentBarrier,
  kExitBeforeBarrier,
  kGlobalOverrun,     // a write behind the end of a buffer
  kMisalignedVector,  // a float4 through a pointer aligned to 4
  kIndexOverflow,     // an int product that needs 64 bits
  kNotResident,       // an ordinary launch waits for blocks that cannot run
  kBlockScope,        // an atomic of block scope between blocks
  kNoDependencyWait,  // a launch that may begin early never waits for the one in front
  kReadBeforeDependencyWait,
  kWriteBeforeDependencyWait,
  kCount
};

// What the kernels of the first kind work on: the sum of each layer divides its elements.
struct Layers {
  static constexpr int kCount = 4, kTile = 128;
  const float* in;
  float* out;
  int first[kCount + 1];  // element at which a layer begins, and the end
  int first_tile[kCount + 1];
  float *tile_sum, *layer_sum;
  unsigned *arrived, *flag, *ticket;
};

// Launches the kernel that holds the bug; what it needs of the arguments follows from its kind.
struct Buffers {
  float* out;
  const float* in;
  int n;
  unsigned* words;
  float* floats;
};
cudaError_t launch(Bug, const Layers&, const Buffers&, int blocks);

enum class Kind { kLayers, kRing, kSmall, kDependent };
constexpr Kind kind_of(Bug bug) {
  if (bug <= Bug::kArrivalOrder) return Kind::kLayers;
  if (bug == Bug::kMissingCopyWait || bug == Bug::kEarlySlotClaim || bug == Bug::kSlotFreedEarly ||
      bug == Bug::kTooFewBytes || bug == Bug::kPhaseTakenTwice)
    return Kind::kRing;
  if (bug >= Bug::kNoDependencyWait) return Kind::kDependent;
  return Kind::kSmall;
}

}  // namespace selftest
