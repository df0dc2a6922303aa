// Operations in which the lanes of a warp meet: shuffles, votes, reductions, __syncwarp.
#pragma once

#include "warp_kinds.h"

#include <cstring>
#include <type_traits>

namespace simt {

// What CUDA itself can shuffle: nvcc has no overload for anything else.
template <class T>
concept Shuffled = std::is_arithmetic_v<T> || std::is_same_v<T, __half> || std::is_same_v<T, __half2> ||
                   std::is_same_v<T, __nv_bfloat16> || std::is_same_v<T, __nv_bfloat162>;

template <class T>
SIMT_DEVICE std::uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <class T>
SIMT_DEVICE T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T>
SIMT_DEVICE T shuffle(Shuffle kind, unsigned mask, T value, unsigned offset, unsigned control, Location where) {
  return from_bits<T>(warp_shuffle(kind, mask, to_bits(value), offset, control, nullptr, where));
}

constexpr unsigned segment_of(int width) { return unsigned(32 - width) << 8; }

}  // namespace simt

template <simt::Shuffled T>
SIMT_DEVICE T __shfl_sync(unsigned mask, T value, int lane, int width = 32, SIMT_HERE) {
  return simt::shuffle(simt::Shuffle::kIndex, mask, value, unsigned(lane), simt::segment_of(width) | 31, where);
}
template <simt::Shuffled T>
SIMT_DEVICE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_HERE) {
  return simt::shuffle(simt::Shuffle::kUp, mask, value, delta, simt::segment_of(width), where);
}
template <simt::Shuffled T>
SIMT_DEVICE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_HERE) {
  return simt::shuffle(simt::Shuffle::kDown, mask, value, delta, simt::segment_of(width) | 31, where);
}
template <simt::Shuffled T>
SIMT_DEVICE T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, SIMT_HERE) {
  return simt::shuffle(simt::Shuffle::kButterfly, mask, value, unsigned(lane_mask), simt::segment_of(width) | 31,
                       where);
}

SIMT_DEVICE void __syncwarp(unsigned mask = ~0u, SIMT_HERE) { simt::warp_barrier(mask, where); }

SIMT_DEVICE unsigned __ballot_sync(unsigned mask, int predicate, SIMT_HERE) {
  return unsigned(simt::warp_vote(simt::Vote::kBallot, mask, predicate != 0, where));
}
SIMT_DEVICE int __any_sync(unsigned mask, int predicate, SIMT_HERE) {
  return int(simt::warp_vote(simt::Vote::kAny, mask, predicate != 0, where));
}
SIMT_DEVICE int __all_sync(unsigned mask, int predicate, SIMT_HERE) {
  return int(simt::warp_vote(simt::Vote::kAll, mask, predicate != 0, where));
}
template <class T>
SIMT_DEVICE unsigned __match_any_sync(unsigned mask, T value, SIMT_HERE) {
  return unsigned(simt::warp_vote(simt::Vote::kMatchAny, mask, simt::to_bits(value), where));
}

#define SIMT_REDUCE(name, type, vote)                                             \
  SIMT_DEVICE type name(unsigned mask, type value, SIMT_HERE) {                   \
    return type(simt::warp_vote(simt::Vote::vote, mask, unsigned(value), where)); \
  }
SIMT_REDUCE(__reduce_add_sync, unsigned, kAdd)
SIMT_REDUCE(__reduce_add_sync, int, kAdd)
SIMT_REDUCE(__reduce_min_sync, unsigned, kMinUnsigned)
SIMT_REDUCE(__reduce_min_sync, int, kMinSigned)
SIMT_REDUCE(__reduce_max_sync, unsigned, kMaxUnsigned)
SIMT_REDUCE(__reduce_max_sync, int, kMaxSigned)
SIMT_REDUCE(__reduce_and_sync, unsigned, kBitAnd)
SIMT_REDUCE(__reduce_or_sync, unsigned, kBitOr)
SIMT_REDUCE(__reduce_xor_sync, unsigned, kBitXor)
#undef SIMT_REDUCE
