// What the device is.
#include "gpu.d/device.h"
#include "gpu.d/stages.h"

namespace bench {
namespace {

std::string version_text(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

}  // namespace

bool facts_stage() {
  int count = 0, driver = 0, runtime = 0;
  BENCH_CUDA(cudaGetDeviceCount, &count);
  BENCH_CUDA(cudaDriverGetVersion, &driver);
  BENCH_CUDA(cudaRuntimeGetVersion, &runtime);
  cudaDeviceProp properties;
  BENCH_CUDA(cudaGetDeviceProperties, &properties, 0);
  const int64_t free = free_device_bytes();
  JsonLine()
      .add("kind", "facts")
      .add("device", properties.name)
      .add("compute_capability", std::to_string(properties.major) + "." + std::to_string(properties.minor))
      .add("multiprocessors", properties.multiProcessorCount)
      .add("memory_bytes", static_cast<int64_t>(properties.totalGlobalMem))
      .add("free_memory_bytes", free)
      .add("l2_bytes", device_attribute(cudaDevAttrL2CacheSize))
      .add("shared_memory_per_multiprocessor", device_attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor))
      .add("shared_memory_per_block", device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin))
      .add("memory_bus_bits", device_attribute(cudaDevAttrGlobalMemoryBusWidth))
      .add("memory_clock_khz", device_attribute(cudaDevAttrMemoryClockRate))
      .add("cooperative_launch", device_attribute(cudaDevAttrCooperativeLaunch) != 0)
      .add("devices", count)
      .add("cuda_driver", version_text(driver))
      .add("cuda_runtime", version_text(runtime))
      .add("library", layerwise_build_info())
      .add("numerics_version", layerwise_numerics_version())
      .print();
  return true;
}

}  // namespace bench
