// The threads of the process, as a plan uses them: an OpenMP runtime's where the process has one, else the library's own
// pool. After each parallel region a runtime's threads spin for milliseconds, waiting for the next: beside them, own
// threads would share the cores.
#pragma once

#include <memory>

#include "cpu/pool.h"
#include "cpu/team.h"

namespace layerwise {

class Threads {
 public:
  Threads() : pool_(Pool::current()) {}

  // Calls task(member) once in each of up to `most` threads, the calling one among them; returns when all have.
  template <class Task>
  void run(int most, Task&& task) {
    run_task(most, [](void* context, Member member) { (*static_cast<Task*>(context))(member); }, &task);
  }

 private:
  void run_task(int most, TeamTask task, void* context);

  std::shared_ptr<Pool> pool_;
};

}  // namespace layerwise
