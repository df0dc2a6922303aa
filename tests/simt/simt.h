// What g++ needs in front of a .cu file: the toolkit's own headers, and everything that those declare
// only under nvcc. Force-included (-x c++ -include simt.h); the .cu files never name it.
//
// Types, 16-bit conversions, cuda::atomic_ref and CUB are the toolkit's. Ours are the parts that the
// GPU itself would supply: built-in variables, barriers, shuffles, shared memory, asynchronous copies.
#pragma once

#define SIMT_HARNESS 1

#include <cuda_runtime.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "device/location.h"

#include "device/arithmetic.h"
#include "device/async.h"
#include "device/atomics.h"
#include "device/barriers.h"
#include "device/builtins.h"
#include "device/cub.h"
#include "device/dependent.h"
#include "device/launch.h"
#include "device/memory.h"
#include "device/warp.h"
