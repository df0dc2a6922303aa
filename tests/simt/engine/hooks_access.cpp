// The build `fine`: kernels are compiled with -fsanitize=thread but linked with this in the place of
// libtsan, so that every memory access is a point where another thread can take over.
#include "slice.h"

#include <cstdint>
#include <cstring>

using simt::engine::slice_left;

namespace {

inline __attribute__((always_inline)) void step() {
  if (__builtin_expect(--slice_left <= 0, 0)) simt::engine::slice_ended();
}

// An atomic is where threads talk to each other: one in four is followed by a switch at once.
inline __attribute__((always_inline)) void step_after_atomic() {
  if (!simt::engine::maybe_preempt_after_atomic()) step();
}

}  // namespace

extern "C" {

// The kernels' objects are those of `tsan`, which switches at basic blocks.
void __sanitizer_cov_trace_pc() {}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void*, std::uintptr_t) { step(); }
void __tsan_write_range(void*, std::uintptr_t) { step(); }

#define ACCESS(size)                                   \
  void __tsan_read##size(void*) { step(); }            \
  void __tsan_write##size(void*) { step(); }           \
  void __tsan_unaligned_read##size(void*) { step(); }  \
  void __tsan_unaligned_write##size(void*) { step(); } \
  void __tsan_volatile_read##size(void*) { step(); }   \
  void __tsan_volatile_write##size(void*) { step(); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

#define FETCH(bits, type, operation)                                                      \
  type __tsan_atomic##bits##_fetch_##operation(volatile type* address, type value, int) { \
    const type old = __atomic_fetch_##operation(address, value, __ATOMIC_SEQ_CST);        \
    step_after_atomic();                                                                  \
    return old;                                                                           \
  }
#define EXCHANGE_IF_EQUAL(bits, type, strength)                                                                  \
  int __tsan_atomic##bits##_compare_exchange_##strength(volatile type* address, type* expected, type value, int, \
                                                        int) {                                                   \
    const bool done =                                                                                            \
        __atomic_compare_exchange_n(address, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);        \
    step_after_atomic();                                                                                         \
    return done;                                                                                                 \
  }
#define ATOMIC(bits, type)                                                                                       \
  type __tsan_atomic##bits##_load(const volatile type* address, int) {                                           \
    const type value = __atomic_load_n(address, __ATOMIC_SEQ_CST);                                               \
    step_after_atomic();                                                                                         \
    return value;                                                                                                \
  }                                                                                                              \
  void __tsan_atomic##bits##_store(volatile type* address, type value, int) {                                    \
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);                                                          \
    step_after_atomic();                                                                                         \
  }                                                                                                              \
  type __tsan_atomic##bits##_exchange(volatile type* address, type value, int) {                                 \
    const type old = __atomic_exchange_n(address, value, __ATOMIC_SEQ_CST);                                      \
    step_after_atomic();                                                                                         \
    return old;                                                                                                  \
  }                                                                                                              \
  FETCH(bits, type, add)                                                                                         \
  FETCH(bits, type, sub)                                                                                         \
  FETCH(bits, type, and)                                                                                         \
  FETCH(bits, type, or)                                                                                          \
  FETCH(bits, type, xor)                                                                                         \
  FETCH(bits, type, nand)                                                                                        \
  EXCHANGE_IF_EQUAL(bits, type, strong)                                                                          \
  EXCHANGE_IF_EQUAL(bits, type, weak)                                                                            \
  type __tsan_atomic##bits##_compare_exchange_val(volatile type* address, type expected, type value, int, int) { \
    __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);           \
    step_after_atomic();                                                                                         \
    return expected;                                                                                             \
  }
ATOMIC(8, std::uint8_t)
ATOMIC(16, std::uint16_t)
ATOMIC(32, std::uint32_t)
ATOMIC(64, std::uint64_t)

void __tsan_atomic_thread_fence(int) { step_after_atomic(); }
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"
