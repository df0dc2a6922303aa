#include "overlap.h"

#include <map>
#include <vector>

#include "../engine/bytes.h"
#include "state.h"

namespace simt::cudart {
namespace {

using Memory = std::map<unsigned, std::vector<unsigned char>>;  // by the number of the allocation

Memory before_earlier, before_this;

template <class Act>
void for_each_allocation(Act&& act) {
  std::lock_guard lock(state().mutex);
  for (const auto& [memory, allocation] : state().allocations)
    act(static_cast<unsigned char*>(const_cast<void*>(memory)), allocation);
}

Memory memory_now() {
  Memory copies;
  for_each_allocation([&](unsigned char* memory, const Allocation& allocation) {
    auto& copy = copies[allocation.number];
    copy.resize(allocation.size);
    engine::copy_bytes(copy.data(), memory, allocation.size);
  });
  return copies;
}

// Allocations that are newer stay as they are.
void write(const Memory& copies) {
  for_each_allocation([&](unsigned char* memory, const Allocation& allocation) {
    const auto found = copies.find(allocation.number);
    if (found != copies.end()) engine::copy_bytes(memory, found->second.data(), allocation.size);
  });
}

bool is_as(const Memory& copies) {
  bool same = true;
  for_each_allocation([&](unsigned char* memory, const Allocation& allocation) {
    const auto found = copies.find(allocation.number);
    if (found == copies.end()) return;
    // Byte by byte: the race detector would take memcmp for reads of the CUDA thread that happens to run.
    for (std::size_t i = 0; same && i < allocation.size; ++i) same = memory[i] == found->second[i];
  });
  return same;
}

}  // namespace

void remember_memory() { before_this = memory_now(); }

void undo_earlier_launch() {
  before_earlier = std::move(before_this);
  before_this = memory_now();
  write(before_earlier);
}

bool redo_earlier_launch() {
  const bool untouched = is_as(before_earlier);
  write(before_this);
  return untouched;
}

}  // namespace simt::cudart
