// Fibers that can run, in the order in which they became ready: a ring, which never moves what it holds.
#pragma once

#include "engine.h"

#include <bit>

namespace simt::engine {

class Queue {
 public:
  bool empty() const { return first_ == end_; }
  void push(Fiber* fiber) { at(end_++) = fiber; }
  Fiber* take_first() { return at(first_++); }
  Fiber* take_last() { return at(--end_); }
  Fiber* take_any(Random& random) {
    std::swap(at(first_ + random.below(end_ - first_)), at(end_ - 1));
    return take_last();
  }
  void swap(Queue& other) {
    fibers_.swap(other.fibers_);
    std::swap(first_, other.first_);
    std::swap(end_, other.end_);
  }
  void prepare(std::size_t capacity) {
    first_ = end_ = 0;
    if (fibers_.size() < capacity) fibers_.resize(std::bit_ceil(capacity));
  }

 private:
  Fiber*& at(std::size_t i) { return fibers_[i & (fibers_.size() - 1)]; }
  std::vector<Fiber*> fibers_;
  std::size_t first_ = 0, end_ = 0;
};

}  // namespace simt::engine
