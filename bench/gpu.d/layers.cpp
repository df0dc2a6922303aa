#include "gpu.d/layers.h"

#include <algorithm>
#include <numeric>

#include "models.h"

namespace bench {
namespace {

int64_t next_multiple(int64_t at, int64_t of) { return (at + of - 1) / of * of; }

int64_t placed(int64_t at, size_t layer, Placement placement) {
  constexpr int64_t kAllocation = 256;
  if (placement == Placement::kAllocated) return next_multiple(at, kAllocation);
  if (placement == Placement::kUnaligned && layer > 0)
    return next_multiple(at, 4) + 1 + static_cast<int64_t>(layer % 3);
  return at;
}

}  // namespace

Layers::Layers(std::vector<int64_t> layer_sizes, const BufferDtypes& of, Placement placement)
    : sizes(std::move(layer_sizes)), dtypes(of) {
  for (size_t layer = 0; layer < sizes.size(); ++layer) {
    offsets.push_back(placed(extent, layer, placement));
    extent = offsets.back() + sizes[layer];
  }
}

int64_t Layers::elements() const { return element_count(sizes); }

int64_t Layers::aligned() const {
  return std::count_if(offsets.begin(), offsets.end(), [](int64_t offset) { return offset % 4 == 0; });
}

PlanSettings plan_settings(const Layers& layers, int32_t path) {
  PlanSettings settings{layers.dtypes, 0};
  settings.path = path;
  settings.layout = layers.scattered ? LAYERWISE_LAYOUT_SCATTERED : LAYERWISE_LAYOUT_PACKED;
  settings.offsets = layers.scattered ? nullptr : layers.offsets.data();
  return settings;
}

std::vector<int64_t> all_layers(const Layers& layers) {
  std::vector<int64_t> chosen(layers.sizes.size());
  std::iota(chosen.begin(), chosen.end(), int64_t{0});
  return chosen;
}

std::vector<int64_t> some_layers(const Layers& layers, int64_t elements) {
  std::vector<int64_t> chosen;
  const int64_t count = static_cast<int64_t>(layers.sizes.size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t layer = i % 2 == 0 ? count - 1 - i / 2 : i / 2;
    if (layers.sizes[layer] > elements) continue;
    elements -= layers.sizes[layer];
    chosen.push_back(layer);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace bench
