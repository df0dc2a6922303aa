// An asynchronous copy that is under way.
#pragma once

#include <cstdint>

namespace simt::engine {

struct Fiber;
struct Block;

struct Copy {
  enum Kind { kElement, kBulkLoad, kBulkStore, kArrival };  // cp.async, its two bulk forms, cp.async.mbarrier.arrive
  Kind kind;
  Fiber* owner;
  Block* block;
  unsigned char* to;
  const unsigned char* from;
  unsigned bytes, filled;  // the rest is zeroed
  std::uint64_t* barrier;
  unsigned group;           // of its thread, when issued
  unsigned serial;          // in its block
  unsigned char* snapshot;  // the source as it was when issued, or null: read at completion
};

}  // namespace simt::engine
