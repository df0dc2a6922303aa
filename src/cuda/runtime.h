// Calls of the CUDA runtime: failures become exceptions, and the caller's current device is left as it was.
#pragma once

#include <cuda_runtime_api.h>

#include "error.h"
#include "layerwise.h"

namespace layerwise {

inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clear it: it is reported here, and the caller's next check must not find it
  const int32_t family = status == cudaErrorMemoryAllocation ? LAYERWISE_ERROR_OUT_OF_MEMORY : LAYERWISE_ERROR_CUDA;
  fail(family, "%s failed: %s (%s)", call, cudaGetErrorName(status), cudaGetErrorString(status));
}
#define LAYERWISE_CUDA(call, ...) check(call(__VA_ARGS__), #call)

// Makes a device current for the lifetime of this object, then restores the caller's.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) : device_(device) {
    LAYERWISE_CUDA(cudaGetDevice, &callers_);
    if (callers_ != device_) LAYERWISE_CUDA(cudaSetDevice, device_);
  }
  ~CurrentDevice() {
    if (callers_ != device_) cudaSetDevice(callers_);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  const int device_;
  int callers_ = 0;
};

inline int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  LAYERWISE_CUDA(cudaDeviceGetAttribute, &value, which, device);
  return value;
}

// Copies to the device and waits until the data are there: from pageable memory cudaMemcpy may return earlier, and a
// step on a non-blocking stream would not wait for the copy.
inline void upload(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  LAYERWISE_CUDA(cudaMemcpy, to, from, bytes, cudaMemcpyHostToDevice);
  LAYERWISE_CUDA(cudaStreamSynchronize, cudaStreamLegacy);
}

}  // namespace layerwise
