// The cost model: the bounds that the one-pass step was designed to, and its bytes against a count, tile by tile, over the
// library's work list with a cache that forgets what it read longest ago. What each op reads and writes is written out
// here once more, from the header's formulas.
#include <catch2/catch_test_macros.hpp>
#include <deque>
#include <map>

#include "cost.h"
#include "cuda/worklist.h"
#include "models.h"

namespace {

using namespace bench;

const Gpu& gpu_named(const std::string& name) {
  for (const Gpu& gpu : kGpus)
    if (gpu.name == name) return gpu;
  FAIL("no GPU " << name);
  return kGpus[0];
}

double per_element(int64_t bytes, const StepCost& cost) { return static_cast<double>(bytes) / static_cast<double>(cost.elements); }

// Reads of newest-first order hit where the bytes kept since are within the cache.
class Cache {
 public:
  explicit Cache(int64_t bytes) : room_(bytes) {}
  void keep(int64_t tile, int64_t bytes) {
    kept_.push_back({tile, bytes});
    used_ += bytes;
    while (used_ > room_ && !kept_.empty()) {
      const int64_t left = used_ - room_, oldest = kept_.front().second;
      kept_.front().second -= std::min(left, oldest);
      used_ -= std::min(left, oldest);
      if (kept_.front().second == 0) kept_.pop_front();
    }
  }
  // Bytes of the tile that are still there; they leave.
  int64_t take(int64_t tile) {
    for (auto it = kept_.rbegin(); it != kept_.rend(); ++it)
      if (it->first == tile) {
        const int64_t bytes = it->second;
        used_ -= bytes;
        kept_.erase(std::next(it).base());
        return bytes;
      }
    return 0;
  }

 private:
  int64_t room_;
  int64_t used_ = 0;
  std::deque<std::pair<int64_t, int64_t>> kept_;
};

struct Count {
  int64_t asked = 0, hit = 0;
};

// What an update moves beside what its norms have read.
struct ByHand {
  bool norms_read_weights;
  int again_grads, again_weights;  // reads by the update of what the norms have read
  int alone;                       // bytes of an element that only the update reads or writes
};

ByHand by_hand(Op op, int w, int g, int m) {
  switch (op) {
    case Op::kNovograd:  // reads g; then g again, and w, m; writes w, m
      return {false, g, 0, 2 * w + 2 * m};
    case Op::kLarcScale:  // reads g, w; then g again; writes g
      return {true, g, 0, g};
    default:  // reads g, w; then g, w again, and m; writes w, m
      return {true, g, w, w + 2 * m};
  }
}

Count count(Op op, const layerwise::Layout& layout, const std::vector<layerwise::WorkItem>& items, bool weights_held,
            const BufferDtypes& dtypes, int64_t cache_bytes) {
  const int w = element_bytes(dtypes.weights), g = element_bytes(dtypes.grads), m = element_bytes(dtypes.moment);
  const ByHand of = by_hand(op, w, g, m);
  Cache cache(cache_bytes);
  Count counted;
  uint32_t layer = 0;
  std::map<int64_t, int> sums, updates;
  for (const layerwise::WorkItem& item : items) {
    if (item.layer != layer) cache = Cache(cache_bytes);  // NORM tiles of a layer are taken before the next begins
    layer = item.layer;
    const layerwise::LayerExtent& extent = layout.layers[layer];
    for (int64_t tile = item.tile; tile < item.tile + item.tiles; ++tile) {
      const int64_t n = std::min<int64_t>(8192, extent.size - tile * 8192), id = extent.first_tile + tile;
      const int64_t norms = g + (of.norms_read_weights ? w : 0);
      if (item.kind != layerwise::WorkKind::kUpdate) counted.asked += n * norms, ++sums[id];
      if (item.kind == layerwise::WorkKind::kNorm) cache.keep(id, n * (of.again_grads + of.again_weights));
      if (item.kind == layerwise::WorkKind::kHold)
        counted.asked += n * (of.alone + (weights_held ? 0 : of.again_weights)), ++updates[id];
      if (item.kind == layerwise::WorkKind::kUpdate) {
        counted.asked += n * (of.alone + of.again_grads + of.again_weights), ++updates[id];
        counted.hit += cache.take(id);
      }
    }
  }
  CHECK(static_cast<int64_t>(sums.size()) == layout.tiles);  // each tile once
  CHECK(static_cast<int64_t>(updates.size()) == layout.tiles);
  for (const auto& [id, times] : sums) CHECK((times == 1 && updates[id] == 1));
  return counted;
}

layerwise::Layout layout_of(const std::vector<int64_t>& sizes) {
  layerwise::Layout layout;
  for (const int64_t size : sizes) {
    layout.layers.push_back({layout.elements, size, layout.tiles});
    layout.elements += size;
    layout.tiles += (size + 8191) / 8192;
  }
  return layout;
}

}  // namespace

TEST_CASE("what fits the chip moves 20 bytes a parameter of float32, 18 with 16-bit gradients") {
  for (const Gpu& gpu : kGpus) {
    CAPTURE(gpu.name);
    const auto sizes = layer_sizes("resnet50");
    const StepCost full = cost_of(Op::kNovograd, sizes, kFull, gpu), masters = cost_of(Op::kNovograd, sizes, kMasters, gpu);
    CHECK(per_element(full.one_pass.bytes, full) == 20);
    CHECK(per_element(masters.one_pass.bytes, masters) == 18);
    CHECK(per_element(full.two_pass.bytes, full) == 24);
    CHECK(per_element(masters.two_pass.bytes, masters) == 20);
    CHECK(full.chooses_one_pass);
  }
}

TEST_CASE("Jasper moves at most 20.8 bytes a parameter of float32 on an H100's 132 multiprocessors") {
  for (const char* name : {"H100", "H200"}) {
    const Gpu& gpu = gpu_named(name);
    const StepCost cost = cost_of(Op::kNovograd, layer_sizes("jasper10x5"), kFull, gpu);
    CAPTURE(name, per_element(cost.one_pass.bytes, cost), per_element(cost.one_pass.memory_bytes, cost));
    CHECK(per_element(cost.one_pass.memory_bytes, cost) <= 20.8);
    CHECK(per_element(cost.one_pass.memory_bytes, cost) >= 20);
  }
}

TEST_CASE("the model's bytes are those counted over the work list") {
  struct Capacity {  // worked out by hand: multiprocessors * blocks * slots
    const char* gpu;
    int grads32, grads16;
    bool holds_six;  // bytes an element: float32 weights beside 16-bit gradients
  };
  const Capacity capacities[] = {{"H100", 132 * 6, 132 * 14, true}, {"A100-80", 108 * 4, 108 * 10, false}};
  const int64_t large = int64_t{8192} * 2500 + 17;
  const std::vector<int64_t> sizes{5, 8192, 0, large, int64_t{8192} * 792, int64_t{8192} * 793, 8191, large / 3};
  const layerwise::Layout layout = layout_of(sizes);
  for (const Capacity& capacity : capacities)
    for (const Op op : {Op::kNovograd, Op::kLarcScale, Op::kLarcSgd, Op::kLarcNovograd})
      for (const BufferDtypes& dtypes : {kFull, kMasters}) {
        CAPTURE(capacity.gpu, name_of(op), short_name(dtypes));
        const Gpu& gpu = gpu_named(capacity.gpu);
        const StepCost cost = cost_of(op, sizes, dtypes, gpu, LAYERWISE_PATH_ONE_PASS);
        const bool rereads_weights = op == Op::kLarcSgd || op == Op::kLarcNovograd;
        CHECK(cost.holds_weights == (rereads_weights && dtypes.grads == kBf16 && capacity.holds_six));
        if (cost.holds_weights) continue;  // another shape
        const int tiles = dtypes.grads == kF32 ? capacity.grads32 : capacity.grads16;
        const auto list = layerwise::one_pass_list(layout, tiles);
        const Count counted = count(op, layout, list.items, false, dtypes, gpu.l2_bytes / 2);
        CHECK(cost.one_pass.bytes == counted.asked);
        CHECK(cost.one_pass.memory_bytes == counted.asked - counted.hit);
        CHECK(counted.hit > 0);
        CHECK(cost.held_elements == list.held_elements);
      }
}

TEST_CASE("two passes are one list that holds nothing, but that its second pass begins at the end") {
  const std::vector<int64_t> sizes{8192 * 2000};  // one layer: the list's updates go backwards over all of it
  const layerwise::Layout layout = layout_of(sizes);
  for (const Op op : {Op::kNovograd, Op::kLarcScale, Op::kLarcSgd})
    for (const Gpu& gpu : kGpus) {
      CAPTURE(name_of(op), gpu.name);
      const StepCost cost = cost_of(op, sizes, kFull, gpu);
      const Count counted = count(op, layout, layerwise::one_pass_list(layout, 0).items, false, kFull, gpu.l2_bytes / 2);
      CHECK(cost.two_pass.bytes == counted.asked);
      CHECK(cost.two_pass.memory_bytes == counted.asked - counted.hit);
    }
}

// Llama-3-8B's layers of 58.7 M elements are far above what any chip holds.
TEST_CASE("a plan chooses two passes where most of the model is read twice anyway") {
  const StepCost cost = cost_of(Op::kNovograd, layer_sizes("llama3-8b"), kFull, gpu_named("H200"));
  CHECK_FALSE(cost.chooses_one_pass);
  CHECK(2 * cost.held_elements < cost.elements);
}

TEST_CASE("norms alone are one launch that reads each buffer once, whatever half of L2 keeps") {
  for (const Gpu& gpu : kGpus) {
    const StepCost grads = cost_of(Op::kGradNorms, layer_sizes("bert-large"), kAllBf16, gpu, LAYERWISE_PATH_ONE_PASS);
    const StepCost both = cost_of(Op::kBothNorms, layer_sizes("bert-large"), kMasters, gpu, LAYERWISE_PATH_ONE_PASS);
    CHECK((per_element(grads.two_pass.memory_bytes, grads) == 2 && per_element(both.two_pass.memory_bytes, both) == 6));
    CHECK((grads.one_pass.bytes == 0 && both.one_pass.bytes == 0));
  }
}

TEST_CASE("the weights' copy is 2 bytes of each parameter more on either path, of what writes weights") {
  const Gpu& gpu = gpu_named("H100");
  for (const Op op : kSteps) {
    const StepCost without = cost_of(op, layer_sizes("resnet50"), kMasters, gpu, LAYERWISE_PATH_ONE_PASS);
    const StepCost with = cost_of(op, layer_sizes("resnet50"), kCopied, gpu, LAYERWISE_PATH_ONE_PASS);
    const int64_t more = op == Op::kLarcScale ? 0 : 2 * without.elements;
    CHECK(with.two_pass.bytes == without.two_pass.bytes + more);
    CHECK(with.one_pass.bytes == without.one_pass.bytes + more);
  }
}

TEST_CASE("an apply call is one launch at the bytes of the update alone") {
  const Gpu& gpu = gpu_named("H200");
  const StepCost cost = cost_of(Op::kNovogradApply, {1'000'000'000}, kFull, gpu);
  CHECK(cost.two_pass.bytes == 20'000'000'000);
  CHECK(cost.one_pass.bytes == 0);
  const StepTime time = time_of(Op::kNovogradApply, {1'000'000'000}, kFull, gpu);
  CHECK((time.two_pass > 20e9 / 4.3e12 * 1e6 && time.two_pass < 1.01 * 20e9 / 4.3e12 * 1e6 && time.one_pass == 0));
}
