// Barriers between the threads of a block, and memory fences.
#pragma once

#include "location.h"

namespace simt {

enum class Combine { kNothing, kCount, kAll, kAny };

// __syncthreads and its variants: every thread of the block, at the same place in the source.
int block_barrier(Combine, int predicate, Location);

// bar.sync / bar.arrive with an id (1 to 15) and a number of threads: for kernels/ptx.cuh.
void named_barrier_sync(unsigned id, unsigned threads, SIMT_HERE);
void named_barrier_arrive(unsigned id, unsigned threads, SIMT_HERE);

// Orders memory for the sanitizer only; the fibers themselves are sequentially consistent.
void fence();

}  // namespace simt

SIMT_DEVICE void __syncthreads(SIMT_HERE) { simt::block_barrier(simt::Combine::kNothing, 0, where); }
SIMT_DEVICE int __syncthreads_count(int predicate, SIMT_HERE) {
  return simt::block_barrier(simt::Combine::kCount, predicate, where);
}
SIMT_DEVICE int __syncthreads_and(int predicate, SIMT_HERE) {
  return simt::block_barrier(simt::Combine::kAll, predicate, where);
}
SIMT_DEVICE int __syncthreads_or(int predicate, SIMT_HERE) {
  return simt::block_barrier(simt::Combine::kAny, predicate, where);
}

SIMT_DEVICE void __threadfence() { simt::fence(); }
SIMT_DEVICE void __threadfence_block() { simt::fence(); }
SIMT_DEVICE void __threadfence_system() { simt::fence(); }
