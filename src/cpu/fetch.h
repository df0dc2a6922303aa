// Memory fetched ahead of its use.
//
// A core draws its memory's rate only while it waits for as many lines as it can. Layers of one tile alternate between
// norms, which compute on what the cache holds, and updates, which stream; so each fetches, block by block, what comes
// after it: all that the next norm reads, and of an update's streams the start, which the hardware follows. Measured on
// two cores of a Zen 3, against all at once: 5 to 10 % of novograd_step over layers of 1000 elements.
#pragma once

#include <cstdint>

#include "numerics/summation.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

inline constexpr int kBlockElements = 64;

LAYERWISE_INLINE void prefetch_bytes(const void* address, int64_t bytes) {
  constexpr int64_t kLine = 64;
  for (int64_t at = 0; at < bytes; at += kLine) __builtin_prefetch(static_cast<const char*>(address) + at);
}

template <class T>
LAYERWISE_INLINE void prefetch_block(const T* elements) {
  constexpr int kLine = 64 / sizeof(T);
  for (int i = 0; i < kBlockElements; i += kLine) __builtin_prefetch(elements + i, 1);
}

// Small pages end a stream every 4 KB: in the next one the hardware starts afresh, after it has waited for the page's
// address, and every eighth of these comes from memory. So the first lines of each row of a tile, a page of float32,
// are fetched long before the row is used. Measured on two cores of a Zen 4, layers of megabytes in pages of 4 KB: a
// fifth of an update's time. To fetch every line, 4 KB ahead, costs 10 to 15 % instead, with small and with huge pages.
LAYERWISE_INLINE void open_row(const void* address) {
  constexpr int64_t kLine = 64, kLines = 4;
  for (int64_t i = 0; i < kLines; ++i) __builtin_prefetch(static_cast<const char*>(address) + i * kLine, 1);
}

// What passes in less time than memory takes to answer: fetched before, all at once.
inline constexpr int64_t kShort = 256;

// An array of the tile's shape; without an address nothing is fetched.
class Fetched {
 public:
  Fetched() = default;
  LAYERWISE_INLINE Fetched(const void* address, Dtype dtype)
      : address_(static_cast<const char*>(address)), element_bytes_(address ? size_of(dtype) : 0) {}
  LAYERWISE_INLINE void elements(int64_t at, int64_t count) const {
    prefetch_bytes(address_ + at * element_bytes_, count * element_bytes_);
  }
  LAYERWISE_INLINE void open(int64_t count) const {
    for (int64_t at = 0; address_ && at < count; at += kAccumulators) open_row(address_ + at * element_bytes_);
  }

 private:
  const char* address_ = nullptr;
  int64_t element_bytes_ = 0;
};

// What the norm of a part of a tile fetches with each of its blocks: the same block of other arrays, of some the first
// row alone.
struct Beside {
  Fetched whole, start, second_start;

  LAYERWISE_INLINE void first_row(int64_t at) const {
    start.elements(at, kBlockElements);
    second_start.elements(at, kBlockElements);
  }
  LAYERWISE_INLINE void block(int64_t at) const { whole.elements(at, kBlockElements); }
};
struct NothingBeside {
  LAYERWISE_INLINE void first_row(int64_t) const {}
  LAYERWISE_INLINE void block(int64_t) const {}
};

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
