// Shuffles, votes, reductions, __syncwarp: the lanes named by the mask meet; the last to arrive computes
// everybody's result.
#include "engine.h"

#include "../device/warp_kinds.h"

#include <algorithm>

namespace simt::engine {

namespace {

// One number for every kind of operation, so that lanes in different ones are told apart.
constexpr int kSyncOperation = 0, kFirstVote = 1, kFirstShuffle = 100;

[[noreturn]] void bad(const Fiber& fiber, const char* what) { fail("ERROR", name_of(fiber) + ": " + what); }

WarpMeeting& meeting_for(Fiber& fiber, unsigned mask) {
  Warp& warp = fiber.block->warps[fiber.thread / 32];
  if (!(mask >> (fiber.thread & 31) & 1)) bad(fiber, "its own lane is not in the mask of the warp operation");
  // Masks may overlap with those of other meetings: a lane comes here when it is done there.
  WarpMeeting* unused = nullptr;
  for (WarpMeeting& meeting : warp.meetings) {
    if (!meeting.open)
      unused = &meeting;
    else if (meeting.mask == mask)
      return meeting;
  }
  if (unused) return *unused;
  HostScope host;
  warp.meetings.emplace_back();
  return warp.meetings.back();
}

// Result of a vote or reduction; `lane` matters to match_any alone.
std::uint64_t combine(const WarpMeeting& meeting, Vote vote, unsigned lane) {
  std::uint64_t result = 0;
  bool first = true;
  for (unsigned i = 0; i < 32; ++i)
    if (meeting.mask >> i & 1) {
      const std::uint64_t x = meeting.value[i];
      const auto a = unsigned(result), b = unsigned(x);
      switch (vote) {
        case Vote::kBallot:
          result |= x << i;
          break;
        case Vote::kAny:
          result |= x;
          break;
        case Vote::kAll:
          result = first ? x : result & x;
          break;
        case Vote::kAdd:
          result = a + b;
          break;
        case Vote::kMinUnsigned:
          result = first ? b : std::min(a, b);
          break;
        case Vote::kMaxUnsigned:
          result = first ? b : std::max(a, b);
          break;
        case Vote::kMinSigned:
          result = first ? b : unsigned(std::min(int(a), int(b)));
          break;
        case Vote::kMaxSigned:
          result = first ? b : unsigned(std::max(int(a), int(b)));
          break;
        case Vote::kBitAnd:
          result = first ? b : a & b;
          break;
        case Vote::kBitOr:
          result = a | b;
          break;
        case Vote::kBitXor:
          result = a ^ b;
          break;
        case Vote::kMatchAny:
          result |= std::uint64_t(x == meeting.value[lane]) << i;
          break;
      }
      first = false;
    }
  return result;
}

// PTX shfl: the lane that `lane` reads from, and whether it is in range.
unsigned source_lane(const WarpMeeting& meeting, Shuffle kind, unsigned lane, bool* in_range) {
  const unsigned segment = meeting.control >> 8 & 31, clamp = meeting.control & 31;
  const unsigned offset = meeting.offset[lane] & 31;
  const unsigned limit = (lane & segment) | (clamp & ~segment);
  int source = int(lane);
  switch (kind) {
    case Shuffle::kUp:
      source = int(lane) - int(offset);
      *in_range = source >= int(limit);
      break;
    case Shuffle::kDown:
      source = int(lane + offset);
      *in_range = source <= int(limit);
      break;
    case Shuffle::kButterfly:
      source = int(lane ^ offset);
      *in_range = source <= int(limit);
      break;
    case Shuffle::kIndex:
      source = int((lane & segment) | (offset & ~segment));
      *in_range = source <= int(limit);
      break;
  }
  return *in_range ? unsigned(source) : lane;
}

void give_results(Fiber& last, WarpMeeting& meeting) {
  Block& block = *last.block;
  Fiber* lanes = &block.fibers[last.thread & ~31u];
  const bool per_lane = meeting.operation == kFirstVote + int(Vote::kMatchAny);
  std::uint64_t shared = 0;
  if (meeting.operation >= kFirstVote && meeting.operation < kFirstShuffle && !per_lane)
    shared = combine(meeting, Vote(meeting.operation - kFirstVote), 0);
  for (unsigned i = 0; i < 32; ++i)
    if (meeting.mask >> i & 1) {
      Fiber& lane = lanes[i];
      if (meeting.operation >= kFirstShuffle) {
        const unsigned source = source_lane(meeting, Shuffle(meeting.operation - kFirstShuffle), i, &lane.in_range);
        if (!(meeting.mask >> source & 1))
          bad(lane, ("shuffles from lane " + std::to_string(source) + ", which is not in the mask").c_str());
        lane.result = meeting.value[source];
      } else {
        lane.result = per_lane ? combine(meeting, Vote::kMatchAny, i) : shared;
      }
    }
  for (unsigned i = 0; i < 32; ++i)
    if (meeting.mask >> i & 1) make_ready(&lanes[i]);
}

Fiber& meet(int operation, unsigned mask, std::uint64_t value, unsigned offset, unsigned control,
            const Location& where) {
  Fiber& fiber = *current();
  WarpMeeting& meeting = meeting_for(fiber, mask);
  const unsigned lane = fiber.thread & 31;
  if (mask & fiber.block->warps[fiber.thread / 32].gone)
    bad(fiber, "the mask of its warp operation names a lane that has exited, or is beyond the block's end");
  if (!meeting.open) {
    meeting.open = true;
    meeting.mask = mask;
    meeting.arrived = 0;
    meeting.operation = operation;
    meeting.control = control;
    meeting.where = where;
    meeting.turn ^= 1;
  } else if (meeting.operation != operation || meeting.control != control || !same_place(meeting.where, where)) {
    bad(fiber, "divergent warp operation: the other lanes of its mask wait at a different one");
  }
  meeting.arrived |= 1u << lane;
  meeting.value[lane] = value;
  meeting.offset[lane] = offset;
  fiber.state = State::kAtWarpOperation;
  // Only __syncwarp orders memory; shuffles and votes do not.
  char* sync = &meeting.sync[meeting.turn];
  if (operation == kSyncOperation) release(sync);
  if (meeting.arrived == mask) {
    meeting.open = false;
    ++statistics().warp_operations;
    met();
    give_results(fiber, meeting);
  }
  wait_for_turn();
  if (operation == kSyncOperation) acquire(sync);
  return fiber;
}

}  // namespace

void check_exit_warp(const Fiber& fiber) {
  Warp& warp = fiber.block->warps[fiber.thread / 32];
  warp.gone |= 1u << (fiber.thread & 31);
  for (const WarpMeeting& meeting : warp.meetings)
    if (meeting.open && meeting.mask >> (fiber.thread & 31) & 1)
      bad(fiber, "exits, but its lane is named by the mask of a warp operation that others wait at");
}

}  // namespace simt::engine

namespace simt {

using namespace engine;

unsigned lane() { return current()->thread & 31; }

void warp_barrier(unsigned mask, Location where) { meet(kSyncOperation, mask, 0, 0, 0, where); }

std::uint64_t warp_vote(Vote vote, unsigned mask, std::uint64_t value, Location where) {
  return meet(kFirstVote + int(vote), mask, value, 0, 0, where).result;
}

std::uint64_t warp_shuffle(Shuffle kind, unsigned mask, std::uint64_t value, unsigned offset, unsigned control,
                           bool* in_range, Location where) {
  const Fiber& fiber = meet(kFirstShuffle + int(kind), mask, value, offset, control, where);
  if (in_range) *in_range = fiber.in_range;
  return fiber.result;
}

}  // namespace simt
