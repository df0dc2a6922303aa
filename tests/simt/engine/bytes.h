// Copies and fills of device memory. Under TSan not by libc's functions: the sanitizer would take them for
// accesses of the thread that happens to run. Under ASan by libc's, whose ranges the sanitizer checks.
#pragma once

#include "sanitizers.h"

#include <cstddef>
#include <cstring>

namespace simt::engine {

inline void copy_bytes(void* to, const void* from, std::size_t size) {
#if SIMT_TSAN
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
#else
  std::memcpy(to, from, size);
#endif
}

inline void fill_bytes(void* to, int value, std::size_t size) {
#if SIMT_TSAN
  asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
#else
  std::memset(to, value, size);
#endif
}

}  // namespace simt::engine
