// What the tests say to it by environment variables:
//   FAKE_CUDA_FAIL    function:n, the n-th call (from 1 on) of a runtime function fails; function:n:memory, for want of
//   it FAKE_CUDA_MEMORY  bytes of the device, 1 GB FAKE_CUDA_L2      bytes of its cache, 1 MB FAKE_CUDA_IDLE=1  graphs
//   are made and do nothing, for a test that looks at their nodes alone
#include "cudart.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

using Works = std::vector<std::function<void()>>;

struct FakeStream {
  bool capturing = false;
  Works recorded;
};
struct FakeGraph {
  Works works;
};
using Clock = std::chrono::steady_clock;

std::map<void*, size_t> allocations;
size_t allocated = 0;
FakeStream default_stream;
std::map<std::string, int> calls;

long long number(const char* name, long long otherwise) {
  const char* const text = std::getenv(name);
  return text ? std::atoll(text) : otherwise;
}

cudaError_t entered(const char* function) {
  const char* const plan = std::getenv("FAKE_CUDA_FAIL");
  if (!plan) return cudaSuccess;
  const std::string text = plan, name = text.substr(0, text.find(':'));
  if (name != function || ++calls[name] != std::atoi(text.c_str() + name.size() + 1)) return cudaSuccess;
  return text.ends_with(":memory") ? cudaErrorMemoryAllocation : cudaErrorLaunchFailure;
}
#define ENTER() \
  if (const cudaError_t planned = entered(__func__)) return planned

FakeStream& of(cudaStream_t stream) { return stream ? *reinterpret_cast<FakeStream*>(stream) : default_stream; }

// Memory that nobody wrote has bits of its own.
cudaError_t allocate(void** memory, size_t bytes) {
  if (allocated + bytes > static_cast<size_t>(number("FAKE_CUDA_MEMORY", 1'000'000'000)))
    return cudaErrorMemoryAllocation;
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(*memory, 0xcd, bytes);
  allocations[*memory] = bytes;
  allocated += bytes;
  return cudaSuccess;
}

cudaError_t release(void* memory) {
  if (!memory) return cudaSuccess;
  const auto found = allocations.find(memory);
  if (found == allocations.end()) return cudaErrorInvalidValue;
  allocated -= found->second;
  allocations.erase(found);
  std::free(memory);
  return cudaSuccess;
}

}  // namespace

void fake::launch(cudaStream_t stream, std::function<void()> work) {
  if (of(stream).capturing) return of(stream).recorded.push_back(std::move(work));
  work();
}

extern "C" {

cudaError_t cudaGetLastError() { return entered(__func__); }
const char* cudaGetErrorName(cudaError_t) { return "cudaErrorFake"; }
const char* cudaGetErrorString(cudaError_t) { return "planned by the test"; }

cudaError_t cudaGetDeviceCount(int* count) {
  ENTER();
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return entered(__func__);
}
cudaError_t cudaSetDevice(int device) {
  ENTER();
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaDeviceSynchronize() { return entered(__func__); }
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return entered(__func__);
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return entered(__func__);
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  ENTER();
  const std::map<cudaDeviceAttr, int> known{
      {cudaDevAttrL2CacheSize, static_cast<int>(number("FAKE_CUDA_L2", 1'000'000))},
      {cudaDevAttrMultiProcessorCount, fake::kMultiprocessors},
      {cudaDevAttrMaxSharedMemoryPerMultiprocessor, fake::kSharedMemory.per_multiprocessor},
      {cudaDevAttrMaxSharedMemoryPerBlockOptin, fake::kSharedMemory.per_block},
      {cudaDevAttrReservedSharedMemoryPerBlock, fake::kSharedMemory.reserved_per_block}};
  const auto found = known.find(attribute);
  *value = found == known.end() ? 1 : found->second;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  ENTER();
  *properties = {};
  std::strcpy(properties->name, "Pretended GPU");
  properties->major = 9;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  ENTER();
  *total = static_cast<size_t>(number("FAKE_CUDA_MEMORY", 1'000'000'000));
  *free = *total - allocated;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  ENTER();
  return allocate(memory, bytes);
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  ENTER();
  return allocate(memory, bytes);
}
cudaError_t cudaFree(void* memory) { return release(memory); }
cudaError_t cudaFreeHost(void* memory) { return release(memory); }
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  ENTER();
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  ENTER();
  fake::launch(stream, [=] { std::memmove(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  ENTER();
  std::memset(memory, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  ENTER();
  fake::launch(stream, [=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  ENTER();
  *stream = reinterpret_cast<cudaStream_t>(new FakeStream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete reinterpret_cast<FakeStream*>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER();
  return of(stream).capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  ENTER();
  of(stream).capturing = true;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  ENTER();
  of(stream).capturing = false;
  *graph = reinterpret_cast<cudaGraph_t>(new FakeGraph{std::move(of(stream).recorded)});
  of(stream).recorded.clear();
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  ENTER();
  *count = reinterpret_cast<FakeGraph*>(graph)->works.size();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  ENTER();
  *executable = reinterpret_cast<cudaGraphExec_t>(new FakeGraph(*reinterpret_cast<FakeGraph*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  ENTER();
  if (std::getenv("FAKE_CUDA_IDLE")) return cudaSuccess;
  for (const auto& work : reinterpret_cast<FakeGraph*>(executable)->works) work();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<FakeGraph*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete reinterpret_cast<FakeGraph*>(executable);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  ENTER();
  *event = reinterpret_cast<cudaEvent_t>(new Clock::time_point);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<Clock::time_point*>(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  ENTER();
  *reinterpret_cast<Clock::time_point*>(event) = Clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return entered(__func__); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  ENTER();
  const auto spent = *reinterpret_cast<Clock::time_point*>(end) - *reinterpret_cast<Clock::time_point*>(begin);
  *milliseconds = std::chrono::duration<float, std::milli>(spent).count() + 1e-6f;
  return cudaSuccess;
}

}  // extern "C"
