// The CPU backend. A layer whose gradient fits the cache is one thread's: its norm and its update follow each other,
// so memory is read once. A larger layer is shared: every thread sums its part of the tiles, they meet while one of
// them turns the sums into the layer's scalars, and each updates its own part backwards, newest tiles first, since
// those are still in its cache. Who waits for the others meanwhile works on the small layers.
#include "backend.h"

#include <unistd.h>

#include <algorithm>

#include "cpu/isa.h"
#include "cpu/operations.h"
#include "cpu/threads.h"
#include "layerwise.h"

namespace layerwise {
namespace {

// Layers [begin, end), worked on by one thread.
struct Bundle {
  int64_t begin, end;
};

// What is left of a thread's bundles. No two in one cache line, nor in the pair that some processors fetch.
struct alignas(128) Share {
  std::atomic<size_t> next;
  size_t end;
};

// Tiles that one update call walks forwards; the runs follow each other backwards. Measured: single tiles cost 5 % more.
constexpr int64_t kRunTiles = 8;

// Elements of a layer whose gradient stays in one thread's cache from the norm to the update, while the weights and
// the moment of those before it pass through the same cache.
int64_t cache_elements(const Dtypes& dtypes) {
  const long cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
  const int64_t bytes = cache > 0 ? cache : 1 << 20;
  return bytes * 3 / 4 / (size_of(dtypes.grads) + size_of(dtypes.weights) + size_of(dtypes.first_moment));
}

// Which layers are shared, which are bundled.
struct Schedule {
  std::vector<int64_t> shared;
  std::vector<Bundle> bundles;
  int64_t most_bundled_tiles = 0;  // of one layer

  Schedule(const Layout& layout, const Dtypes& dtypes, int threads) {
    // A layer alone must not keep one thread busy while the others are done; sharing costs about a microsecond.
    constexpr int64_t kWorthSharing = 8 * kTileElements;
    const int64_t fair_part = threads > 1 ? std::max(kWorthSharing, layout.elements / (4 * threads)) : layout.elements;
    const int64_t most = std::min(cache_elements(dtypes), fair_part);
    // Large enough for a thread to walk far without a step aside, small enough to end together.
    int64_t bundled = 0;
    for (const LayerExtent& layer : layout.layers) bundled += layer.size > most ? 0 : layer.size;
    const int64_t bundle_elements = std::clamp(bundled / (16 * threads), int64_t{4} * kTileElements, int64_t{32} * kTileElements);
    constexpr int64_t kBundleLayers = 256;
    int64_t elements = 0;
    Bundle bundle{0, 0};
    const auto close = [&](int64_t next) {
      if (bundle.end > bundle.begin) bundles.push_back(bundle);
      bundle = {next, next};
      elements = 0;
    };
    for (int64_t l = 0; l < static_cast<int64_t>(layout.layers.size()); ++l) {
      const int64_t size = layout.layers[l].size;
      if (size > most) {
        close(l + 1);
        shared.push_back(l);
        continue;
      }
      bundle.end = l + 1;
      elements += size;
      most_bundled_tiles = std::max(most_bundled_tiles, tiles_of(size));
      if (elements >= bundle_elements || bundle.end - bundle.begin >= kBundleLayers) close(l + 1);
    }
    close(0);
  }
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(const PlanDescription& plan, int32_t isa, int threads)
      : layout_(plan.layout),
        dtypes_(plan.dtypes),
        isa_(isa),
        kernels_(tile_kernels_for(isa)),
        schedule_(plan.layout, plan.dtypes, threads),
        layer_options_(plan.layout.layers.size(), LayerOptions{1, 1, 0}),
        shares_(threads),
        team_(threads) {
    int64_t shared_tiles = 0;
    for (int64_t layer : schedule_.shared) shared_tiles = std::max(shared_tiles, tiles_of(layout_.layers[layer].size));
    shared_sums_.resize(2 * shared_tiles);
    // No two threads' in one cache line: each layer writes its own.
    constexpr int64_t kApart = 128 / sizeof(double);
    thread_sums_.assign(threads, std::vector<double>(2 * schedule_.most_bundled_tiles + kApart));
    if (Staging::is_needed(dtypes_)) staged_.resize(threads);
  }

  void set_layers(const std::vector<LayerOptions>& layers) override { layer_options_ = layers; }
  void reset() override {}
  BackendFacts facts() const override { return {team_.size(), isa_, 0, LAYERWISE_PATH_CPU, 0, 0}; }

  void novograd(const NovogradStep& step, void*) override {
    FloatingPointModes modes;
    if (step_is_cancelled(step.buffers)) return;
    run(NovogradOperation(kernels_, dtypes_, step));
  }
  void larc(const LarcStep& step, void*) override {
    FloatingPointModes modes;
    if (step_is_cancelled(step.buffers)) return;
    run(LarcOperation(kernels_, dtypes_, step));
  }
  void norms(const PartialNorms& norms, void*) override {
    FloatingPointModes modes;
    run(NormsOperation(kernels_, dtypes_, norms));
  }

 private:
  template <class Operation>
  void run(const Operation& operation) {
    for (int t = 0; t <= team_.size(); ++t) {
      const size_t begin = schedule_.bundles.size() * t / team_.size();
      if (t < team_.size()) shares_[t].next.store(begin, std::memory_order_relaxed);
      if (t > 0) shares_[t - 1].end = begin;
    }
    std::atomic<int64_t> nonfinite{0};
    LayerUpdate<typename Operation::Element> shared_update;
    team_.run([&](int thread) {
      FloatingPointModes modes;
      const auto run_a_bundle = [&] {
        const Bundle* const bundle = take_bundle(thread);
        if (!bundle) return false;
        for (int64_t layer = bundle->begin; layer < bundle->end; ++layer)
          run_alone(operation, layer, thread, nonfinite);
        return true;
      };
      for (int64_t layer : schedule_.shared)
        run_shared(operation, layer, thread, shared_update, nonfinite, run_a_bundle);
      while (run_a_bundle()) {
      }
    });
    const StepBuffers& buffers = operation.buffers();
    if (buffers.nonfinite_layers) *buffers.nonfinite_layers += nonfinite;
    if (buffers.advanced_step) ++*buffers.advanced_step;
  }

  // Its own share in order, so that a thread walks through memory, then what is left of the others'.
  const Bundle* take_bundle(int thread) {
    for (int i = 0; i < team_.size(); ++i) {
      Share& share = shares_[(thread + i) % team_.size()];
      const size_t b = share.next.fetch_add(1, std::memory_order_relaxed);
      if (b < share.end) return &schedule_.bundles[b];
    }
    return nullptr;
  }

  template <class Operation>
  void run_alone(const Operation& operation, int64_t layer, int thread, std::atomic<int64_t>& nonfinite) {
    if (layout_.layers[layer].size == 0 || !takes_part(operation.buffers(), layout_.scattered, layer)) return;
    const int64_t tiles = tiles_of(layout_.layers[layer].size);
    double* memory = thread_sums_[thread].data();
    const LayerSums sums{memory, memory + schedule_.most_bundled_tiles};
    fetch_start(buffers_of(operation, layer, 0, 1));
    sum_tiles(operation, layer, 0, tiles, sums, thread);
    const auto update = finish(operation, layer, sums, nonfinite);
    if (!update.takes_part) return;
    update_tiles(operation, layer, 0, tiles, update.element, thread);
  }

  void fetch_start(const TileBuffers& tile) {
    const auto fetch = [count = std::min<int64_t>(tile.count, 1024)](const void* address, Dtype dtype) {
      const char* const bytes = static_cast<const char*>(address);
      for (int64_t i = 0; bytes && i < count * size_of(dtype); i += 64) __builtin_prefetch(bytes + i);
    };
    fetch(tile.weights, dtypes_.weights);
    fetch(tile.first_moment, dtypes_.first_moment);
  }

  template <class Operation, class OtherWork>
  void run_shared(const Operation& operation, int64_t layer, int thread,
                  LayerUpdate<typename Operation::Element>& shared_update, std::atomic<int64_t>& nonfinite,
                  const OtherWork& other_work) {
    if (!takes_part(operation.buffers(), layout_.scattered, layer)) return;
    const int64_t tiles = tiles_of(layout_.layers[layer].size);
    const int64_t begin = tiles * thread / team_.size(), end = tiles * (thread + 1) / team_.size();
    const LayerSums sums{shared_sums_.data(), shared_sums_.data() + shared_sums_.size() / 2};
    sum_tiles(operation, layer, begin, end, sums, thread);
    team_.meet([&] { shared_update = finish(operation, layer, sums, nonfinite); }, other_work);
    const auto update = shared_update;
    if (!update.takes_part) return;
    update_tiles(operation, layer, begin, end, update.element, thread);
  }

  template <class Operation>
  void sum_tiles(const Operation& operation, int64_t layer, int64_t begin, int64_t end, LayerSums sums, int thread) {
    if (!operation.sums_tiles()) return;
    StagedTile* const stage = staged_.empty() ? nullptr : &staged_[thread];
    for (int64_t tile = begin; tile < end; ++tile)
      operation.sum_tile(buffers_of(operation, layer, tile, tile + 1), sums, tile, stage);
  }

  template <class Operation>
  LayerUpdate<typename Operation::Element> finish(const Operation& operation, int64_t layer, LayerSums sums,
                                                  std::atomic<int64_t>& nonfinite) {
    const int64_t tiles = tiles_of(layout_.layers[layer].size);
    const auto update = operation.scalars(layer, layer_options_[layer], sums, tiles);
    if (!update.takes_part)
      nonfinite.fetch_add(1, std::memory_order_relaxed);
    else if (operation.buffers().layer_stats)
      operation.buffers().layer_stats[layer] = update.stats;
    return update;
  }

  template <class Operation>
  void update_tiles(const Operation& operation, int64_t layer, int64_t begin, int64_t end,
                    const typename Operation::Element& element, int thread) {
    if (operation.staging().is_used()) return update_staged(operation, layer, begin, end, element, staged_[thread]);
    for (; end > begin; end -= kRunTiles) {
      const TileBuffers tiles = buffers_of(operation, layer, std::max(begin, end - kRunTiles), end);
      operation.update(tiles, element);
      if (tiles.weights_extra) kernels_.copy(dtypes_.weights_extra)(tiles);
    }
  }

  template <class Operation>
  void update_staged(const Operation& operation, int64_t layer, int64_t begin, int64_t end,
                     const typename Operation::Element& element, StagedTile& stage) {
    const RandomKey key = random_key(operation.buffers(), layer, element.step);
    for (int64_t tile = end - 1; tile >= begin; --tile) {
      const TileBuffers stored = buffers_of(operation, layer, tile, tile + 1);
      operation.update(operation.staging().load(stored, stage), element);
      operation.staging().store(stage, stored, key, tile * kTileElements);
      if (stored.weights_extra && dtypes_.weights == Dtype::kFloat32) kernels_.copy(dtypes_.weights_extra)(stored);
    }
  }

  // Tiles [begin, end) of a layer.
  template <class Operation>
  TileBuffers buffers_of(const Operation& operation, int64_t layer, int64_t begin, int64_t end) const {
    const StepBuffers& buffers = operation.buffers();
    const LayerExtent& extent = layout_.layers[layer];
    const int64_t first = begin * kTileElements;
    const auto address = [&](void* buffer, Dtype dtype) -> void* {
      if (!buffer) return nullptr;
      return layer_address(buffer, layout_.scattered, layer, extent.offset + first, size_of(dtype));
    };
    return {address(buffers.weights, dtypes_.weights), address(buffers.grads, dtypes_.grads),
            address(buffers.first_moment, dtypes_.first_moment), address(buffers.weights_extra, dtypes_.weights_extra),
            std::min(extent.size, end * kTileElements) - first};
  }

  const Layout& layout_;  // the plan's, which outlives its backend
  const Dtypes dtypes_;
  const int32_t isa_;
  const TileKernels& kernels_;
  const Schedule schedule_;
  std::vector<LayerOptions> layer_options_;
  std::vector<double> shared_sums_;               // of the shared layer in work: gradients', then weights'
  std::vector<std::vector<double>> thread_sums_;  // of each thread's own layer, likewise
  std::vector<StagedTile> staged_;                // of each thread, where a step may need it
  std::vector<Share> shares_;
  Team team_;
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
  return std::string("CPU backend: ") + tile_kernels_for(checked_isa(0)).name + ", " +
         std::to_string(available_cores()) + " cores\n";
}

}  // namespace layerwise
