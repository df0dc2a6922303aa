// Where in the source a barrier or warp operation stands: threads that must meet are compared by it.
#pragma once

#include <source_location>

namespace simt {

using Location = std::source_location;

}  // namespace simt

// Last parameter of every stand-in that threads meet in; the caller's line by default.
#define SIMT_HERE ::simt::Location where = ::simt::Location::current()

// Inlined always, so that a backtrace shows the kernel's line and not ours.
#define SIMT_DEVICE inline __attribute__((always_inline))
