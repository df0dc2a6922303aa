// Two models after the same step: equal bits, NaN as a class. Says in one line what differs first: the buffer, layer,
// tile, lane and element, and both values in hexadecimal; an empty string when nothing does.
#pragma once

#include <cinttypes>
#include <cstdio>

#include "../oracle/model.h"

namespace cross {

inline bool equal_as_numbers(const oracle::Buffer& a, const oracle::Buffer& b, int64_t i) {
  return a.bits(i) == b.bits(i) || (std::isnan(a.get(i)) && std::isnan(b.get(i)));
}

inline std::string difference(const char* name, const oracle::Buffer& cpu, const oracle::Buffer& gpu,
                              const oracle::Layout& layout, bool per_layer) {
  if (cpu == gpu) return "";
  char text[256];
  const auto begins = layout.begins();
  for (int64_t i = 0; i < cpu.count(); ++i) {
    if (equal_as_numbers(cpu, gpu, i)) continue;
    int64_t layer = per_layer ? i : -1, element = 0;
    for (size_t l = 0; l < begins.size() && !per_layer; ++l)
      if (i >= begins[l] && i < begins[l] + layout.sizes[l]) layer = static_cast<int64_t>(l), element = i - begins[l];
    std::snprintf(text, sizeof text,
                  "%s[%" PRId64 "]: layer %" PRId64 ", tile %" PRId64 ", lane %" PRId64 ", element %" PRId64
                  ": CPU 0x%" PRIx64 " (%g), CUDA 0x%" PRIx64 " (%g)",
                  name, i, layer, element / 8192, element % 1024 / 4 % 32, element, cpu.bits(i), cpu.get(i),
                  gpu.bits(i), gpu.get(i));
    return text;
  }
  return cpu.same_guards(gpu) ? "" : std::string(name) + ": memory outside the buffer was written";
}

inline std::string difference(const oracle::Model& cpu, const oracle::Model& gpu) {
  struct Pair {
    const char* name;
    const oracle::Buffer &cpu, &gpu;
    bool per_layer;
  };
  for (const Pair& pair : {Pair{"second_moment", cpu.second_moment, gpu.second_moment, true},
                           Pair{"max_second_moment", cpu.max_second_moment, gpu.max_second_moment, true},
                           Pair{"first_moment", cpu.moment, gpu.moment, false},
                           Pair{"weights", cpu.weights, gpu.weights, false},
                           Pair{"grads", cpu.grads, gpu.grads, false}, Pair{"weights_extra", cpu.extra, gpu.extra, false}}) {
    if (!pair.cpu.present()) continue;
    const std::string found = difference(pair.name, pair.cpu, pair.gpu, cpu.layout, pair.per_layer);
    if (!found.empty()) return found;
  }
  for (size_t i = 0; i < cpu.stats.size(); ++i) {
    const double a = cpu.stats[i], b = gpu.stats[i];
    if (std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b))) continue;
    char text[128];
    std::snprintf(text, sizeof text, "layer_stats[%zu][%zu]: CPU %a, CUDA %a", i / LAYERWISE_STAT_COUNT,
                  i % LAYERWISE_STAT_COUNT, a, b);
    return text;
  }
  return "";
}

}  // namespace cross
