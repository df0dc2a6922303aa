// Threads that run one function together, and the barrier they meet at.
#pragma once

#include <atomic>
#include <cstdint>

namespace layerwise {

// One of the threads that run a task together: its number, in [0, size), and how many they are.
struct Member {
  int thread, size;
};

using TeamTask = void (*)(void* context, Member member);

// Waits for an atomic to leave a value: spinning first, since steps follow each other closely, then asleep.
void wait_while_equal(const std::atomic<uint32_t>& value, uint32_t old);

// Where the threads of one running task meet, as often as they like.
class Meeting {
 public:
  // Called by every one of `size` threads. The last to arrive runs completion before any leaves; the others call
  // other_work() until then, as long as it returns true.
  template <class Completion, class OtherWork>
  void join(int size, Completion&& completion, OtherWork&& other_work) {
    const uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size) {
      while (phase_.load(std::memory_order_acquire) == phase && other_work()) {
      }
      return wait_while_equal(phase_, phase);
    }
    completion();
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    phase_.notify_all();
  }

 private:
  std::atomic<uint32_t> phase_{0};
  std::atomic<int> arrived_{0};
};

}  // namespace layerwise
