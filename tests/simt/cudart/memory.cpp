// Device memory: the host's, at its exact size and filled with 0xFF. Copies are made at once, which is
// one of the orders a stream allows.
#include "state.h"

#include "../engine/memory.h"

#include <cstring>

using namespace simt::cudart;

namespace {

cudaError_t allocate(void** memory, std::size_t size, cudaMemoryType type) {
  if (!memory) return failed(cudaErrorInvalidValue);
  *memory = nullptr;
  if (type == cudaMemoryTypeDevice && !simt::options().devices) return failed(cudaErrorNoDevice);
  if (!size) return cudaSuccess;
  void* found = simt::engine::allocate_poisoned(size, 256);
  if (!found) return failed(cudaErrorMemoryAllocation);
  std::lock_guard lock(state().mutex);
  state().allocations[found] = {size, current_device(), type, ++state().allocation_count};
  *memory = found;
  return cudaSuccess;
}

cudaError_t release(void* memory) {
  if (!memory) return cudaSuccess;
  const cudaError_t damage = check_allocations();
  {
    std::lock_guard lock(state().mutex);
    if (!state().allocations.erase(memory)) return failed(cudaErrorInvalidValue);
  }
  simt::engine::free_poisoned(static_cast<unsigned char*>(memory));
  return failed(damage);
}

// A range that begins in an allocation must end in it; addresses of the host's own are not known.
bool fits(const void* begin, std::size_t size) {
  std::lock_guard lock(state().mutex);
  const auto* found = allocation_of(begin);
  if (!found) return true;
  const auto offset = std::size_t(static_cast<const char*>(begin) - static_cast<const char*>(found->first));
  return offset + size <= found->second.size;
}

cudaError_t copy(void* to, const void* from, std::size_t size) {
  if (!size) return cudaSuccess;
  if (!to || !from || !fits(to, size) || !fits(from, size)) return failed(cudaErrorInvalidValue);
  std::memmove(to, from, size);
  return cudaSuccess;
}

cudaError_t fill(void* memory, int value, std::size_t size) {
  if (!size) return cudaSuccess;
  if (!memory || !fits(memory, size)) return failed(cudaErrorInvalidValue);
  std::memset(memory, value, size);
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** memory, size_t size) {
  SIMT_ENTER(cudaMalloc);
  return allocate(memory, size, cudaMemoryTypeDevice);
}

cudaError_t cudaMallocAsync(void** memory, size_t size, cudaStream_t stream) {
  SIMT_ENTER(cudaMallocAsync);
  if (const cudaError_t code = check_stream(stream)) return code;
  return allocate(memory, size, cudaMemoryTypeDevice);
}

cudaError_t cudaMallocHost(void** memory, size_t size) {
  SIMT_ENTER(cudaMallocHost);
  return allocate(memory, size, cudaMemoryTypeHost);
}

cudaError_t cudaHostAlloc(void** memory, size_t size, unsigned) {
  SIMT_ENTER(cudaHostAlloc);
  return allocate(memory, size, cudaMemoryTypeHost);
}

cudaError_t cudaMallocManaged(void** memory, size_t size, unsigned) {
  SIMT_ENTER(cudaMallocManaged);
  return allocate(memory, size, cudaMemoryTypeManaged);
}

cudaError_t cudaFree(void* memory) {
  SIMT_ENTER(cudaFree);
  return release(memory);
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  SIMT_ENTER(cudaFreeAsync);
  if (const cudaError_t code = check_stream(stream)) return code;
  return release(memory);
}

cudaError_t cudaFreeHost(void* memory) {
  SIMT_ENTER(cudaFreeHost);
  return release(memory);
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind) {
  SIMT_ENTER(cudaMemcpy);
  return copy(to, from, size);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind, cudaStream_t stream) {
  SIMT_ENTER(cudaMemcpyAsync);
  if (const cudaError_t code = check_stream(stream)) return code;
  return copy(to, from, size);
}

cudaError_t cudaMemset(void* memory, int value, size_t size) {
  SIMT_ENTER(cudaMemset);
  return fill(memory, value, size);
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t size, cudaStream_t stream) {
  SIMT_ENTER(cudaMemsetAsync);
  if (const cudaError_t code = check_stream(stream)) return code;
  return fill(memory, value, size);
}

cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  SIMT_ENTER(cudaMemGetInfo);
  *available = *total = std::size_t(80) << 30;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  SIMT_ENTER(cudaPointerGetAttributes);
  if (!attributes) return failed(cudaErrorInvalidValue);
  std::lock_guard lock(state().mutex);
  *attributes = {};
  attributes->type = cudaMemoryTypeUnregistered;
  attributes->device = cudaInvalidDeviceId;
  attributes->hostPointer = const_cast<void*>(address);
  const auto* found = allocation_of(address);
  if (!found) return cudaSuccess;
  attributes->type = found->second.type;
  attributes->device = found->second.device;
  attributes->devicePointer = const_cast<void*>(address);
  if (found->second.type == cudaMemoryTypeDevice) attributes->hostPointer = nullptr;
  return cudaSuccess;
}

}  // extern "C"
