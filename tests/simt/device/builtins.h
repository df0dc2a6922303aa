// Built-in variables and kernel qualifiers.
#pragma once

#include "location.h"

#undef __launch_bounds__
#undef __grid_constant__
#undef __cluster_dims__
#define __launch_bounds__(...)
#define __grid_constant__
#define __cluster_dims__(...)

// Rewritten by the scheduler at every switch, so that they are plain variables to the compiler.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace simt {

unsigned lane();                           // of the running thread
void yield();                              // lets every other thread run first
[[noreturn]] void trap(const char* what);  // ends the launch with a report: "thread 3 of block 0 <what>"

}  // namespace simt

SIMT_DEVICE void __nanosleep(unsigned) { simt::yield(); }
[[noreturn]] SIMT_DEVICE void __trap() { simt::trap("calls __trap()"); }
inline long long clock64() { return 0; }
