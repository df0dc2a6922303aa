// The CUDA runtime with every call checked, and what it hands out with an owner.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

namespace bench {

struct OutOfMemory : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws std::runtime_error with CUDA's words; OutOfMemory where that is what they say.
void check_cuda(cudaError_t status, const char* call);
#define BENCH_CUDA(function, ...) ::bench::check_cuda(function(__VA_ARGS__), #function)

// What went wrong since the last look, of launches too; waits for the device.
void check_device();

int device_attribute(cudaDeviceAttr which);
int64_t free_device_bytes();

class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(int64_t bytes);
  ~DeviceBuffer() { cudaFree(address_); }
  DeviceBuffer(DeviceBuffer&& other) noexcept : address_(other.address_), bytes_(other.bytes_) {
    other.address_ = nullptr;
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  void* get() const { return address_; }
  int64_t bytes() const { return bytes_; }

 private:
  void* address_ = nullptr;
  int64_t bytes_ = 0;
};

// Host memory that the device copies from and to at full speed.
class PinnedBuffer {
 public:
  explicit PinnedBuffer(int64_t bytes) { BENCH_CUDA(cudaMallocHost, &address_, static_cast<size_t>(bytes)); }
  ~PinnedBuffer() { cudaFreeHost(address_); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;

  void* get() const { return address_; }

 private:
  void* address_ = nullptr;
};

class Stream {
 public:
  Stream() { BENCH_CUDA(cudaStreamCreateWithFlags, &stream_, cudaStreamNonBlocking); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void wait() const { BENCH_CUDA(cudaStreamSynchronize, stream_); }

 private:
  cudaStream_t stream_ = nullptr;
};

// What `work` does on the stream, captured.
class Graph {
 public:
  Graph(const Stream& stream, const std::function<void()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(const Stream& stream) const { BENCH_CUDA(cudaGraphLaunch, executable_, stream.get()); }
  int64_t nodes() const { return static_cast<int64_t>(nodes_); }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
  size_t nodes_ = 0;
};

// The times, in microseconds between two events, of `repeats` runs of `work`, each waited for.
std::vector<double> event_microseconds(const Stream& stream, int repeats, const std::function<void()>& work);

// Of the host, to launch `work` on an idle stream; not waited for: the median of a few.
double host_microseconds(const Stream& stream, const std::function<void()>& work);

double quantile(std::vector<double> values, double q);

}  // namespace bench
