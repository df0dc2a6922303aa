// The CUDA backend. Creating a plan uploads its tables; a step is then nothing but one or two launches on the caller's
// stream.
#include "backend.h"

#include "cuda/one_pass.h"
#include "cuda/workspace.h"

#ifndef LAYERWISE_CUDA_FOR  // set by CMake: the architectures that the kernels are compiled for
#define LAYERWISE_CUDA_FOR "unknown"
#endif

namespace layerwise {
namespace {

int device_count(cudaError_t* why) {
  int count = 0;
  *why = cudaGetDeviceCount(&count);
  if (*why != cudaSuccess) cudaGetLastError();  // clear it: the caller must not find our error
  return *why == cudaSuccess ? count : 0;
}

// The kernels are compiled for compute capability 7.5 and newer; experimental ways of running them need 9.0.
constexpr int kOldestCapability = 75, kOldestExperimental = 90;

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

// Libraries are often built only for the GPUs of the machine that built them, so the error says how to build for this
// device.
void check_code(cudaError_t loaded, int device) {
  if (loaded == cudaErrorNoKernelImageForDevice) {
    cudaGetLastError();  // clear it: it is reported below
    const int capability = capability_of(device);
    fail(LAYERWISE_ERROR_NO_CUDA,
         "device %d has compute capability %d.%d; this library was built for " LAYERWISE_CUDA_FOR
         " (CUDAARCHS=%d in the environment builds it for this device)",
         device, capability / 10, capability % 10, capability);
  }
  check(loaded, "loading the kernels");
}

// Of the experimental ways that a plan is given those that its device has, and the code in this library.
int64_t experimental_of(const PlanDescription& plan) {
  if (plan.experimental == 0 || capability_of(plan.device) < kOldestExperimental) return 0;
  CurrentDevice current(plan.device);
  int compiled_for = 0;
  check_code(novograd_kernels(plan.dtypes).compiled_for(&compiled_for), plan.device);
  return compiled_for < kOldestExperimental ? 0 : plan.experimental;
}

// Whether a launch was refused because of its shape, so that nothing was launched. None of these can be the failure of
// an earlier kernel, which later launches report as well.
bool was_refused(cudaError_t status) {
  switch (status) {
    case cudaErrorCooperativeLaunchTooLarge:
    case cudaErrorInvalidValue:  // more shared memory than this context lets the kernel have
    case cudaErrorInvalidConfiguration:
    case cudaErrorLaunchOutOfResources:
    case cudaErrorNotSupported:
      return true;
    default:
      return false;
  }
}

bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream, &status) == cudaSuccess) return status == cudaStreamCaptureStatusActive;
  // This fails for the legacy stream while another stream is captured. The launch will report that; clear it here.
  cudaGetLastError();
  return false;
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const PlanDescription& plan)
      : device_(plan.device),
        dtypes_(plan.dtypes),
        layout_(plan.layout, allows_one_pass(plan)),
        workspace_(plan.device, plan.workspace, plan.workspace_bytes, layout_.bytes),
        plan_(layout_.device_plan(plan.layout, workspace_.address())),
        experimental_(experimental_of(plan)),
        kernels_(plan.dtypes, (experimental_ & LAYERWISE_EXPERIMENTAL_BULK_COPY) != 0),
        limits_{usable_multiprocessors(plan), (experimental_ & LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH) != 0} {
    CurrentDevice current(device_);
    check_code(kernels_.sums.load(), device_);
    for_each(kernels_, [](const auto& of_step) {
      LAYERWISE_CUDA(of_step.load);
      LAYERWISE_CUDA(of_step.one_pass.load);
    });
    const Worklist list = build_worklist(plan.layout);
    plan_.units = static_cast<int64_t>(list.update_units.size());
    plan_.extra_dtype = plan.dtypes.weights_extra;
    upload(workspace_.at(layout_.layers), list.layers.data(), list.layers.size() * sizeof(DeviceLayer));
    upload(workspace_.at(layout_.tile_layer), list.tile_layer.data(), list.tile_layer.size() * sizeof(uint32_t));
    upload(workspace_.at(layout_.update_units), list.update_units.data(), list.update_units.size() * sizeof(UpdateUnit));
    set_layers(std::vector<LayerOptions>(list.layers.size(), kPlainLayer));
    if (allows_one_pass(plan)) one_pass_ = OnePass(plan, kernels_, layout_, workspace_);
    if (one_pass_.is_chosen()) path_ = LAYERWISE_PATH_ONE_PASS;
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

  void novograd(const NovogradStep& step, void* stream) override { take(step, static_cast<cudaStream_t>(stream)); }
  void larc(const LarcStep& step, void* stream) override { take(step, static_cast<cudaStream_t>(stream)); }

  void norms(const PartialNorms& norms, void* stream) override {
    CurrentDevice current(device_);
    const auto launch = norms.weight_sums ? kernels_.sums.of_both : kernels_.sums.of_grads;
    LAYERWISE_CUDA(launch, plan_, norms, limits_, static_cast<cudaStream_t>(stream));
  }

  BackendFacts facts() const override {
    return {0, 0, layout_.bytes, path_, one_pass_.held_grads(), one_pass_.held_weights(), experimental_};
  }

 private:
  const int device_;
  const Dtypes dtypes_;

  template <class Step>
  void take(const Step& step, cudaStream_t stream) {
    CurrentDevice current(device_);
    const StepKernels<Step>& kernels = kernels_.of(step);
    if (!step.given.grads && runs_in_one_pass(kernels, step, stream)) return;
    const auto norms = step.given.grads ? kernels.given_norms : kernels.norms;
    LAYERWISE_CUDA(norms, plan_, step, limits_, stream);
    LAYERWISE_CUDA(kernels.update, plan_, step, limits_, stream);
  }

  // False, and nothing was launched, if this step has no one-pass launch or the launch was refused.
  template <class Step>
  bool runs_in_one_pass(const StepKernels<Step>& kernels, const Step& step, cudaStream_t stream) {
    path_ = LAYERWISE_PATH_TWO_PASS;
    const OnePassLaunch* const planned = one_pass_.of(step);
    if (!planned || attribute(cudaDevAttrMultiProcessorCount, device_) < limits_.multiprocessors) return false;
    // If a captured launch does not fit, instantiating the graph fails, when it is too late to fall back to two passes.
    if (is_capturing(stream) && !fits(kernels, planned->shape)) return false;
    const cudaError_t status = kernels.one_pass.launch(plan_, planned->work, planned->shape, step, stream);
    if (was_refused(status)) {
      cudaGetLastError();  // clear it: the caller must not find our error
      return false;
    }
    check(status, "the launch of the one-pass step");
    path_ = LAYERWISE_PATH_ONE_PASS;
    return true;
  }

  // Whether all blocks would be resident in the current context. It can differ from the one that the plan was created
  // in: under MPS or in a green context there may be fewer multiprocessors and other limits.
  template <class Step>
  bool fits(const StepKernels<Step>& kernels, const OnePassShape& shape) const {
    int blocks = 0;
    if (kernels.one_pass.resident_blocks(shape.shared_bytes, &blocks) != cudaSuccess) {
      cudaGetLastError();
      return false;
    }
    return int64_t{blocks} * attribute(cudaDevAttrMultiProcessorCount, device_) >= shape.blocks;
  }

  const WorkspaceLayout layout_;
  const Workspace workspace_;
  DevicePlan plan_;
  const int64_t experimental_;  // LAYERWISE_EXPERIMENTAL_ flags
  const PlanKernels kernels_;
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
