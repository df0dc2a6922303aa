#include "state.h"

#include "../engine/memory.h"

#include <cstdio>
#include <cstdlib>

namespace simt {

namespace {

int from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : otherwise;
}

Options default_options() {
  Options options;
  options.sms = from_environment("SIMT_SMS", options.sms);
  options.blocks_per_sm = from_environment("SIMT_BLOCKS_PER_SM", options.blocks_per_sm);
  return options;
}

thread_local int device_of_thread = 0;
thread_local cudaError_t last_error = cudaSuccess;

}  // namespace

Options& options() {
  static Options options = default_options();
  return options;
}

Statistics& statistics() {
  static Statistics statistics{};
  return statistics;
}

Seeds seeds(std::uint64_t count) {
  if (const char* only = std::getenv("SIMT_SEED")) {
    const std::uint64_t seed = std::strtoull(only, nullptr, 0);
    return {seed, seed + 1};
  }
  if (const char* replaced = std::getenv("SIMT_SEEDS")) count = std::strtoull(replaced, nullptr, 0);
  return {0, count};
}

void fail_call(const char* function, cudaError_t code, int after) {
  std::lock_guard lock(cudart::state().mutex);
  cudart::state().failures[function] = {code, after};
}

int calls(const char* function) {
  std::lock_guard lock(cudart::state().mutex);
  return cudart::state().counts[function].count;
}

std::size_t live_allocations() { return cudart::state().allocations.size(); }
std::size_t live_handles() { return cudart::state().handles.size(); }

void reset() {
  std::lock_guard lock(cudart::state().mutex);
  options() = default_options();
  cudart::state().failures.clear();
  cudart::state().counts.clear();
  device_of_thread = 0;
  last_error = cudaSuccess;
}

void register_kernel(const void* kernel, Invoke invoke) {
  std::lock_guard lock(cudart::state().mutex);
  cudart::state().kernels.try_emplace(kernel, cudart::Kernel{invoke});
}

namespace cudart {

State& state() {
  static State* state = new State;  // never destroyed: a static of the test may still free device memory
  return *state;
}

int current_device() { return device_of_thread; }
void set_current_device(int device) { device_of_thread = device; }

cudaError_t failed(cudaError_t code) {
  if (code != cudaSuccess) last_error = code;
  return code;
}

cudaError_t entered(const char* function) {
  std::lock_guard lock(state().mutex);
  ++state().counts[function].count;
  const auto planned = state().failures.find(function);
  if (planned == state().failures.end() || planned->second.after-- > 0) return cudaSuccess;
  const cudaError_t code = planned->second.code;
  state().failures.erase(planned);
  return failed(code);
}

Kernel* find_kernel(const void* kernel) {
  const auto found = state().kernels.find(kernel);
  if (found != state().kernels.end()) return &found->second;
  std::fputs(
      "simt: a kernel of unknown type: launch it, or ask for its occupancy or attributes, through a typed function "
      "pointer before it is handed on as const void* (see device/launch.h)\n",
      stderr);
  return nullptr;
}

const std::pair<const void* const, Allocation>* allocation_of(const void* address) {
  auto after = state().allocations.upper_bound(address);
  if (after == state().allocations.begin()) return nullptr;
  --after;
  const auto offset = static_cast<const char*>(address) - static_cast<const char*>(after->first);
  return offset == 0 || std::size_t(offset) < after->second.size ? &*after : nullptr;
}

cudaError_t check_allocations() {
  std::lock_guard lock(state().mutex);
  for (const auto& [memory, allocation] : state().allocations) {
    std::ptrdiff_t offset;
    if (engine::margins_intact(static_cast<const unsigned char*>(memory), allocation.size, &offset)) continue;
    std::fprintf(stderr, "simt: ERROR: a write outside device memory: byte %td of allocation %u, which has %zu\n",
                 offset, allocation.number, allocation.size);
    engine::restore_margins(static_cast<unsigned char*>(const_cast<void*>(memory)), allocation.size);
    return cudaErrorIllegalAddress;
  }
  return cudaSuccess;
}

}  // namespace cudart
}  // namespace simt

using namespace simt::cudart;

extern "C" {

cudaError_t cudaGetLastError() {
  const cudaError_t code = simt::last_error;
  simt::last_error = cudaSuccess;
  return code;
}

cudaError_t cudaPeekAtLastError() { return simt::last_error; }

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
#define NAME(error) \
  case error:       \
    return #error;
    NAME(cudaSuccess)
    NAME(cudaErrorInvalidValue)
    NAME(cudaErrorMemoryAllocation)
    NAME(cudaErrorInitializationError)
    NAME(cudaErrorCudartUnloading)
    NAME(cudaErrorInvalidConfiguration)
    NAME(cudaErrorInvalidDevicePointer)
    NAME(cudaErrorInsufficientDriver)
    NAME(cudaErrorNoDevice)
    NAME(cudaErrorInvalidDevice)
    NAME(cudaErrorInvalidDeviceFunction)
    NAME(cudaErrorInvalidResourceHandle)
    NAME(cudaErrorNotReady)
    NAME(cudaErrorIllegalAddress)
    NAME(cudaErrorLaunchOutOfResources)
    NAME(cudaErrorLaunchTimeout)
    NAME(cudaErrorLaunchFailure)
    NAME(cudaErrorCooperativeLaunchTooLarge)
    NAME(cudaErrorNotSupported)
    NAME(cudaErrorNotPermitted)
    NAME(cudaErrorStreamCaptureUnsupported)
    NAME(cudaErrorNoKernelImageForDevice)
    NAME(cudaErrorSystemDriverMismatch)
    NAME(cudaErrorDevicesUnavailable)
    NAME(cudaErrorUnknown)
#undef NAME
    default:
      return "unrecognized error code";
  }
}

const char* cudaGetErrorString(cudaError_t code) { return code == cudaSuccess ? "no error" : cudaGetErrorName(code); }

}  // extern "C"
