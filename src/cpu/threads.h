// A team of threads that runs one function together, the calling thread among them, and the barrier they meet at.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace layerwise {

// Round to nearest, no flush to zero, no trap while it lives: the caller's floating-point modes must not reach the
// result, nor ours the caller.
class FloatingPointModes {
 public:
  FloatingPointModes();
  ~FloatingPointModes();
  FloatingPointModes(const FloatingPointModes&) = delete;
  FloatingPointModes& operator=(const FloatingPointModes&) = delete;

 private:
  uint64_t saved_;
};

// Waits for an atomic to leave a value: spinning first, since steps follow each other closely, then asleep.
void wait_while_equal(const std::atomic<uint32_t>& value, uint32_t old);

class Team {
 public:
  explicit Team(int size);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }

  // Calls task(context, thread) once for each thread in [0, size), and returns when all have.
  void run(void (*task)(void* context, int thread), void* context);
  template <class Task>
  void run(Task&& task) {
    run([](void* context, int thread) { (*static_cast<Task*>(context))(thread); }, &task);
  }

  // Called by every thread of a running task. The last to arrive runs completion before any leaves; the others call
  // other_work() until then, as long as it returns true.
  template <class Completion, class OtherWork>
  void meet(Completion&& completion, OtherWork&& other_work) {
    const uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size_) {
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
  void start();
  void stop();
  void work(int thread);

  const int size_;
  std::vector<std::thread>* workers_ = nullptr;
  uint64_t fork_generation_ = 0;
  void (*task_)(void*, int) = nullptr;
  void* context_ = nullptr;
  std::atomic<uint32_t> round_{0}, unfinished_{0}, phase_{0};
  std::atomic<int> arrived_{0};
};

}  // namespace layerwise
