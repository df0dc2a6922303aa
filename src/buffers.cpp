#include "buffers.h"

#include <algorithm>

#include "error.h"
#include "layerwise.h"

namespace layerwise {
namespace {

struct Range {
  uintptr_t begin, end;
  bool operator<(const Range& other) const { return begin < other.begin; }
};

Range whole(const Buffer& buffer) {
  const auto begin = reinterpret_cast<uintptr_t>(buffer.address);
  return {begin, begin + buffer.bytes};
}

bool overlap(const Range& a, const Range& b) { return std::max(a.begin, b.begin) < std::min(a.end, b.end); }

std::vector<Range> used_ranges(const Buffer& buffer, const std::vector<LayerExtent>& layers) {
  if (buffer.element_size == 0) return {whole(buffer)};
  const auto base = reinterpret_cast<uintptr_t>(buffer.address);
  std::vector<Range> ranges;
  for (const LayerExtent& layer : layers)
    if (layer.size > 0)
      ranges.push_back({base + layer.offset * buffer.element_size, base + (layer.offset + layer.size) * buffer.element_size});
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

// Buffers may lie in each other's gaps, so where their extents meet their layers decide.
bool share_a_byte(const Buffer& a, const Buffer& b, const std::vector<LayerExtent>& layers) {
  if (!overlap(whole(a), whole(b))) return false;
  const std::vector<Range> of_a = used_ranges(a, layers), of_b = used_ranges(b, layers);
  for (size_t i = 0, j = 0; i < of_a.size() && j < of_b.size();) {
    if (overlap(of_a[i], of_b[j])) return true;
    of_a[i].end <= of_b[j].begin ? ++i : ++j;
  }
  return false;
}

void check_aligned(const void* address, const char* name, int64_t size) {
  if (reinterpret_cast<uintptr_t>(address) % size != 0)
    fail(LAYERWISE_ERROR_MISALIGNED, "%s is %p; it must be aligned to %lld bytes", name, address,
         static_cast<long long>(size));
}

}  // namespace

void BufferCheck::elements(const void* address, const char* name, Dtype dtype, bool written) {
  if (!address) return;
  const int64_t size = size_of(dtype), pointer = sizeof(void*);
  check_aligned(address, name, plan_.layout.scattered ? pointer : size);
  if (plan_.layout.scattered)  // the same table twice is the same memory twice
    buffers_.push_back({name, address, layer_count() * pointer, 0, true});
  else
    buffers_.push_back({name, address, plan_.layout.extent * size, size, written});
}

void BufferCheck::required_elements(const void* address, const char* name, Dtype dtype, bool written) {
  if (!address && plan_.layout.elements > 0) fail(LAYERWISE_ERROR_NULL_ARGUMENT, "%s is NULL; it must not be", name);
  elements(address, name, dtype, written);
}

void BufferCheck::values(const void* address, const char* name, int64_t size, int64_t count, bool written) {
  if (!address) return;
  check_aligned(address, name, size);
  buffers_.push_back({name, address, size * count, 0, written});
}

void BufferCheck::per_layer(const void* address, const char* name, int64_t size, bool written) {
  values(address, name, size, layer_count(), written);
}

void BufferCheck::no_overlap() const {
  for (size_t i = 0; i < buffers_.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      const Buffer &a = buffers_[j], &b = buffers_[i];
      if ((a.written || b.written) && share_a_byte(a, b, plan_.layout.layers))
        fail(LAYERWISE_ERROR_ALIASED, "%s at %p overlaps %s at %p; a buffer that is written must not overlap another",
             b.name, b.address, a.name, a.address);
    }
}

void check_tables(const PlanDescription& plan, const StepBuffers& buffers, const char* moment_name) {
  if (!plan.layout.scattered || plan.device != LAYERWISE_DEVICE_CPU) return;
  struct Table {
    const char* name;
    void* table;
    Dtype dtype;
  };
  const Table tables[] = {{"weights", buffers.weights, plan.dtypes.weights},
                          {"grads", buffers.grads, plan.dtypes.grads},
                          {moment_name, buffers.first_moment, plan.dtypes.first_moment},
                          {"weights_extra", buffers.weights_extra, plan.dtypes.weights_extra}};
  for (int64_t layer = 0; layer < static_cast<int64_t>(plan.layout.layers.size()); ++layer) {
    if (plan.layout.layers[layer].size == 0 || is_masked(buffers, true, layer)) continue;
    for (const Table& table : tables) {
      if (!table.table) continue;
      const void* address = static_cast<void**>(table.table)[layer];
      if (!address)
        fail(LAYERWISE_ERROR_NULL_ARGUMENT, "%s[%lld] is NULL; a layer that takes part must have it", table.name,
             static_cast<long long>(layer));
      if (reinterpret_cast<uintptr_t>(address) % size_of(table.dtype) != 0)
        fail(LAYERWISE_ERROR_MISALIGNED, "%s[%lld] is %p; it must be aligned to %lld bytes", table.name,
             static_cast<long long>(layer), address, static_cast<long long>(size_of(table.dtype)));
    }
  }
}

}  // namespace layerwise
