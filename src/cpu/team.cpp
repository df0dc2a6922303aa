#include "cpu/team.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace layerwise {
namespace {

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void wait_while_equal(const std::atomic<uint32_t>& value, uint32_t old) {
  constexpr int kSpins = 4000;  // tens of microseconds: longer than the usual wait, shorter than a time slice
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace layerwise
