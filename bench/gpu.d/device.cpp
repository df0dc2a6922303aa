#include "gpu.d/device.h"

#include <algorithm>
#include <chrono>
#include <string>

namespace bench {
namespace {

class Event {
 public:
  Event() { BENCH_CUDA(cudaEventCreate, &event_); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

void check_cuda(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  const std::string words = std::string(call) + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) throw OutOfMemory(words);
  throw std::runtime_error(words);
}

void check_device() {
  check_cuda(cudaGetLastError(), "launch");
  BENCH_CUDA(cudaDeviceSynchronize);
}

int device_attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  BENCH_CUDA(cudaGetDevice, &device);
  BENCH_CUDA(cudaDeviceGetAttribute, &value, which, device);
  return value;
}

int64_t free_device_bytes() {
  size_t free = 0, total = 0;
  BENCH_CUDA(cudaMemGetInfo, &free, &total);
  return static_cast<int64_t>(free);
}

DeviceBuffer::DeviceBuffer(int64_t bytes) : bytes_(bytes) {
  if (bytes > 0) BENCH_CUDA(cudaMalloc, &address_, static_cast<size_t>(bytes));
}

Graph::Graph(const Stream& stream, const std::function<void()>& work) {
  // The strictest mode: a step that allocates or waits fails the capture.
  BENCH_CUDA(cudaStreamBeginCapture, stream.get(), cudaStreamCaptureModeGlobal);
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream.get(), &graph_);
    if (graph_) cudaGraphDestroy(graph_);
    throw;
  }
  BENCH_CUDA(cudaStreamEndCapture, stream.get(), &graph_);
  const cudaError_t counted = cudaGraphGetNodes(graph_, nullptr, &nodes_);
  const cudaError_t status = counted ? counted : cudaGraphInstantiate(&executable_, graph_, 0);
  if (status == cudaSuccess) return;
  cudaGraphDestroy(graph_);
  check_cuda(status, counted ? "cudaGraphGetNodes" : "cudaGraphInstantiate");
}

Graph::~Graph() {
  cudaGraphExecDestroy(executable_);
  cudaGraphDestroy(graph_);
}

std::vector<double> event_microseconds(const Stream& stream, int repeats, const std::function<void()>& work) {
  const Event begin, end;
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    BENCH_CUDA(cudaEventRecord, begin.get(), stream.get());
    work();
    BENCH_CUDA(cudaEventRecord, end.get(), stream.get());
    BENCH_CUDA(cudaEventSynchronize, end.get());
    float milliseconds = 0;
    BENCH_CUDA(cudaEventElapsedTime, &milliseconds, begin.get(), end.get());
    times.push_back(milliseconds * 1e3);
  }
  return times;
}

double host_microseconds(const Stream& stream, const std::function<void()>& work) {
  constexpr int kRepeats = 11;
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    stream.wait();
    const auto begin = std::chrono::steady_clock::now();
    work();
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }
  stream.wait();
  return quantile(times, 0.5);
}

double quantile(std::vector<double> values, double q) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace bench
