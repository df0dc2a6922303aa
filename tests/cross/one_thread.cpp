// In the harness the CPU backend runs on the calling thread alone: that any number of threads has the same bits is the
// unit tests' to hold, and so the kernels' tests need not be repeated for a change of the threads.
#include "backend.h"
#include "cpu/cores.h"
#include "cpu/threads.h"

namespace layerwise {

int available_cores() { return 1; }
uint64_t forks() { return 0; }
std::shared_ptr<Pool> Pool::current() { return nullptr; }
void Threads::run_task(int, TeamTask task, void* context) { task(context, {0, 1}); }
void wait_while_equal(const std::atomic<uint32_t>&, uint32_t) {}

}  // namespace layerwise
