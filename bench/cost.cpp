#include "cost.h"

#include <algorithm>

#include "cuda/worklist.h"
#include "models.h"
#include "prediction.h"

namespace bench {
namespace {

PathCost two_pass_cost(Op op, int64_t elements, const ElementBytes& bytes, const Gpu& gpu) {
  const RereadBytes again = reread_bytes(op, bytes);
  PathCost cost;
  cost.bytes = elements * two_pass_bytes(op, bytes);
  cost.memory_bytes = cost.bytes - std::min(elements * (again.grad + again.weight), cached_bytes(gpu));
  return cost;
}

// Elements of each layer that are summed before the layer's held tiles and updated after them, newest first.
std::vector<int64_t> revisited(const layerwise::OnePassList& list, const layerwise::Layout& layout) {
  std::vector<int64_t> elements(layout.layers.size());
  for (const layerwise::WorkItem& item : list.items)
    if (item.kind == layerwise::WorkKind::kNorm) elements[item.layer] += item.tiles * int64_t{layerwise::kTileElements};
  return elements;
}

struct Held {
  layerwise::OnePassList list;
  layerwise::HoldShape shape{0, 0};
  bool possible = false, weights = false, better = false;
};

// As a plan has it where registers leave room for every block that shared memory has.
Held held_on(const Gpu& gpu, const layerwise::Layout& layout, const ElementBytes& bytes, bool weights, int ring_bytes) {
  const int tile_bytes = layerwise::kTileElements * (bytes.grad + (weights ? bytes.weight : 0));
  const layerwise::HoldShape shape = layerwise::hold_shape(gpu.shared, tile_bytes, ring_bytes);
  if (shape.slots == 0 || (weights && !layerwise::is_worth_holding_weights(shape))) return {};
  Held held{layerwise::one_pass_list(layout, int64_t{gpu.multiprocessors} * shape.blocks * shape.slots), shape, true,
            weights};
  held.better = layerwise::is_better_in_one_pass(held.list, layout);
  return held;
}

// The list of which a plan makes a one-pass step; the possible one where it would make none.
Held plans_list(Op op, const Gpu& gpu, const layerwise::Layout& layout, const ElementBytes& bytes, int32_t path,
                int ring_bytes = 0) {
  Held first;
  for (const bool weights : {true, false}) {
    if (weights && reread_bytes(op, bytes).weight == 0) continue;
    Held held = held_on(gpu, layout, bytes, weights, ring_bytes);
    if (held.possible && (held.better || path == LAYERWISE_PATH_ONE_PASS)) return held;
    if (!first.possible) first = std::move(held);
  }
  return first;
}

PathCost one_pass_cost(Op op, const Held& held, const layerwise::Layout& layout, const ElementBytes& bytes, const Gpu& gpu) {
  const RereadBytes again = reread_bytes(op, bytes);
  PathCost cost;
  cost.bytes = one_pass_bytes(op, bytes, layout.elements, held.list.held_elements, held.weights);
  cost.memory_bytes = cost.bytes;
  for (const int64_t elements : revisited(held.list, layout))
    cost.memory_bytes -= std::min(elements * (again.grad + again.weight), cached_bytes(gpu));
  return cost;
}

}  // namespace

layerwise::Layout packed(const std::vector<int64_t>& sizes) {
  layerwise::Layout layout;
  for (const int64_t size : sizes) {
    layout.layers.push_back({layout.elements, size, layout.tiles});
    layout.elements += size;
    layout.tiles += layerwise::tiles_of(size);
  }
  layout.extent = layout.elements;
  return layout;
}

StepCost cost_of(Op op, const std::vector<int64_t>& sizes, const BufferDtypes& dtypes, const Gpu& gpu, int32_t path) {
  const ElementBytes bytes = element_bytes(dtypes);
  const layerwise::Layout layout = packed(sizes);
  StepCost cost;
  cost.elements = layout.elements;
  cost.two_pass = two_pass_cost(op, layout.elements, bytes, gpu);
  if (is_half(op)) return cost;
  const Held held = plans_list(op, gpu, layout, bytes, path);
  if (!held.possible) return cost;
  cost.one_pass = one_pass_cost(op, held, layout, bytes, gpu);
  cost.held_elements = held.list.held_elements;
  cost.holds_weights = held.weights;
  cost.chooses_one_pass = held.better || path == LAYERWISE_PATH_ONE_PASS;
  return cost;
}

StepTime time_of(Op op, const std::vector<int64_t>& sizes, const BufferDtypes& dtypes, const Gpu& gpu, int32_t path,
                 const Kernels& kernels, const Latencies& latencies) {
  const layerwise::Layout layout = packed(sizes);
  const ElementBytes bytes = element_bytes(dtypes);
  const Setting setting{op, layout, bytes, gpu, kernels, latencies};
  StepTime time{predict_two_passes(setting), 0};
  if (is_half(op)) return time;
  const Held held = plans_list(op, gpu, layout, bytes, path, kernels.ring_bytes);
  if (held.possible)
    time.one_pass = predict_one_pass(setting, {held.shape.blocks, held.shape.slots, held.weights, held.list});
  return time;
}

StepTime time_of(Op op, const std::vector<int64_t>& sizes, const BufferDtypes& dtypes, const Gpu& gpu, int32_t path,
                 const Kernels& kernels, double times) {
  return time_of(op, sizes, dtypes, gpu, path, kernels, latencies_of(gpu, times));
}

double floor_us(Op op, const std::vector<int64_t>& sizes, const BufferDtypes& dtypes, const Gpu& gpu) {
  return static_cast<double>(element_count(sizes) * floor_bytes(op, element_bytes(dtypes))) / copy_rate(gpu) / 1e3;
}

}  // namespace bench
