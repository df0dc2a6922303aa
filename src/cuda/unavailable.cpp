// Replaces the CUDA backend in a library that is built without CUDA.
#include "backend.h"
#include "error.h"
#include "layerwise.h"

namespace layerwise {
namespace {

[[noreturn]] void unavailable(const PlanDescription& plan) {
  fail(LAYERWISE_ERROR_NO_CUDA,
       "device is %d; this library was built without CUDA (LAYERWISE_CUDA=ON builds it with), so it must be "
       "LAYERWISE_DEVICE_CPU (-1)",
       plan.device);
}

}  // namespace

int64_t cuda_workspace_bytes(const PlanDescription& plan) { unavailable(plan); }
std::unique_ptr<Backend> make_cuda_backend(const PlanDescription& plan) { unavailable(plan); }
std::string cuda_info() { return "CUDA backend: not built\n"; }

}  // namespace layerwise
