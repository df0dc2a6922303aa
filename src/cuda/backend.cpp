// The CUDA backend: uploads a plan's tables once; a step is two launches on the caller's stream, one where the caller
// has the norms, and nothing else.
#include "backend.h"

#include <cuda_runtime_api.h>

#include "cuda/worklist.h"
#include "error.h"
#include "kernels/launch.h"
#include "layerwise.h"

namespace layerwise {
namespace {

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // reported here; not left for the caller to find
  const int32_t family = status == cudaErrorMemoryAllocation ? LAYERWISE_ERROR_OUT_OF_MEMORY : LAYERWISE_ERROR_CUDA;
  fail(family, "%s failed: %s (%s)", call, cudaGetErrorName(status), cudaGetErrorString(status));
}
#define LAYERWISE_CUDA(call, ...) check(call(__VA_ARGS__), #call)

// Makes a device current while it lives; the caller's comes back.
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

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  LAYERWISE_CUDA(cudaDeviceGetAttribute, &value, which, device);
  return value;
}

int device_count(cudaError_t* why) {
  int count = 0;
  *why = cudaGetDeviceCount(&count);
  if (*why != cudaSuccess) cudaGetLastError();  // not an error of the caller's
  return *why == cudaSuccess ? count : 0;
}

// The kernels are compiled for compute capability 7.5 and newer.
constexpr int kOldestCapability = 75;

void check_device(int device) {
  cudaError_t why;
  const int count = device_count(&why);
  if (count == 0)
    fail(LAYERWISE_ERROR_NO_CUDA, "device is %d; CUDA finds no device here: %s", device,
         why == cudaSuccess ? "the count is 0" : cudaGetErrorString(why));
  if (device >= count)
    fail(LAYERWISE_ERROR_NO_CUDA, "device is %d; CUDA finds %d devices, numbered from 0", device, count);
  const int capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
                         attribute(cudaDevAttrComputeCapabilityMinor, device);
  if (capability < kOldestCapability)
    fail(LAYERWISE_ERROR_NO_CUDA, "device %d has compute capability %d.%d; it must be %d.%d or newer", device,
         capability / 10, capability % 10, kOldestCapability / 10, kOldestCapability % 10);
}

// The caller's memory, or memory of the plan's own.
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

void upload(void* to, const void* from, size_t bytes) {
  if (bytes > 0) LAYERWISE_CUDA(cudaMemcpy, to, from, bytes, cudaMemcpyHostToDevice);
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const PlanDescription& plan)
      : device_(plan.device),
        dtypes_(plan.dtypes),
        layout_(plan.layout),
        workspace_(plan.device, plan.workspace, plan.workspace_bytes, layout_.bytes),
        plan_(layout_.device_plan(plan.layout, workspace_.address())),
        limits_{attribute(cudaDevAttrMultiProcessorCount, plan.device)} {
    CurrentDevice current(device_);
    LAYERWISE_CUDA(load_norms, dtypes_);
    LAYERWISE_CUDA(load_novograd_update, dtypes_);
    LAYERWISE_CUDA(load_larc_update, dtypes_);
    LAYERWISE_CUDA(load_apply, dtypes_);
    const Worklist list = build_worklist(plan.layout);
    upload(workspace_.at(layout_.layers), list.layers.data(), list.layers.size() * sizeof(DeviceLayer));
    upload(workspace_.at(layout_.tile_layer), list.tile_layer.data(), list.tile_layer.size() * sizeof(uint32_t));
    set_layers(std::vector<LayerOptions>(list.layers.size(), LayerOptions{1, 1, 0}));
    reset();
  }

  void set_layers(const std::vector<LayerOptions>& layers) override {
    CurrentDevice current(device_);
    upload(workspace_.at(layout_.options), layers.data(), layers.size() * sizeof(LayerOptions));
  }

  void reset() override {
    CurrentDevice current(device_);
    LAYERWISE_CUDA(cudaDeviceSynchronize);
    if (layout_.arrivals_bytes > 0)
      LAYERWISE_CUDA(cudaMemset, workspace_.at(layout_.arrivals), 0, static_cast<size_t>(layout_.arrivals_bytes));
    LAYERWISE_CUDA(cudaDeviceSynchronize);
  }

  void novograd(const NovogradStep& step, void* stream) override {
    CurrentDevice current(device_);
    const auto on = static_cast<cudaStream_t>(stream);
    if (step.given.grads) return LAYERWISE_CUDA(launch_novograd_apply, plan_, dtypes_, step, limits_, on);
    LAYERWISE_CUDA(launch_novograd_norms, plan_, dtypes_, step, limits_, on);
    LAYERWISE_CUDA(launch_novograd_update, plan_, dtypes_, step, limits_, on);
  }

  void larc(const LarcStep& step, void* stream) override {
    CurrentDevice current(device_);
    const auto on = static_cast<cudaStream_t>(stream);
    if (step.given.grads) return LAYERWISE_CUDA(launch_larc_apply, plan_, dtypes_, step, limits_, on);
    LAYERWISE_CUDA(launch_larc_norms, plan_, dtypes_, step, limits_, on);
    LAYERWISE_CUDA(launch_larc_update, plan_, dtypes_, step, limits_, on);
  }

  void norms(const PartialNorms& norms, void* stream) override {
    CurrentDevice current(device_);
    LAYERWISE_CUDA(launch_partial_norms, plan_, dtypes_, norms, limits_, static_cast<cudaStream_t>(stream));
  }

  BackendFacts facts() const override { return {0, 0, layout_.bytes, LAYERWISE_PATH_TWO_PASS}; }

 private:
  const int device_;
  const Dtypes dtypes_;
  const WorkspaceLayout layout_;
  const Workspace workspace_;
  const DevicePlan plan_;
  const DeviceLimits limits_;
};

}  // namespace

int64_t cuda_workspace_bytes(const PlanDescription& plan) { return WorkspaceLayout(plan.layout).bytes; }

std::unique_ptr<Backend> make_cuda_backend(const PlanDescription& plan) {
  check_device(plan.device);
  return std::make_unique<CudaBackend>(plan);
}

std::string cuda_info() {
  cudaError_t why;
  const int count = device_count(&why);
  int runtime = 0;
  cudaRuntimeGetVersion(&runtime);
  std::string info = "CUDA backend: runtime " + std::to_string(runtime / 1000) + "." + std::to_string(runtime % 1000 / 10);
  if (count == 0) return info + ", no device (" + (why == cudaSuccess ? "the count is 0" : cudaGetErrorString(why)) + ")\n";
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) continue;
    info += "\n  device " + std::to_string(device) + ": " + properties.name + ", compute capability " +
            std::to_string(properties.major) + "." + std::to_string(properties.minor) + ", " +
            std::to_string(properties.multiProcessorCount) + " multiprocessors";
  }
  return info + "\n";
}

}  // namespace layerwise
