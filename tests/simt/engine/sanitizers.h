// The sanitizers' view of fibers, behind names that cost nothing where no sanitizer is linked.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define SIMT_ASAN 0
#endif

// Not __SANITIZE_THREAD__: the engine itself is never instrumented, only linked with libtsan.
#if !defined(SIMT_TSAN)
#define SIMT_TSAN 0
#endif
#if SIMT_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_write_range(void*, std::size_t);
extern "C" void __tsan_read_range(void*, std::size_t);
#endif

namespace simt::engine {

// Happens-before edges, for TSan: what a thread did before release() is visible after acquire().
inline void release([[maybe_unused]] void* address) {
#if SIMT_TSAN
  __tsan_release(address);
#endif
}
inline void acquire([[maybe_unused]] void* address) {
#if SIMT_TSAN
  __tsan_acquire(address);
#endif
}

inline void forbid([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t size) {
#if SIMT_ASAN
  __asan_poison_memory_region(begin, size);
#endif
}
inline void permit([[maybe_unused]] const void* begin, [[maybe_unused]] std::size_t size) {
#if SIMT_ASAN
  __asan_unpoison_memory_region(begin, size);
#endif
}

}  // namespace simt::engine
