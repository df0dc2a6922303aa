// A plan's device memory: provided by the caller, or allocated here and freed with the plan.
#pragma once

#include "cuda/runtime.h"
#include "cuda/worklist.h"

namespace layerwise {

class Workspace {
 public:
  Workspace(int device, void* callers, int64_t callers_bytes, int64_t bytes) : device_(device), address_(callers) {
    if (!callers && bytes > 0) {
      CurrentDevice current(device_);
      LAYERWISE_CUDA(cudaMalloc, &owned_, static_cast<size_t>(bytes));
      address_ = owned_;
    }
    if (!callers) return;
    if (reinterpret_cast<uintptr_t>(callers) % kWorkspaceAlignment != 0)
      fail(LAYERWISE_ERROR_WORKSPACE, "workspace is %p; it must be aligned to %lld bytes", callers,
           static_cast<long long>(kWorkspaceAlignment));
    if (callers_bytes < bytes)
      fail(LAYERWISE_ERROR_WORKSPACE, "workspace_bytes is %lld; this plan needs %lld",
           static_cast<long long>(callers_bytes), static_cast<long long>(bytes));
  }
  ~Workspace() {
    if (!owned_) return;
    int callers = device_;
    cudaGetDevice(&callers);
    cudaSetDevice(device_);
    cudaFree(owned_);
    cudaSetDevice(callers);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  char* at(int64_t offset) const { return static_cast<char*>(address_) + offset; }
  void* address() const { return address_; }

 private:
  const int device_;
  void* address_ = nullptr;
  void* owned_ = nullptr;
};

}  // namespace layerwise
