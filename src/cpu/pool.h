// The library's own threads: one pool for the process, which its plans borrow from for a step.
#pragma once

#include <memory>
#include <mutex>

#include "cpu/team.h"

namespace layerwise {

class Pool {
 public:
  // The process's pool, made where there is none. Its threads end with the last who holds it.
  static std::shared_ptr<Pool> current();

  Pool();
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Whether this process is a fork of the one that the threads are in.
  bool is_of_parent() const;

  // Calls task once in each of up to `most` threads, the calling one among them, and returns when all have: fewer where
  // other callers have borrowed the rest, or the system gives no more. Threads are started when they are first needed.
  void run(int most, TeamTask task, void* context);

 private:
  class Worker;
  Worker* borrow(int wanted);
  void give_back(Worker* borrowed);
  void grow(int threads);

  const uint64_t process_;
  std::mutex mutex_;
  Worker* idle_ = nullptr;  // a list, the last to be given back first
  int threads_ = 0, idle_threads_ = 0;
  int limit_ = 0;  // as many as the process may use cores beside the caller's, or as one plan has asked for
};

}  // namespace layerwise
