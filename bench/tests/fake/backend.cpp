// The library's CUDA backend for the pretended runtime: the CPU backend, launched on streams. FAKE_CUDA_FLAW=n spoils
// one bit of the weights in the n-th step that runs, so that a test can see it found.
#include "backend.h"

#include <cstdlib>

#include "cudart.h"
#include "layerwise.h"
#include "gpu.d/rivals.h"

namespace layerwise {
namespace {

int steps_run = 0;

class FakeBackend final : public Backend {
 public:
  explicit FakeBackend(const PlanDescription& plan) : plan_(plan) {
    plan_.threads = 1;
    cpu_ = make_cpu_backend(plan_);
  }

  void set_layers(const std::vector<LayerOptions>& layers) override { cpu_->set_layers(layers); }
  void reset() override {}
  BackendFacts facts() const override { return {0, 0, 256, LAYERWISE_PATH_TWO_PASS, 0, 0}; }

  void novograd(const NovogradStep& step, void* stream) override {
    fake::launch(static_cast<cudaStream_t>(stream), [this, step] { run([&] { cpu_->novograd(step, nullptr); }, step.buffers); });
  }
  void larc(const LarcStep& step, void* stream) override {
    fake::launch(static_cast<cudaStream_t>(stream), [this, step] { run([&] { cpu_->larc(step, nullptr); }, step.buffers); });
  }

  void norms(const PartialNorms& norms, void* stream) override {
    fake::launch(static_cast<cudaStream_t>(stream), [this, norms] { cpu_->norms(norms, nullptr); });
  }

 private:
  template <class Work>
  void run(Work&& work, const StepBuffers& buffers) {
    work();
    const char* const flaw = std::getenv("FAKE_CUDA_FLAW");
    if (flaw && ++steps_run == std::atoi(flaw)) *static_cast<uint8_t*>(buffers.weights) ^= 1;
  }

  PlanDescription plan_;  // outlives what is made of it
  std::unique_ptr<Backend> cpu_;
};

}  // namespace

int64_t cuda_workspace_bytes(const PlanDescription&) { return 256; }
std::unique_ptr<Backend> make_cuda_backend(const PlanDescription& plan) { return std::make_unique<FakeBackend>(plan); }
std::string cuda_info() { return "CUDA backend: pretended\n"; }

}  // namespace layerwise

cudaError_t bench::segmented_norms(void* scratch, size_t& scratch_bytes, const float*, double* norms, int64_t layers,
                                   const int64_t* begins, const int64_t* ends, cudaStream_t) {
  if (!scratch) scratch_bytes = 8;
  for (int64_t l = 0; scratch && l < layers; ++l) norms[l] = static_cast<double>(ends[l] - begins[l]);
  return cudaSuccess;
}
