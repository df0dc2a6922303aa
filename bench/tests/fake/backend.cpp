// The library's CUDA backend for the pretended runtime: the CPU backend, launched on streams, that says it ran in the
// path in which the CUDA backend would.
//   FAKE_CUDA_FLAW=n       spoils one bit of the weights in the n-th step that runs, so that a test can see it found;
//                          every: a byte in every step, and of the sums in every call for norms
//   FAKE_CUDA_FLAW_COPY=1  of the weights' copy instead
//   FAKE_CUDA_FLAW_PATH=p  only steps of that path count, and are spoiled
//   FAKE_CUDA_REFUSES=1    no launch of a one-pass step has all its blocks resident
#include "backend.h"

#include <cstdlib>
#include <string_view>

#include "cuda/worklist.h"
#include "cudart.h"
#include "kernels/tuning.h"
#include "layerwise.h"

namespace layerwise {
namespace {

constexpr std::string_view kEvery = "every";
int steps_run = 0;

void spoil(const std::string_view& flaw, uint8_t* byte) {
  constexpr uint8_t kMark = 0x5a;  // what every step leaves: of one bit turned in each, as many might turn it back
  ++steps_run;
  if (flaw == kEvery)
    *byte = kMark;
  else if (steps_run == std::atoi(flaw.data()))
    *byte ^= 1;
}

class FakeBackend final : public Backend {
 public:
  explicit FakeBackend(const PlanDescription& plan) : plan_(plan) {
    plan_.threads = 1;
    cpu_ = make_cpu_backend(plan_);
    held_grads_ = held(size_of(plan.dtypes.grads));
    held_weights_ = held(size_of(plan.dtypes.grads) + size_of(plan.dtypes.weights));
    path_ = held_grads_ > 0 ? LAYERWISE_PATH_ONE_PASS : LAYERWISE_PATH_TWO_PASS;
  }

  void set_layers(const std::vector<LayerOptions>& layers) override { cpu_->set_layers(layers); }
  void reset() override {}
  BackendFacts facts() const override { return {0, 0, 256, path_, held_grads_, held_weights_, plan_.experimental}; }

  void novograd(const NovogradStep& step, void* stream) override {
    const int64_t path = take_path(step.given.grads != nullptr);
    launch(stream, [this, step, path] { run([&] { cpu_->novograd(step, nullptr); }, step.buffers, path); });
  }
  void larc(const LarcStep& step, void* stream) override {
    const int64_t path = take_path(step.given.grads != nullptr);
    launch(stream, [this, step, path] { run([&] { cpu_->larc(step, nullptr); }, step.buffers, path); });
  }
  void norms(const PartialNorms& norms, void* stream) override {
    launch(stream, [this, norms] {
      cpu_->norms(norms, nullptr);
      if (const char* const flaw = std::getenv("FAKE_CUDA_FLAW"); flaw && kEvery == flaw)
        spoil(flaw, reinterpret_cast<uint8_t*>(norms.grad_sums));
    });
  }

 private:
  static void launch(void* stream, std::function<void()> work) {
    fake::launch(static_cast<cudaStream_t>(stream), std::move(work));
  }

  // Elements held where a one-pass step is made, else 0.
  int64_t held(int element_bytes) const {
    if (plan_.path == LAYERWISE_PATH_TWO_PASS) return 0;
    const HoldShape shape = hold_shape(fake::kSharedMemory, kTileElements * element_bytes);
    const int64_t all = fake::kMultiprocessors,
                  used = plan_.multiprocessors > 0 ? std::min(all, plan_.multiprocessors) : all;
    const OnePassList list = one_pass_list(plan_.layout, used * shape.blocks * shape.slots);
    return plan_.path == LAYERWISE_PATH_ONE_PASS || is_better_in_one_pass(list, plan_.layout) ? list.held_elements : 0;
  }

  int64_t take_path(bool applies) {
    if (applies) return path_;
    return path_ =
               held_grads_ > 0 && !std::getenv("FAKE_CUDA_REFUSES") ? LAYERWISE_PATH_ONE_PASS : LAYERWISE_PATH_TWO_PASS;
  }

  template <class Work>
  void run(Work&& work, const StepBuffers& buffers, int64_t path) {
    work();
    const char *const flaw = std::getenv("FAKE_CUDA_FLAW"), *const only = std::getenv("FAKE_CUDA_FLAW_PATH");
    if (!flaw || (only && std::atoi(only) != path)) return;
    void* const buffer = std::getenv("FAKE_CUDA_FLAW_COPY") ? buffers.weights_extra : buffers.weights;
    if (!buffer) return;
    const bool scattered = plan_.layout.scattered;
    spoil(flaw, static_cast<uint8_t*>(scattered ? *static_cast<void**>(buffer) : buffer));
  }

  PlanDescription plan_;  // outlives what is made of it
  std::unique_ptr<Backend> cpu_;
  int64_t held_grads_ = 0, held_weights_ = 0, path_ = LAYERWISE_PATH_TWO_PASS;
};

}  // namespace

int64_t cuda_workspace_bytes(const PlanDescription&) { return 256; }
std::unique_ptr<Backend> make_cuda_backend(const PlanDescription& plan) { return std::make_unique<FakeBackend>(plan); }
std::string cuda_info() { return "CUDA backend: pretended\n"; }

}  // namespace layerwise
