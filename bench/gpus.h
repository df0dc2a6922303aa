// The GPUs that the cost model knows, each number with its source.
#pragma once

#include <cstdint>

#include "kernels/tuning.h"

namespace bench {

struct Gpu {
  const char* name;
  int multiprocessors;
  layerwise::SharedMemory shared;
  int64_t l2_bytes;
  double specified_gb_per_s;
  double copy_gb_per_s;  // of a device-to-device copy, bytes read and written; 0: nobody has measured it here
  const char* source;
};

// Shared memory: CUDA C++ Programming Guide, technical specifications per compute capability (8.0, 8.9, 9.0, 10.0), with
// the 1 KiB a block that the system takes from 8.0 on.
inline constexpr layerwise::SharedMemory kShared80{164 << 10, 163 << 10, 1 << 10}, kShared89{100 << 10, 99 << 10, 1 << 10},
    kShared90{228 << 10, 227 << 10, 1 << 10};

inline constexpr int64_t kMega = 1 << 20;

inline constexpr Gpu kGpus[] = {
    {"A100-40", 108, kShared80, 40 * kMega, 1555, 0, "NVIDIA A100 datasheet and architecture whitepaper (SXM4 40 GB)"},
    {"A100-80", 108, kShared80, 40 * kMega, 2039, 0, "NVIDIA A100 datasheet and architecture whitepaper (SXM4 80 GB)"},
    {"RTX-4090", 128, kShared89, 72 * kMega, 1008, 0, "NVIDIA Ada architecture whitepaper"},
    {"H100", 132, kShared90, 50 * kMega, 3350, 0, "NVIDIA H100 datasheet and architecture whitepaper (SXM5 80 GB)"},
    {"H200", 132, kShared90, 50 * kMega, 4800, 4300,
     "NVIDIA H200 datasheet; the same die as the H100, hence its SMs and L2; the copy rate was measured"},
    {"B200", 148, kShared90, 126 * kMega, 8000, 0, "NVIDIA HGX B200 datasheet; SMs and L2: chipsandcheese.com, Nvidia's B200"},
};

// What of its specified rate a device copies at: the one figure there is, 4.3 of 4.8 TB/s on an H200.
inline constexpr double kCopyShare = 4300.0 / 4800.0;

constexpr double copy_rate(const Gpu& gpu) {
  return gpu.copy_gb_per_s > 0 ? gpu.copy_gb_per_s : kCopyShare * gpu.specified_gb_per_s;
}

}  // namespace bench
