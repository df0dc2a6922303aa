// Device and shared memory: exact size, filled with 0xFF. Under ASan the allocator's redzones guard both
// ends; otherwise a margin of 0xFF does: a read past the end gives a NaN, a write is found at check().
#pragma once

#include <cstddef>

namespace simt::engine {

unsigned char* allocate_poisoned(std::size_t size,
                                 std::size_t alignment);  // null when there is none; alignment up to 512
void free_poisoned(unsigned char* memory);

// Whether nothing was written just outside [0, size); if not, the offset of the first byte that was.
bool margins_intact(const unsigned char* memory, std::size_t size, std::ptrdiff_t* first_damaged);

// Makes them so again: one report per mistake.
void restore_margins(unsigned char* memory, std::size_t size);

// Frees shared memory of a block that has ended: at once, or (TSan) when no thread can race with it any more.
void bury(unsigned char* memory);
void bury_freed_memory();

}  // namespace simt::engine
