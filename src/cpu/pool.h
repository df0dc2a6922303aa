// The library's own threads: one pool per process, from which plans borrow threads for each step.
#pragma once

#include <memory>
#include <mutex>

#include "cpu/team.h"

namespace layerwise {

class Pool {
 public:
  // The pool of this process, created if there is none. Its threads end when the last reference to it is gone.
  static std::shared_ptr<Pool> current();

  Pool();
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Whether this process was forked from the one that the pool's threads belong to.
  bool is_of_parent() const;

  // Calls task once in each of up to `most` threads, including the calling one, and returns when all calls have. Uses
  // fewer threads if other callers have borrowed them or no more can be started. They are started when first needed.
  void run(int most, TeamTask task, void* context);

 private:
  class Worker;
  Worker* borrow(int wanted);
  void give_back(Worker* borrowed);
  void grow(int threads);

  const uint64_t process_;
  std::mutex mutex_;
  Worker* idle_ = nullptr;  // a linked list; the thread given back last is borrowed first
  int threads_ = 0, idle_threads_ = 0;
  int limit_ = 0;  // the cores of the process minus the caller's, or more if a plan has asked for more
};

}  // namespace layerwise
