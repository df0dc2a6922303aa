// What the lanes of a warp can meet for, without the templates around it.
#pragma once

#include "location.h"

#include <cstdint>

namespace simt {

enum class Shuffle { kUp, kDown, kButterfly, kIndex };
enum class Vote {
  kBallot,
  kAny,
  kAll,
  kAdd,
  kMinUnsigned,
  kMaxUnsigned,
  kMinSigned,
  kMaxSigned,
  kBitAnd,
  kBitOr,
  kBitXor,
  kMatchAny
};

void warp_barrier(unsigned mask, Location);
std::uint64_t warp_vote(Vote, unsigned mask, std::uint64_t value, Location);

// `control` is the operand c of PTX shfl: segment mask << 8 | last (or first) lane of the segment.
// *in_range is PTX's predicate: false where the lane keeps its own value.
std::uint64_t warp_shuffle(Shuffle, unsigned mask, std::uint64_t value, unsigned offset, unsigned control,
                           bool* in_range, Location);

}  // namespace simt
