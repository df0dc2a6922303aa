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
  double l2_ns, memory_ns;  // a dependent load's round trip on an idle device: an L2 hit, and one that memory serves
  const char* source;
};

// Shared memory: CUDA C++ Programming Guide, technical specifications per compute capability (8.0, 8.9, 9.0, 10.0), with
// the 1 KiB a block that the system takes from 8.0 on.
inline constexpr layerwise::SharedMemory kShared80{164 << 10, 163 << 10, 1 << 10}, kShared89{100 << 10, 99 << 10, 1 << 10},
    kShared90{228 << 10, 227 << 10, 1 << 10};

inline constexpr int64_t kMega = 1 << 20;

// Round trips: Luo et al., Benchmarking and Dissecting the Nvidia Hopper GPU Architecture (arXiv:2402.13499, 2024), the
// table of latencies by level, in cycles at the boost clock: A100 261.5 and 466.3 at 1410 MHz, RTX 4090 273.0 and 541.5
// at 2520 MHz, H100 263.0 and 478.8 at 1755 MHz. B200: L2 150 ns, chipsandcheese.com, Nvidia's B200; its memory's as an
// H100's.
constexpr double nanoseconds(double cycles, double megahertz) { return cycles / megahertz * 1e3; }
inline constexpr double kL2A100 = nanoseconds(261.5, 1410), kMemoryA100 = nanoseconds(466.3, 1410),
                        kL2Ada = nanoseconds(273.0, 2520), kMemoryAda = nanoseconds(541.5, 2520),
                        kL2H100 = nanoseconds(263.0, 1755), kMemoryH100 = nanoseconds(478.8, 1755), kL2B200 = 150;

inline constexpr Gpu kGpus[] = {
    {"A100-40", 108, kShared80, 40 * kMega, 1555, 0, kL2A100, kMemoryA100,
     "NVIDIA A100 datasheet and architecture whitepaper (SXM4 40 GB)"},
    {"A100-80", 108, kShared80, 40 * kMega, 2039, 0, kL2A100, kMemoryA100,
     "NVIDIA A100 datasheet and architecture whitepaper (SXM4 80 GB)"},
    {"RTX-4090", 128, kShared89, 72 * kMega, 1008, 0, kL2Ada, kMemoryAda, "NVIDIA Ada architecture whitepaper"},
    {"H100", 132, kShared90, 50 * kMega, 3350, 0, kL2H100, kMemoryH100,
     "NVIDIA H100 datasheet and architecture whitepaper (SXM5 80 GB)"},
    {"H200", 132, kShared90, 50 * kMega, 4800, 4300, kL2H100, kMemoryH100,
     "NVIDIA H200 datasheet; the same die as the H100, hence its SMs and L2; the copy rate was measured"},
    {"B200", 148, kShared90, 126 * kMega, 8000, 0, kL2B200, kMemoryH100,
     "NVIDIA HGX B200 datasheet; SMs and L2: chipsandcheese.com, Nvidia's B200"},
};

// What of its specified rate a device copies at: the one figure there is, 4.3 of 4.8 TB/s on an H200.
inline constexpr double kCopyShare = 4300.0 / 4800.0;

constexpr double copy_rate(const Gpu& gpu) {
  return gpu.copy_gb_per_s > 0 ? gpu.copy_gb_per_s : kCopyShare * gpu.specified_gb_per_s;
}

}  // namespace bench
