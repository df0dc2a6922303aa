#include "cpu/float_modes.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace layerwise {
namespace {

#if defined(__x86_64__)
constexpr uint64_t kDefaultModes = 0x1f80;
uint64_t read_modes() { return _mm_getcsr(); }
void write_modes(uint64_t modes) { _mm_setcsr(static_cast<unsigned>(modes)); }
#elif defined(__aarch64__)
constexpr uint64_t kDefaultModes = 0;
uint64_t read_modes() {
  uint64_t modes;
  asm volatile("mrs %0, fpcr" : "=r"(modes));
  return modes;
}
void write_modes(uint64_t modes) { asm volatile("msr fpcr, %0" ::"r"(modes)); }
#else
#error "layerwise: floating-point modes are known for x86-64 and AArch64 only"
#endif

}  // namespace

FloatingPointModes::FloatingPointModes() : saved_(read_modes()) { write_modes(kDefaultModes); }
FloatingPointModes::~FloatingPointModes() { write_modes(saved_); }

}  // namespace layerwise
