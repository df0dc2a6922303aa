// How long the running fiber may still go on: counted down by the hooks that the compiler puts into
// kernels. Thread-local, since instrumented inline functions can also run on the project's own host
// threads, which must never be preempted.
#pragma once

#include <cstdint>

namespace simt::engine {

constexpr std::int64_t kEndless = INT64_MAX;
extern thread_local constinit std::int64_t slice_left;

void slice_ended();  // slice_left is used up: lets another fiber run
bool maybe_preempt_after_atomic();

}  // namespace simt::engine
