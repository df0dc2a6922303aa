// The fake CUDA runtime, as the library's host code meets it.
#include "device_array.h"
#include "good.h"

#include "simt_test.h"

#include <catch2/catch_test_macros.hpp>

#include <cstring>
#include <string>
#include <thread>

using namespace selftest;

namespace {

struct Fresh {
  Fresh() { simt::reset(); }
  ~Fresh() { simt::reset(); }
};

}  // namespace

TEST_CASE("device memory is poisoned, counted, and known by any address inside") {
  Fresh fresh;
  const auto before = simt::live_allocations();
  float* memory = nullptr;
  REQUIRE(cudaMalloc(reinterpret_cast<void**>(&memory), 100) == cudaSuccess);
  CHECK(reinterpret_cast<std::uintptr_t>(memory) % 256 == 0);
  CHECK(memory[24] != memory[24]);
  CHECK(simt::live_allocations() == before + 1);
  cudaPointerAttributes attributes{};
  REQUIRE(cudaPointerGetAttributes(&attributes, memory + 3) == cudaSuccess);
  CHECK(attributes.type == cudaMemoryTypeDevice);
  CHECK(attributes.device == 0);
  int local = 0;
  REQUIRE(cudaPointerGetAttributes(&attributes, &local) == cudaSuccess);
  CHECK(attributes.type == cudaMemoryTypeUnregistered);
  CHECK(cudaMemset(memory, 0, 101) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(&local, memory + 24, 8, cudaMemcpyDefault) == cudaErrorInvalidValue);
  CHECK(cudaFree(memory + 1) == cudaErrorInvalidValue);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cudaFree(memory) == cudaErrorInvalidValue);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  CHECK(simt::live_allocations() == before);
}

TEST_CASE("a planned failure hits the call it was planned for, once") {
  Fresh fresh;
  simt::fail_call("cudaMalloc", cudaErrorMemoryAllocation, 1);
  void *a = nullptr, *b = nullptr, *c = nullptr;
  CHECK(cudaMalloc(&a, 8) == cudaSuccess);
  CHECK(cudaMalloc(&b, 8) == cudaErrorMemoryAllocation);
  CHECK(cudaPeekAtLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaMalloc(&c, 8) == cudaSuccess);
  CHECK(simt::calls("cudaMalloc") == 3);
  cudaFree(a);
  cudaFree(c);

  DeviceArray<unsigned> counter(1, 0u);
  simt::fail_call("launch", cudaErrorLaunchOutOfResources);
  CHECK(meet_all(counter.get(), 1, true) == cudaErrorLaunchOutOfResources);
  CHECK(counter.host()[0] == 0);
  CHECK(meet_all(counter.get(), 1, true) == cudaSuccess);
  CHECK(simt::calls("launch") == 2);
  CHECK(simt::calls("cudaStreamSynchronize") == 0);
  CHECK(std::string(cudaGetErrorName(cudaErrorLaunchOutOfResources)) == "cudaErrorLaunchOutOfResources");
}

TEST_CASE("devices can be none or many, and each host thread has its own") {
  Fresh fresh;
  int count = -1, device = -1;
  simt::options().devices = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(count == 0);
  CHECK(cudaSetDevice(0) == cudaErrorNoDevice);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 8) == cudaErrorNoDevice);
  simt::options().devices = 3;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 3);
  CHECK(cudaSetDevice(3) == cudaErrorInvalidDevice);
  CHECK(cudaSetDevice(2) == cudaSuccess);
  std::thread([] {
    int other = -1;
    cudaGetDevice(&other);
    CHECK(other == 0);
  }).join();
  cudaGetDevice(&device);
  CHECK(device == 2);
  CHECK(cudaMalloc(&memory, 8) == cudaSuccess);
  cudaPointerAttributes attributes{};
  cudaPointerGetAttributes(&attributes, memory);
  CHECK(attributes.device == 2);
  cudaFree(memory);
  cudaGetLastError();
}

TEST_CASE("attributes and properties agree with the options") {
  Fresh fresh;
  simt::options().sms = 7;
  simt::options().compute_capability = 86;
  int value = 0;
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0) == cudaSuccess);
  CHECK(value == 7);
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(properties.multiProcessorCount == 7);
  CHECK(properties.major == 8);
  CHECK(properties.minor == 6);
  CHECK(cudaRuntimeGetVersion(&value) == cudaSuccess);
  CHECK(value == CUDART_VERSION);
}

TEST_CASE("streams and events are checked by handle and device") {
  Fresh fresh;
  simt::options().devices = 2;
  const auto before = simt::live_handles();
  cudaStream_t stream = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaEventCreateWithFlags(&begin, cudaEventDisableTiming) == cudaSuccess);
  REQUIRE(cudaEventCreate(&end) == cudaSuccess);
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(begin, stream) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(stream, begin, 0) == cudaSuccess);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusActive;
  CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusNone);
  cudaSetDevice(1);
  CHECK(cudaMemsetAsync(nullptr, 0, 0, stream) == cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
  cudaSetDevice(0);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventDestroy(begin) == cudaSuccess);
  CHECK(cudaEventDestroy(end) == cudaSuccess);
  CHECK(simt::live_handles() == before);
}

TEST_CASE("launches that a GPU would refuse are refused") {
  Fresh fresh;
  DeviceArray<unsigned> counter(1, 0u);
  DeviceArray<float> in(128, 1.f), out(128);
  CHECK(meet_all(counter.get(), 9, true) == cudaErrorCooperativeLaunchTooLarge);
  simt::options().cooperative_launch = false;
  CHECK(meet_all(counter.get(), 1, true) == cudaErrorNotSupported);
  CHECK(reverse_blocks(out.get(), in.get(), 128, 1, 49 << 10) == cudaErrorInvalidValue);  // not asked for by attribute
  CHECK(reverse_blocks(out.get(), in.get(), 128, 0, 512) == cudaErrorInvalidConfiguration);
  CHECK(launch_unknown() == cudaErrorInvalidDeviceFunction);
  CHECK(counter.host()[0] == 0);
}

TEST_CASE("launches from several host threads run one after the other") {
  Fresh fresh;
  DeviceArray<unsigned> counter(2, 0u);
  cudaError_t codes[2];
  std::thread first([&] { codes[0] = meet_all(counter.get(), 8, true); });
  std::thread second([&] { codes[1] = meet_all(counter.get() + 1, 8, true); });
  first.join();
  second.join();
  CHECK(codes[0] == cudaSuccess);
  CHECK(codes[1] == cudaSuccess);
  CHECK(counter.host() == std::vector<unsigned>{8, 8});
}
