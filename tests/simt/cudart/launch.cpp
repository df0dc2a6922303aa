// Kernel launches. A kernel runs to its end before the launch returns, and the launch returns its failure:
// on a GPU that would come with a later call.
#include "overlap.h"
#include "state.h"

#include "../engine/engine.h"

#include <cstdio>
#include <cstdlib>

using namespace simt::cudart;

namespace {

bool legal(dim3 grid, dim3 block) {
  const auto threads = std::uint64_t(block.x) * block.y * block.z;
  return threads && threads <= 1024 && block.z <= 64 && grid.x && grid.x <= 0x7fffffff && grid.y && grid.z &&
         grid.y <= 65535 && grid.z <= 65535;
}

cudaError_t launch(const void* kernel, dim3 grid, dim3 block, void** arguments, std::size_t dynamic_shared,
                   cudaStream_t stream, bool cooperative, bool dependent) {
  if (const cudaError_t planned = entered("launch")) return planned;
  if (const cudaError_t code = check_stream(stream)) return code;
  const simt::Options& options = simt::options();
  simt::engine::Launch description{kernel, nullptr, arguments, grid, block, dynamic_shared, cooperative, dependent};
  {
    std::lock_guard lock(state().mutex);
    const Kernel* found = find_kernel(kernel);
    if (!found) return failed(cudaErrorInvalidDeviceFunction);
    if (dynamic_shared > std::size_t(found->dynamic_shared_limit)) return failed(cudaErrorInvalidValue);
    description.invoke = found->invoke;
  }
  if (!legal(grid, block)) return failed(cudaErrorInvalidConfiguration);
  if (dependent && options.compute_capability < 90) return failed(cudaErrorNotSupported);
  if (cooperative) {
    if (!options.cooperative_launch) return failed(cudaErrorNotSupported);
    const auto blocks = std::uint64_t(grid.x) * grid.y * grid.z;
    if (blocks > std::uint64_t(options.sms) * unsigned(options.blocks_per_sm)) {
      if (!options.capturing) return failed(cudaErrorCooperativeLaunchTooLarge);
      std::fprintf(stderr, "simt: a cooperative launch was captured whose graph cannot be instantiated\n");
      std::abort();
    }
  }
  if (dependent)
    undo_earlier_launch();
  else
    remember_memory();
  const cudaError_t ran = simt::engine::execute(description, redo_earlier_launch);
  const cudaError_t damage = check_allocations();
  return failed(ran ? ran : damage);
}

}  // namespace

extern "C" {

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments, size_t dynamic_shared,
                             cudaStream_t stream) {
  SIMT_ENTER(cudaLaunchKernel);
  return launch(kernel, grid, block, arguments, dynamic_shared, stream, false, false);
}

cudaError_t cudaLaunchCooperativeKernel(const void* kernel, dim3 grid, dim3 block, void** arguments,
                                        size_t dynamic_shared, cudaStream_t stream) {
  SIMT_ENTER(cudaLaunchCooperativeKernel);
  return launch(kernel, grid, block, arguments, dynamic_shared, stream, true, false);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments) {
  SIMT_ENTER(cudaLaunchKernelExC);
  if (!config) return failed(cudaErrorInvalidValue);
  bool cooperative = false, dependent = false;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    switch (attribute.id) {
      case cudaLaunchAttributeCooperative:
        cooperative = attribute.val.cooperative;
        break;
      case cudaLaunchAttributeProgrammaticStreamSerialization:
        dependent = attribute.val.programmaticStreamSerializationAllowed;
        break;
      case cudaLaunchAttributePriority:
      case cudaLaunchAttributeAccessPolicyWindow:
        break;  // hints that change no result
      default:
        std::fprintf(stderr, "simt: launch attribute %d is not pretended\n", int(attribute.id));
        return failed(cudaErrorNotSupported);
    }
  }
  return launch(kernel, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes, config->stream,
                cooperative, dependent);
}

}  // extern "C"
