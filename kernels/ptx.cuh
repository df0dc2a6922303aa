// What C++ has no name for, of compute capability 9.0 and newer: launches that overlap, bulk copies into shared memory,
// and the barriers that count their bytes. A kernel that needs the copies is launched there alone.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace layerwise {

// What a bulk copy moves lies at multiples of 16 bytes, and is a multiple of them.
template <class T>
__device__ __forceinline__ bool can_be_fetched(const T* address) {
  return reinterpret_cast<uintptr_t>(address) % 16 == 0;
}

// In shared memory. It ends a phase when as many threads have arrived as it was told and every byte announced is there;
// then the next begins. Phases are told apart by the parity of their number, from 0 on.
using TransactionBarrier = uint64_t;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

namespace ptx {
__device__ __forceinline__ uint32_t address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}
}  // namespace ptx

// Until the launch before this one has ended and all that it wrote can be read, where this one was allowed to begin
// earlier (programmatic dependent launch). Every thread calls it, before it writes anything or reads what that launch
// writes: a grid that ends without it may end before the launch that it follows.
__device__ __forceinline__ void wait_for_earlier_launch() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// Lets a launch that was allowed to begin before this one has ended do so, once every block has come here.
__device__ __forceinline__ void let_later_launch_begin() { asm volatile("griddepcontrol.launch_dependents;"); }

// By one thread, followed by let_copies_see_barriers and a barrier of the block.
__device__ __forceinline__ void init_barrier(TransactionBarrier& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(ptx::address(&barrier)), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void let_copies_see_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void arrive(TransactionBarrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(ptx::address(&barrier)) : "memory");
}
// Arrives, and announces the bytes that fetch will bring for this phase.
__device__ __forceinline__ void arrive_expecting(TransactionBarrier& barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(ptx::address(&barrier)), "r"(bytes)
               : "memory");
}
// Whether the phase of this parity has ended: who sees it sees what was written before its arrivals, and the bytes.
__device__ __forceinline__ bool has_ended(TransactionBarrier& barrier, unsigned parity) {
  uint32_t ended;
  asm volatile(
      "{\n"
      ".reg .pred ended;\n"
      "mbarrier.test_wait.parity.shared::cta.b64 ended, [%1], %2;\n"
      "selp.u32 %0, 1, 0, ended;\n"
      "}"
      : "=r"(ended)
      : "r"(ptx::address(&barrier)), "r"(parity)
      : "memory");
  return ended;
}
__device__ __forceinline__ void wait_for_end(TransactionBarrier& barrier, unsigned parity) {
  uint32_t ended;
  do {
    asm volatile(
        "{\n"
        ".reg .pred ended;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 ended, [%1], %2;\n"
        "selp.u32 %0, 1, 0, ended;\n"
        "}"
        : "=r"(ended)
        : "r"(ptx::address(&barrier)), "r"(parity)
        : "memory");
  } while (!ended);
}
// A bulk copy into shared memory, by one thread. Its bytes count for the barrier's phase.
__device__ __forceinline__ void fetch(void* shared, const void* global, int bytes, TransactionBarrier& barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   ptx::address(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(ptx::address(&barrier))
               : "memory");
}
// By each thread that has read or written shared memory, before it arrives at the barrier after which copies overwrite it:
// the barrier alone orders no access before one of another proxy.
__device__ __forceinline__ void let_copies_overwrite() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// A barrier of kThreads threads of the block, whole warps, apart from __syncthreads.
template <int kThreads>
__device__ __forceinline__ void sync_on_named_barrier() {
  asm volatile("bar.sync 1, %0;" ::"n"(kThreads) : "memory");
}

#elif defined(SIMT_HARNESS)

__device__ __forceinline__ void wait_for_earlier_launch() { simt::dependency_wait(); }
__device__ __forceinline__ void let_later_launch_begin() { simt::dependency_trigger(); }

__device__ __forceinline__ void init_barrier(TransactionBarrier& barrier, int arrivals) {
  simt::mbarrier_init(&barrier, static_cast<unsigned>(arrivals));
}
__device__ __forceinline__ void let_copies_see_barriers() {}
__device__ __forceinline__ void arrive(TransactionBarrier& barrier) { simt::mbarrier_arrive(&barrier); }
__device__ __forceinline__ void arrive_expecting(TransactionBarrier& barrier, int bytes) {
  simt::mbarrier_arrive_expect_tx(&barrier, static_cast<unsigned>(bytes));
}
__device__ __forceinline__ bool has_ended(TransactionBarrier& barrier, unsigned parity) {
  return simt::mbarrier_test_wait(&barrier, parity);
}
__device__ __forceinline__ void wait_for_end(TransactionBarrier& barrier, unsigned parity) {
  while (!simt::mbarrier_try_wait(&barrier, parity)) {
  }
}
__device__ __forceinline__ void fetch(void* shared, const void* global, int bytes, TransactionBarrier& barrier) {
  simt::bulk_load(shared, global, static_cast<unsigned>(bytes), &barrier);
}
__device__ __forceinline__ void let_copies_overwrite() {}
template <int kThreads>
__device__ __forceinline__ void sync_on_named_barrier() {
  simt::named_barrier_sync(1, kThreads);
}

#else

__device__ __forceinline__ void wait_for_earlier_launch() {}
__device__ __forceinline__ void let_later_launch_begin() {}

// Named here, and never called.
__device__ void init_barrier(TransactionBarrier&, int);
__device__ void let_copies_see_barriers();
__device__ void arrive(TransactionBarrier&);
__device__ void arrive_expecting(TransactionBarrier&, int);
__device__ bool has_ended(TransactionBarrier&, unsigned);
__device__ void wait_for_end(TransactionBarrier&, unsigned);
__device__ void fetch(void*, const void*, int, TransactionBarrier&);
__device__ void let_copies_overwrite();
template <int kThreads>
__device__ void sync_on_named_barrier();

#endif

}  // namespace layerwise
