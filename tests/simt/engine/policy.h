// What a seed decides. Different bugs need different disorder: a thread that runs far ahead, one that is
// kept back for long, many short slices, a copy that lands at the last moment.
#pragma once

#include "random.h"

#include "../simt_test.h"

namespace simt::engine {

enum class HeldBack { kNobody, kOneWarp, kOneThread, kOneBlockInTwo, kOneThreadInTwo };

struct Policy {
  Order order = Order::kAnyThread;
  unsigned slice = 32;  // mean number of steps between two preemptions of a thread
  HeldBack held_back = HeldBack::kNobody;
  unsigned copy_delay = 8;  // a pending copy completes at one scheduling decision in so many

  static Policy draw(Random& random, Order order) {
    static constexpr unsigned kSlices[] = {4, 32, 256, 4096};
    static constexpr unsigned kDelays[] = {2, 16, 256, 4096};
    Policy policy;
    policy.slice = kSlices[random.below(4)];
    policy.held_back = HeldBack(random.below(5));
    policy.copy_delay = kDelays[random.below(4)];
    const std::size_t draw = random.below(4);
    policy.order = order != Order::kBySeed ? order
                   : draw == 0             ? Order::kLastReadyFirst
                   : draw == 1             ? Order::kFirstReadyFirst
                                           : Order::kAnyThread;
    return policy;
  }
};

}  // namespace simt::engine
