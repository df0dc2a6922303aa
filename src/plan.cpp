#include "plan.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "error.h"
#include "fingerprint.h"
#include "layerwise.h"
#include "shard.h"

using namespace layerwise;

namespace {

// Of what decides how state is laid out, so that a checkpoint can tell whether it fits a plan.
int64_t fingerprint(const PlanDescription& plan) {
  Fingerprint print;
  print.add(plan.layout.scattered);
  print.add(plan.dtypes);
  for (const LayerExtent& layer : plan.layout.layers) {
    print.add(layer.offset);
    print.add(layer.size);
  }
  return print.value();
}

// A list that only grows, as long as the most plans there were at once; a slot is empty or one plan's.
struct Slot {
  std::atomic<const layerwise_plan*> plan;
  Slot* next;
};
std::atomic<Slot*> slots{nullptr};

template <class Visitor>
bool any_slot(Visitor visitor) {
  for (Slot* slot = slots.load(std::memory_order_acquire); slot; slot = slot->next)
    if (visitor(slot->plan)) return true;
  return false;
}

}  // namespace

void LivePlans::add(const layerwise_plan* plan) {
  const bool found = any_slot([&](std::atomic<const layerwise_plan*>& slot) {
    const layerwise_plan* none = nullptr;
    return slot.compare_exchange_strong(none, plan);
  });
  if (found) return;
  Slot* const slot = new Slot{{plan}, slots.load(std::memory_order_relaxed)};
  while (!slots.compare_exchange_weak(slot->next, slot)) {
  }
}

void LivePlans::remove(const layerwise_plan* plan) {
  any_slot([&](std::atomic<const layerwise_plan*>& slot) {
    const layerwise_plan* expected = plan;
    return slot.compare_exchange_strong(expected, nullptr);
  });
}

bool LivePlans::contains(const layerwise_plan* plan) {
  return any_slot([&](const std::atomic<const layerwise_plan*>& slot) { return slot.load() == plan; });
}

layerwise_plan::layerwise_plan(PlanDescription given)
    : description(std::move(given)),
      layers(description.layout.layers.size(), kPlainLayer),
      backend(description.device == LAYERWISE_DEVICE_CPU ? make_cpu_backend(description)
                                                         : make_cuda_backend(description)) {
  LivePlans::add(this);
}

layerwise_plan::~layerwise_plan() { LivePlans::remove(this); }

void layerwise_plan::reset() {
  backend->reset();
  failed = false;
}

void layerwise_plan::set_layers(const std::vector<LayerOptions>& given) {
  std::vector<LayerOptions> changed = layers;
  for (size_t l = 0; l < changed.size(); ++l) {
    changed[l].lr_mult = given[l].lr_mult;
    changed[l].wd_mult = given[l].wd_mult;
    changed[l].skip_larc = given[l].skip_larc;
  }
  backend->set_layers(changed);
  layers = std::move(changed);
}

void layerwise_plan::set_shard(std::vector<LayerPiece> pieces) {
  std::vector<LayerOptions> changed = layers;
  int64_t elements = 0;
  for (size_t l = 0; l < changed.size(); ++l) {
    changed[l].begin = std::max<int64_t>(0, pieces[l].begin);
    changed[l].not_counted = !pieces[l].counted;
    changed[l].elsewhere = description.layout.layers[l].size == 0 && pieces[l].whole > 0;
    elements += pieces[l].whole;
  }
  backend->set_layers(changed);
  layers = std::move(changed);
  description.is_shard = true;
  description.pieces = std::move(pieces);
  description.whole_elements = elements;
}

int64_t layerwise_plan::query(int32_t key) const {
  const Layout& layout = description.layout;
  switch (key) {
    case LAYERWISE_QUERY_LAYERS:
      return static_cast<int64_t>(layout.layers.size());
    case LAYERWISE_QUERY_ELEMENTS:
      return layout.elements;
    case LAYERWISE_QUERY_TILES:
      return layout.tiles;
    case LAYERWISE_QUERY_EXTENT:
      return layout.extent;
    case LAYERWISE_QUERY_DEVICE:
      return description.device;
    case LAYERWISE_QUERY_THREADS:
      return backend->facts().threads;
    case LAYERWISE_QUERY_ISA:
      return backend->facts().isa;
    case LAYERWISE_QUERY_WORKSPACE:
      return backend->facts().workspace_bytes;
    case LAYERWISE_QUERY_FINGERPRINT:
      return fingerprint(description);
    case LAYERWISE_QUERY_GLOBAL_FINGERPRINT:
      return global_fingerprint(description);
    case LAYERWISE_QUERY_PATH:
      return backend->facts().path;
    case LAYERWISE_QUERY_HELD_GRADS:
      return backend->facts().held_grads;
    case LAYERWISE_QUERY_HELD_WEIGHTS:
      return backend->facts().held_weights;
    case LAYERWISE_QUERY_EXPERIMENTAL:
      return backend->facts().experimental;
  }
  fail(LAYERWISE_ERROR_UNKNOWN_FLAG, "key is %d; it must be a LAYERWISE_QUERY_ constant", key);
}
