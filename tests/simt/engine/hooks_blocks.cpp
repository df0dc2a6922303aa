// The builds `asan` and `tsan`: -fsanitize-coverage=trace-pc calls this in every basic block of a kernel.
#include "slice.h"

extern "C" void __sanitizer_cov_trace_pc() {
  if (__builtin_expect(--simt::engine::slice_left > 0, 1)) return;
  simt::engine::slice_ended();
}
