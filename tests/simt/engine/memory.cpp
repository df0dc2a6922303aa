#include "memory.h"

#include "bytes.h"
#include "engine.h"

#include <algorithm>
#include <cstdlib>

namespace simt::engine {

namespace {

constexpr std::size_t kMargin = SIMT_ASAN ? 0 : 512;  // a multiple of every alignment asked for

struct Grave {
  unsigned char* memory;
};
std::vector<Grave> graves;

}  // namespace

unsigned char* allocate_poisoned(std::size_t size, std::size_t alignment) {
  void* memory = nullptr;
  if (posix_memalign(&memory, std::max<std::size_t>(alignment, 16), kMargin + size + kMargin + !size)) return nullptr;
  fill_bytes(memory, 0xFF, kMargin + size + kMargin);
  return static_cast<unsigned char*>(memory) + kMargin;
}

void free_poisoned(unsigned char* memory) {
  if (memory) std::free(memory - kMargin);
}

bool margins_intact(const unsigned char* memory, std::size_t size, std::ptrdiff_t* first_damaged) {
  for (std::size_t i = 0; i < kMargin; ++i)
    if (memory[size + i] != 0xFF) {
      *first_damaged = std::ptrdiff_t(size + i);
      return false;
    }
  for (std::size_t i = 1; i <= kMargin; ++i)
    if (memory[-std::ptrdiff_t(i)] != 0xFF) {
      *first_damaged = -std::ptrdiff_t(i);
      return false;
    }
  return true;
}

void restore_margins(unsigned char* memory, std::size_t size) {
  fill_bytes(memory - kMargin, 0xFF, kMargin);
  fill_bytes(memory + size, 0xFF, kMargin);
}

void bury(unsigned char* memory) {
  if (SIMT_TSAN)
    graves.push_back({memory});
  else
    free_poisoned(memory);
}

void bury_freed_memory() {
  for (const Grave& grave : graves) free_poisoned(grave.memory);
  graves.clear();
}

}  // namespace simt::engine
