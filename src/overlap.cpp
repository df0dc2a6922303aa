#include "overlap.h"

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

}  // namespace

void check_no_overlap(const std::vector<Buffer>& buffers, const std::vector<LayerExtent>& layers) {
  for (size_t i = 0; i < buffers.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      const Buffer &a = buffers[j], &b = buffers[i];
      if ((a.written || b.written) && share_a_byte(a, b, layers))
        fail(LAYERWISE_ERROR_ALIASED, "%s at %p overlaps %s at %p; a buffer that is written must not overlap another",
             b.name, b.address, a.name, a.address);
    }
}

}  // namespace layerwise
