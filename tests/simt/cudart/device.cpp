// Devices, their attributes, versions, and occupancy.
#include "state.h"

#include <algorithm>
#include <cstdio>

using namespace simt::cudart;

namespace {

constexpr int version = CUDART_VERSION;

cudaError_t check_device(int device) {
  if (!simt::options().devices) return failed(cudaErrorNoDevice);
  return failed(device >= 0 && device < simt::options().devices ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t occupancy(int* blocks, const void* kernel, int block_size, size_t dynamic_shared) {
  if (!blocks || block_size <= 0) return failed(cudaErrorInvalidValue);
  if (!simt::options().devices) return failed(cudaErrorNoDevice);
  std::lock_guard lock(state().mutex);
  Kernel* found = find_kernel(kernel);
  if (!found) return failed(cudaErrorInvalidDeviceFunction);
  const bool fits = block_size <= 1024 && dynamic_shared <= std::size_t(found->dynamic_shared_limit);
  *blocks = fits ? simt::options().blocks_per_sm : 0;
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  SIMT_ENTER(cudaGetDeviceCount);
  *count = simt::options().devices;
  return failed(*count ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int* device) {
  SIMT_ENTER(cudaGetDevice);
  if (!simt::options().devices) return failed(cudaErrorNoDevice);
  *device = current_device();
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  SIMT_ENTER(cudaSetDevice);
  if (const cudaError_t code = check_device(device)) return code;
  set_current_device(device);
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  SIMT_ENTER(cudaDeviceSynchronize);
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* found) {
  SIMT_ENTER(cudaDriverGetVersion);
  *found = simt::options().devices ? version : 0;  // 0: no driver installed
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* found) {
  SIMT_ENTER(cudaRuntimeGetVersion);
  *found = version;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  SIMT_ENTER(cudaDeviceGetAttribute);
  if (const cudaError_t code = check_device(device)) return code;
  const simt::Options& options = simt::options();
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = options.sms;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = options.cooperative_launch;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = options.compute_capability / 10;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = options.compute_capability % 10;
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = 2048;
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = 32;
      break;
    case cudaDevAttrMaxGridDimX:
      *value = 0x7fffffff;
      break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      *value = 65535;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = 48 << 10;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = kMostDynamicShared;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = 228 << 10;
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      *value = 1 << 10;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = 65536;
      break;
    case cudaDevAttrL2CacheSize:
      *value = 50 << 20;
      break;
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrConcurrentKernels:
      *value = 1;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = 2'600'000;
      break;
    case cudaDevAttrClockRate:
      *value = 1'700'000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = 5120;
      break;
    default:
      std::fprintf(stderr, "simt: cudaDeviceGetAttribute: attribute %d is not pretended; add it to cudart/device.cpp\n",
                   int(attribute));
      return failed(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  SIMT_ENTER(cudaGetDeviceProperties);
  if (const cudaError_t code = check_device(device)) return code;
  const simt::Options& options = simt::options();
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "simt (no GPU)");
  properties->totalGlobalMem = std::size_t(80) << 30;
  properties->sharedMemPerBlock = 48 << 10;
  properties->sharedMemPerBlockOptin = kMostDynamicShared;
  properties->sharedMemPerMultiprocessor = 228 << 10;
  properties->reservedSharedMemPerBlock = 1 << 10;
  properties->regsPerBlock = properties->regsPerMultiprocessor = 65536;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = 1024;
  properties->maxThreadsPerMultiProcessor = 2048;
  properties->maxBlocksPerMultiProcessor = 32;
  std::fill_n(properties->maxThreadsDim, 2, 1024);
  properties->maxThreadsDim[2] = 64;
  properties->maxGridSize[0] = 0x7fffffff;
  std::fill_n(properties->maxGridSize + 1, 2, 65535);
  properties->major = options.compute_capability / 10;
  properties->minor = options.compute_capability % 10;
  properties->multiProcessorCount = options.sms;
  properties->cooperativeLaunch = options.cooperative_launch;
  properties->l2CacheSize = 50 << 20;
  properties->memoryBusWidth = 5120;
  properties->unifiedAddressing = properties->concurrentKernels = properties->memoryPoolsSupported = 1;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* kernel, int block_size,
                                                          size_t dynamic_shared) {
  SIMT_ENTER(cudaOccupancyMaxActiveBlocksPerMultiprocessor);
  return occupancy(blocks, kernel, block_size, dynamic_shared);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* kernel, int block_size,
                                                                   size_t dynamic_shared, unsigned) {
  SIMT_ENTER(cudaOccupancyMaxActiveBlocksPerMultiprocessor);
  return occupancy(blocks, kernel, block_size, dynamic_shared);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  SIMT_ENTER(cudaFuncGetAttributes);
  std::lock_guard lock(state().mutex);
  const Kernel* found = find_kernel(kernel);
  if (!attributes || !found) return failed(cudaErrorInvalidDeviceFunction);
  *attributes = {};
  attributes->maxThreadsPerBlock = 1024;
  attributes->maxDynamicSharedSizeBytes = found->dynamic_shared_limit;
  attributes->numRegs = 32;
  const simt::Options& options = simt::options();
  attributes->binaryVersion = options.compute_capability;
  attributes->ptxVersion = options.compiled_for ? options.compiled_for : options.compute_capability;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  SIMT_ENTER(cudaFuncSetAttribute);
  std::lock_guard lock(state().mutex);
  Kernel* found = find_kernel(kernel);
  if (!found) return failed(cudaErrorInvalidDeviceFunction);
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > kMostDynamicShared)
    return failed(cudaErrorInvalidValue);
  found->dynamic_shared_limit = value;
  return cudaSuccess;
}

}  // extern "C"
