// The pretended devices and what the process has done with them. No libcudart is linked.
#pragma once

#include "../simt_test.h"

#include <cuda_runtime_api.h>

#include <cstddef>
#include <map>
#include <mutex>
#include <string>

namespace simt {

using Invoke = void (*)(const void* kernel, void** arguments);

namespace cudart {

struct Allocation {
  std::size_t size;
  int device;
  cudaMemoryType type;
  unsigned number;  // the how-manieth of the process: names it in reports
};

struct Kernel {
  Invoke invoke;
  int dynamic_shared_limit = 48 << 10;  // until cudaFuncSetAttribute raises it, as on a GPU
};

struct Handle {  // a stream or an event
  int device;
  bool is_event;
  bool recorded = false;
};

struct PlannedFailure {
  cudaError_t code;
  int after;
};

struct CallCount {
  int count = 0;
};

struct State {
  std::recursive_mutex mutex;
  std::map<const void*, Allocation> allocations;
  std::map<const void*, Kernel> kernels;
  std::map<const void*, Handle> handles;
  std::map<std::string, PlannedFailure> failures;
  std::map<std::string, CallCount> counts;
  unsigned allocation_count = 0;
};
State& state();

int current_device();  // of the calling host thread
void set_current_device(int);

// Every runtime function begins with: if (auto code = entered("cudaMalloc")) return code;
// It counts the call and returns the failure that a test has planned for it.
cudaError_t entered(const char* function);
// ... and an error passes through here, so that cudaGetLastError knows it.
cudaError_t failed(cudaError_t code);

// What is known of a kernel; null, and a message, where its type never was told (see device/launch.h).
Kernel* find_kernel(const void* kernel);

// The allocation that holds an address, or null.
const std::pair<const void* const, Allocation>* allocation_of(const void* address);

cudaError_t check_stream(cudaStream_t stream);

// After a launch: whether a kernel wrote beside an allocation.
cudaError_t check_allocations();

constexpr int kMostDynamicShared = 227 << 10;

}  // namespace cudart
}  // namespace simt

#define SIMT_ENTER(function) \
  if (const cudaError_t planned = ::simt::cudart::entered(#function)) return planned
