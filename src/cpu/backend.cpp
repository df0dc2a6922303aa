// The CPU backend. A layer whose gradient fits into the cache is processed by one thread: the update directly follows
// the norm, so memory is read once. Larger layers are shared by all threads: each sums its part of the tiles, they meet
// at a barrier where the last one to arrive computes the layer's scalars, and then each updates its own part from the
// end, since the tiles summed last are still in its cache. Threads that wait at the barrier work on small layers
// meanwhile.
#include "backend.h"

#include <unistd.h>

#include <memory>

#include "cpu/cores.h"
#include "cpu/float_modes.h"
#include "cpu/isa.h"
#include "cpu/schedule.h"
#include "cpu/staging.h"
#include "cpu/threads.h"
#include "layerwise.h"

namespace layerwise {

LayerWork::~LayerWork() = default;

namespace {

// The largest layer, in elements, whose gradient stays in a thread's cache from the norm to the update, while weights
// and moments pass through the same cache.
int64_t cache_elements(const Dtypes& dtypes) {
  const long cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
  const int64_t bytes = cache > 0 ? cache : 1 << 20;
  return bytes * 3 / 4 / (size_of(dtypes.grads) + size_of(dtypes.weights) + size_of(dtypes.first_moment));
}

class CpuBackend final : public Backend, private LayerWorkers {
 public:
  CpuBackend(const PlanDescription& plan, int32_t isa, int threads)
      : layout_(plan.layout),
        dtypes_(plan.dtypes),
        isa_(isa),
        functions_(step_functions_for(isa)),
        schedule_(plan.layout, cache_elements(plan.dtypes), threads),
        layer_options_(plan.layout.layers.size(), kPlainLayer),
        staged_(std::make_unique_for_overwrite<StagedTile[]>(static_cast<size_t>(threads))),
        scratch_(threads),
        deal_(schedule_.bundles, threads),
        threads_(threads) {
    const int64_t shared = schedule_.most_shared_tiles, own = schedule_.most_bundled_tiles;
    constexpr int64_t kApart = 128 / sizeof(double);  // threads write these: keep them in different cache lines
    sums_.resize(2 * shared + threads * (kApart + 2 * own));
    shared_sums_ = {sums_.data(), sums_.data() + shared};
    for (int t = 0; t < threads; ++t) {
      double* const sums = sums_.data() + 2 * shared + kApart + t * (kApart + 2 * own);
      scratch_[t] = {{sums, sums + own}, &staged_[t], 0};
    }
  }

  void set_layers(const std::vector<LayerOptions>& layers) override { layer_options_ = layers; }
  void reset() override {}
  BackendFacts facts() const override { return {threads_, isa_, 0, LAYERWISE_PATH_CPU, 0, 0, 0}; }

  void novograd(const NovogradStep& step, void*) override { start(functions_.novograd, step); }
  void larc(const LarcStep& step, void*) override { start(functions_.larc, step); }
  void norms(const PartialNorms& norms, void*) override {
    zero_sums_of_absent_layers(norms);
    start(functions_.norms, norms);
  }

 private:
  // Writes the sums of layers that no thread sums: empty, masked or not counted.
  void zero_sums_of_absent_layers(const PartialNorms& norms) const {
    for (size_t layer = 0; layer < layout_.layers.size(); ++layer) {
      if (layout_.layers[layer].size > 0 && !layer_options_[layer].not_counted &&
          !is_masked(norms.buffers, layout_.scattered, static_cast<int64_t>(layer)))
        continue;
      norms.grad_sums[layer] = 0;
      if (norms.weight_sums) norms.weight_sums[layer] = 0;
    }
  }

  template <class Step>
  void start(StepFunctions::Function<Step> function, const Step& step) {
    FloatingPointModes modes;
    if (step_is_cancelled(step.buffers)) return;
    for (Scratch& scratch : scratch_) scratch.nonfinite_layers = 0;
    function({layout_.layers.data(), layer_options_.data(), dtypes_, layout_.scattered}, step, *this);
    if (step.buffers.nonfinite_layers)
      for (const Scratch& scratch : scratch_) *step.buffers.nonfinite_layers += scratch.nonfinite_layers;
    if (step.buffers.advanced_step) ++*step.buffers.advanced_step;
  }

  void run(LayerWork& work) override {
    deal_.restart();
    Meeting meeting;
    process_threads_.run(schedule_.most_threads, [&](Member member) {
      FloatingPointModes modes;
      const auto step_a_bundle = [&] {
        const Bundle* const bundle = deal_.take(member.thread);
        if (bundle) work.step_layers(bundle->begin, bundle->end, scratch_[member.thread]);
        return bundle != nullptr;
      };
      for (int64_t layer : schedule_.shared)
        if (work.takes_part(layer)) step_together(work, layer, member, meeting, step_a_bundle);
      while (step_a_bundle()) {
      }
    });
  }

  template <class OtherWork>
  void step_together(LayerWork& work, int64_t layer, Member member, Meeting& meeting, const OtherWork& other_work) {
    const int64_t tiles = tiles_of(layout_.layers[layer].size);
    const int64_t begin = tiles * member.thread / member.size, end = tiles * (member.thread + 1) / member.size;
    Scratch& scratch = scratch_[member.thread];
    work.sum_tiles(layer, begin, end, shared_sums_, scratch);
    meeting.join(member.size, [&] { work.finish_norms(layer, shared_sums_, scratch); }, other_work);
    work.update_tiles(layer, begin, end, scratch);
  }

  const Layout& layout_;  // of the plan, which outlives its backend
  const Dtypes dtypes_;
  const int32_t isa_;
  const StepFunctions& functions_;
  const Schedule schedule_;
  std::vector<LayerOptions> layer_options_;
  std::vector<double> sums_;
  LayerSums shared_sums_;  // of the shared layer that is being processed
  std::unique_ptr<StagedTile[]> staged_;  // not initialized, so that it takes no memory until a step uses it
  std::vector<Scratch> scratch_;
  Deal deal_;
  const int threads_;  // the most threads that a step uses
  Threads process_threads_;
};

}  // namespace

int64_t cpu_workspace_bytes(const PlanDescription& plan) {
  checked_isa(plan.isa);
  return 0;
}

std::unique_ptr<Backend> make_cpu_backend(const PlanDescription& plan) {
  const int threads = plan.threads > 0 ? plan.threads : available_cores();
  return std::make_unique<CpuBackend>(plan, checked_isa(plan.isa), threads);
}

std::string cpu_info() {
  return std::string("CPU backend: ") + step_functions_for(checked_isa(0)).name + ", " +
         std::to_string(available_cores()) + " cores\n";
}

}  // namespace layerwise
