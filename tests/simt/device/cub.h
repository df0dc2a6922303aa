// What CUB needs and the toolkit declares under nvcc alone: lane registers, and the calls that
// cub_overlay.py puts in the place of CUB's inline PTX.
#pragma once

#include "builtins.h"
#include "warp.h"

namespace cuda::ptx {

SIMT_DEVICE unsigned get_sreg_laneid() { return simt::lane(); }
SIMT_DEVICE unsigned get_sreg_lanemask_lt() { return (1u << simt::lane()) - 1; }
SIMT_DEVICE unsigned get_sreg_lanemask_le() { return get_sreg_lanemask_lt() << 1 | 1; }
SIMT_DEVICE unsigned get_sreg_lanemask_ge() { return ~get_sreg_lanemask_lt(); }
SIMT_DEVICE unsigned get_sreg_lanemask_gt() { return ~get_sreg_lanemask_le(); }

}  // namespace cuda::ptx

namespace simt {

// shfl.sync.<kind>.b32 of one word
SIMT_DEVICE unsigned cub_shuffle(Shuffle kind, unsigned word, int offset, int control, unsigned mask, SIMT_HERE) {
  return shuffle(kind, mask, word, unsigned(offset), unsigned(control), where);
}

// shfl.sync.<kind> r|p; @p add: the sum where the other lane is in range, the own value elsewhere
template <class T>
SIMT_DEVICE T cub_shuffle_add(Shuffle kind, T value, int offset, int control, unsigned mask, SIMT_HERE) {
  bool in_range = false;
  const T other =
      from_bits<T>(warp_shuffle(kind, mask, to_bits(value), unsigned(offset), unsigned(control), &in_range, where));
  return in_range ? T(other + value) : value;
}

}  // namespace simt

// The scan of CCCL 3.5 shuffles by these.
namespace cuda::device {

template <int kWidth, class T>
SIMT_DEVICE T warp_shuffle_up(T value, int delta, unsigned mask, SIMT_HERE) {
  return simt::shuffle(simt::Shuffle::kUp, mask, value, unsigned(delta), simt::segment_of(kWidth), where);
}
template <int kWidth, class T>
SIMT_DEVICE T warp_shuffle_idx(T value, int lane, unsigned mask, SIMT_HERE) {
  return simt::shuffle(simt::Shuffle::kIndex, mask, value, unsigned(lane), simt::segment_of(kWidth) | 31, where);
}

}  // namespace cuda::device

// Named by cub/thread/thread_operators.cuh for packed 16-bit integers, which this project has none of.
SIMT_DEVICE unsigned __vmins2(unsigned, unsigned) { __builtin_trap(); }
SIMT_DEVICE unsigned __vminu2(unsigned, unsigned) { __builtin_trap(); }
SIMT_DEVICE unsigned __vmaxs2(unsigned, unsigned) { __builtin_trap(); }
SIMT_DEVICE unsigned __vmaxu2(unsigned, unsigned) { __builtin_trap(); }
