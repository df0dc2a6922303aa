// A sanitizer's report names the line; this adds the schedule that led there.
#include "engine.h"

#include <cstdio>

namespace {

[[maybe_unused]] void name_the_launch() {
  const simt::engine::Fiber* fiber = simt::engine::current();
  if (!fiber) return;
  std::fprintf(stderr, "simt: thread %u of block %u, seed %llu, launch %llu (SIMT_SEED=%llu repeats it)\n",
               fiber->thread, fiber->block->index.x, static_cast<unsigned long long>(simt::seed()),
               static_cast<unsigned long long>(simt::engine::launch_number()),
               static_cast<unsigned long long>(simt::seed()));
}

}  // namespace

namespace simt {

static int reports = 0;
int sanitizer_reports() { return reports; }

}  // namespace simt

#if SIMT_ASAN

namespace {

[[gnu::constructor]] void ask_to_be_told() { __sanitizer_set_death_callback(name_the_launch); }

}  // namespace

// Leaks: the runtime counts its own; the stacks of fibers hide host pointers from LSan.
extern "C" const char* __asan_default_options() { return "detect_leaks=0:exitcode=66:detect_stack_use_after_return=0"; }
extern "C" const char* __ubsan_default_options() { return "print_stacktrace=1:exitcode=66"; }

#elif SIMT_TSAN

extern "C" void __tsan_on_report(void*) {
  ++simt::reports;
  name_the_launch();
}

// A launch's threads are more than the history of the host thread that made them is worth.
extern "C" const char* __tsan_default_options() {
  return "exitcode=66:die_after_fork=0:report_thread_leaks=0:history_size=2";
}

#endif
