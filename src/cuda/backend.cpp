// The CUDA backend: uploads a plan's tables once; a step is one launch on the caller's stream, or two, and nothing else.
#include "backend.h"

#include "cuda/one_pass.h"
#include "cuda/workspace.h"

#ifndef LAYERWISE_CUDA_FOR  // what the kernels are compiled for, as CMake says it
#define LAYERWISE_CUDA_FOR "unknown"
#endif

namespace layerwise {
namespace {

int device_count(cudaError_t* why) {
  int count = 0;
  *why = cudaGetDeviceCount(&count);
  if (*why != cudaSuccess) cudaGetLastError();  // not an error of the caller's
  return *why == cudaSuccess ? count : 0;
}

// The kernels are compiled for compute capability 7.5 and newer.
constexpr int kOldestCapability = 75;

int capability_of(int device) {
  return 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
         attribute(cudaDevAttrComputeCapabilityMinor, device);
}

void check_device(int device) {
  cudaError_t why;
  const int count = device_count(&why);
  if (count == 0)
    fail(LAYERWISE_ERROR_NO_CUDA, "device is %d; CUDA finds no device here: %s", device,
         why == cudaSuccess ? "the count is 0" : cudaGetErrorString(why));
  if (device >= count)
    fail(LAYERWISE_ERROR_NO_CUDA, "device is %d; CUDA finds %d devices, numbered from 0", device, count);
  const int capability = capability_of(device);
  if (capability < kOldestCapability)
    fail(LAYERWISE_ERROR_NO_CUDA, "device %d has compute capability %d.%d; it must be %d.%d or newer", device,
         capability / 10, capability % 10, kOldestCapability / 10, kOldestCapability % 10);
}

// A library is often built for the GPUs of the machine that built it.
void check_code(cudaError_t loaded, int device) {
  if (loaded == cudaErrorNoKernelImageForDevice) {
    cudaGetLastError();  // reported here
    const int capability = capability_of(device);
    fail(LAYERWISE_ERROR_NO_CUDA,
         "device %d has compute capability %d.%d; this library was built for " LAYERWISE_CUDA_FOR
         " (CUDAARCHS=%d in the environment builds it for this device)",
         device, capability / 10, capability % 10, capability);
  }
  check(loaded, "load_norms");
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const PlanDescription& plan)
      : device_(plan.device),
        dtypes_(plan.dtypes),
        layout_(plan.layout, allows_one_pass(plan)),
        workspace_(plan.device, plan.workspace, plan.workspace_bytes, layout_.bytes),
        plan_(layout_.device_plan(plan.layout, workspace_.address())),
        limits_{usable_multiprocessors(plan)} {
    CurrentDevice current(device_);
    check_code(load_norms(dtypes_), device_);
    LAYERWISE_CUDA(load_novograd_update, dtypes_);
    LAYERWISE_CUDA(load_larc_scale_update, dtypes_);
    LAYERWISE_CUDA(load_larc_sgd_update, dtypes_);
    LAYERWISE_CUDA(load_apply, dtypes_);
    const Worklist list = build_worklist(plan.layout);
    upload(workspace_.at(layout_.layers), list.layers.data(), list.layers.size() * sizeof(DeviceLayer));
    upload(workspace_.at(layout_.tile_layer), list.tile_layer.data(), list.tile_layer.size() * sizeof(uint32_t));
    set_layers(std::vector<LayerOptions>(list.layers.size(), kPlainLayer));
    if (allows_one_pass(plan)) one_pass_ = OnePass(plan, layout_, workspace_);
    if (one_pass_.grads()) path_ = LAYERWISE_PATH_ONE_PASS;
    reset();
  }

  void set_layers(const std::vector<LayerOptions>& layers) override {
    CurrentDevice current(device_);
    upload(workspace_.at(layout_.options), layers.data(), layers.size() * sizeof(LayerOptions));
  }

  void reset() override {
    CurrentDevice current(device_);
    LAYERWISE_CUDA(cudaDeviceSynchronize);
    if (layout_.zeroed_bytes > 0)
      LAYERWISE_CUDA(cudaMemset, workspace_.at(layout_.arrivals), 0, static_cast<size_t>(layout_.zeroed_bytes));
    LAYERWISE_CUDA(cudaDeviceSynchronize);
  }

  void novograd(const NovogradStep& step, void* stream) override {
    CurrentDevice current(device_);
    const auto on = static_cast<cudaStream_t>(stream);
    if (step.given.grads) return LAYERWISE_CUDA(launch_novograd_apply, plan_, dtypes_, step, limits_, on);
    const bool ran = step.applies_larc
                         ? runs_in_one_pass(one_pass_.grads_and_weights(), launch_larc_novograd_one_pass, step, on)
                         : runs_in_one_pass(one_pass_.grads(), launch_novograd_one_pass, step, on);
    if (ran) return;
    LAYERWISE_CUDA(launch_novograd_norms, plan_, dtypes_, step, limits_, on);
    LAYERWISE_CUDA(launch_novograd_update, plan_, dtypes_, step, limits_, on);
  }

  void larc(const LarcStep& step, void* stream) override {
    CurrentDevice current(device_);
    const auto on = static_cast<cudaStream_t>(stream);
    if (step.given.grads) return LAYERWISE_CUDA(launch_larc_apply, plan_, dtypes_, step, limits_, on);
    const bool updates_read_weights = step.applies_sgd || step.larc.decay_in_factor;
    const OnePassLaunch* const one_pass = updates_read_weights ? one_pass_.grads_and_weights() : one_pass_.grads();
    if (runs_in_one_pass(one_pass, step.applies_sgd ? launch_larc_sgd_one_pass : launch_larc_scale_one_pass, step, on))
      return;
    LAYERWISE_CUDA(launch_larc_norms, plan_, dtypes_, step, limits_, on);
    if (step.applies_sgd)
      LAYERWISE_CUDA(launch_larc_sgd_update, plan_, dtypes_, step, limits_, on);
    else
      LAYERWISE_CUDA(launch_larc_scale_update, plan_, dtypes_, step, limits_, on);
  }

  void norms(const PartialNorms& norms, void* stream) override {
    CurrentDevice current(device_);
    LAYERWISE_CUDA(launch_partial_norms, plan_, dtypes_, norms, limits_, static_cast<cudaStream_t>(stream));
  }

  BackendFacts facts() const override {
    return {0, 0, layout_.bytes, path_, one_pass_.held_grads(), one_pass_.held_weights()};
  }

 private:
  const int device_;
  const Dtypes dtypes_;

  // False, with nothing launched, where this step has no one-pass launch, or not all of its blocks would be resident: the
  // context may have fewer multiprocessors by now (MPS, green contexts).
  template <class Step>
  bool runs_in_one_pass(const OnePassLaunch* one_pass,
                        cudaError_t (*launch)(const DevicePlan&, const OnePassWork&, const OnePassShape&, const Dtypes&,
                                              const Step&, cudaStream_t),
                        const Step& step, cudaStream_t stream) {
    path_ = LAYERWISE_PATH_TWO_PASS;
    if (!one_pass || attribute(cudaDevAttrMultiProcessorCount, device_) < limits_.multiprocessors) return false;
    const cudaError_t status = launch(plan_, one_pass->work, one_pass->shape, dtypes_, step, stream);
    if (status == cudaErrorCooperativeLaunchTooLarge) {
      cudaGetLastError();  // not an error of the caller's
      return false;
    }
    check(status, "the launch of the one-pass step");
    path_ = LAYERWISE_PATH_ONE_PASS;
    return true;
  }

  const WorkspaceLayout layout_;
  const Workspace workspace_;
  const DevicePlan plan_;
  const DeviceLimits limits_;
  OnePass one_pass_;
  int64_t path_ = LAYERWISE_PATH_TWO_PASS;  // of the last step
};

}  // namespace

int64_t cuda_workspace_bytes(const PlanDescription& plan) { return WorkspaceLayout(plan.layout, allows_one_pass(plan)).bytes; }

std::unique_ptr<Backend> make_cuda_backend(const PlanDescription& plan) {
  check_device(plan.device);
  return std::make_unique<CudaBackend>(plan);
}

std::string cuda_info() {
  cudaError_t why;
  const int count = device_count(&why);
  int runtime = 0;
  cudaRuntimeGetVersion(&runtime);
  std::string info = "CUDA built for: compute capability " LAYERWISE_CUDA_FOR "\nCUDA backend: runtime " +
                     std::to_string(runtime / 1000) + "." + std::to_string(runtime % 1000 / 10);
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
