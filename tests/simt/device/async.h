// Stand-ins for what kernels/ptx.cuh writes as inline PTX: transaction barriers and asynchronous copies.
//
// A copy completes late, when the scheduler likes; until then its destination holds 0xFF (and ASan
// refuses to let it be read), so that a missing wait is found. Misuse that PTX leaves undefined (a
// barrier without init, one arrival too many, a misaligned bulk copy) ends the launch with a report.
#pragma once

#include "location.h"

#include <cstddef>
#include <cstdint>

namespace simt {

// mbarrier.init/.inval/.arrive/.expect_tx/.test_wait/.try_wait .shared::cta.b64. The 64 bits are the
// barrier: phase, expected and pending arrivals, and the byte count all live in the kernel's own word.
void mbarrier_init(std::uint64_t* barrier, unsigned arrivals, SIMT_HERE);
void mbarrier_invalidate(std::uint64_t* barrier, SIMT_HERE);
void mbarrier_arrive(std::uint64_t* barrier, unsigned count = 1, SIMT_HERE);
void mbarrier_expect_tx(std::uint64_t* barrier, unsigned bytes, SIMT_HERE);
void mbarrier_arrive_expect_tx(std::uint64_t* barrier, unsigned bytes, SIMT_HERE);
bool mbarrier_test_wait(std::uint64_t* barrier, unsigned parity, SIMT_HERE);
// As test_wait, but lets the others run before it says no: a loop around it costs nothing.
bool mbarrier_try_wait(std::uint64_t* barrier, unsigned parity, SIMT_HERE);

// cp.async.ca/.cg.shared.global: 4, 8 or 16 bytes, of which the first `filled` are read and the rest zeroed.
void copy_async(void* shared, const void* global, unsigned bytes, SIMT_HERE);
void copy_async_zfill(void* shared, const void* global, unsigned bytes, unsigned filled, SIMT_HERE);
void copy_async_commit(SIMT_HERE);                              // cp.async.commit_group
void copy_async_wait_group(unsigned newest, SIMT_HERE);         // cp.async.wait_group: all but the newest are complete
void copy_async_wait_all(SIMT_HERE);                            // cp.async.wait_all
void copy_async_arrive(std::uint64_t* barrier, SIMT_HERE);      // cp.async.mbarrier.arrive.noinc
void copy_async_arrive_inc(std::uint64_t* barrier, SIMT_HERE);  // cp.async.mbarrier.arrive

// cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes: 16-byte aligned, both sides and size.
void bulk_load(void* shared, const void* global, unsigned bytes, std::uint64_t* barrier, SIMT_HERE);
// cp.async.bulk.global.shared::cta.bulk_group, with its groups.
void bulk_store(void* global, const void* shared, unsigned bytes, SIMT_HERE);
void bulk_commit(SIMT_HERE);                       // cp.async.bulk.commit_group
void bulk_wait_group(unsigned newest, SIMT_HERE);  // cp.async.bulk.wait_group, with or without .read

}  // namespace simt
