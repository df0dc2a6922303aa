// Threads that run one function together, and a barrier for them.
#pragma once

#include <atomic>
#include <cstdint>

namespace layerwise {

// One of the threads that run a task together: its number, in [0, size), and the number of threads.
struct Member {
  int thread, size;
};

using TeamTask = void (*)(void* context, Member member);

// Waits until an atomic has another value than old: first spinning, since steps follow each other closely, then asleep.
void wait_while_equal(const std::atomic<uint32_t>& value, uint32_t old);

// A reusable barrier for the threads of one running task.
class Meeting {
 public:
  // Must be called by each of `size` threads. The last to arrive runs completion() before any thread leaves; until then
  // the others call other_work() as long as it returns true.
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
