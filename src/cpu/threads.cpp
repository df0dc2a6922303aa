#include "cpu/threads.h"

#include <pthread.h>

#include "backend.h"
#include "cpu/openmp.h"

namespace layerwise {
namespace {

// Counts forks: a forked child has the plans of its parent, but none of its threads.
std::atomic<uint64_t> fork_count{0};
const int fork_watch = pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

uint64_t forks() { return fork_count.load(std::memory_order_relaxed); }

void Threads::run_task(int most, TeamTask task, void* context) {
  if (most == 1) return task(context, {0, 1});
  if (const OpenMp* const openmp = OpenMp::loaded()) return openmp->run(most, task, context);
  if (pool_->is_of_parent()) pool_ = Pool::current();
  pool_->run(most, task, context);
}

}  // namespace layerwise
