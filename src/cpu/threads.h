// The threads that a plan uses: those of an OpenMP runtime if the process has one, else the library's own pool. The
// threads of a runtime spin for milliseconds after each parallel region, so threads of our own would have to share the
// cores with them.
#pragma once

#include <memory>

#include "cpu/pool.h"
#include "cpu/team.h"

namespace layerwise {

class Threads {
 public:
  Threads() : pool_(Pool::current()) {}

  // Calls task(member) once in each of up to `most` threads, including the calling one; returns when all calls have.
  template <class Task>
  void run(int most, Task&& task) {
    run_task(most, [](void* context, Member member) { (*static_cast<Task*>(context))(member); }, &task);
  }

 private:
  void run_task(int most, TeamTask task, void* context);

  std::shared_ptr<Pool> pool_;
};

}  // namespace layerwise
