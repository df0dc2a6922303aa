// Conversions of 16-bit values in the registers of processors without a fused multiply-add, against dtype.h's for one
// value, which every backend rounds like.
#include "cpu/lanes.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <vector>

#include "../oracle/random_case.h"

#ifndef LANES
#define LANES "the lanes of the baseline"
#endif

#if defined(LAYERWISE_FUSED_IS_EMULATED)

namespace {

// Hazard: a NaN, a subnormal or a sign that a register treats otherwise; a value that lands in another lane.
template <class T>
void require_loads() {
  for (uint32_t first = 0; first < 0x10000; first += layerwise::kLanes) {
    T stored[layerwise::kLanes];
    for (int i = 0; i < layerwise::kLanes; ++i) stored[i].bits = static_cast<uint16_t>(first + i);
    float loaded[layerwise::kLanes];
    layerwise::store_lanes(loaded, layerwise::load_lanes(stored));
    for (int i = 0; i < layerwise::kLanes; ++i) {
      const uint32_t bits = layerwise::bit_cast<uint32_t>(loaded[i]);
      if (bits == layerwise::bit_cast<uint32_t>(layerwise::load(stored[i]))) continue;
      CAPTURE(first + i, bits);
      FAIL("loaded to other bits");
    }
  }
}

template <class T>
void require_stores(const std::vector<float>& values) {
  for (size_t first = 0; first + layerwise::kLanes <= values.size(); first += layerwise::kLanes) {
    T stored[layerwise::kLanes];
    layerwise::store_lanes(stored, layerwise::load_lanes(values.data() + first));
    for (int i = 0; i < layerwise::kLanes; ++i) {
      T expected;
      layerwise::store(expected, values[first + i]);
      if (stored[i].bits == expected.bits) continue;
      CAPTURE(values[first + i], stored[i].bits, expected.bits);
      FAIL("stored to other bits");
    }
  }
}

// Every 16-bit value as a float32, what lies halfway to the next one, a hair below and above both; and any bits at all.
template <class T>
std::vector<float> values_about() {
  std::vector<float> values;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    T stored;
    stored.bits = static_cast<uint16_t>(bits);
    const float value = layerwise::load(stored);
    stored.bits = static_cast<uint16_t>(bits + 1);
    const float halfway = value + (layerwise::load(stored) - value) / 2;
    for (float about : {value, halfway}) {
      values.push_back(about);
      values.push_back(std::nextafter(about, -INFINITY));
      values.push_back(std::nextafter(about, INFINITY));
    }
  }
  oracle::Random random(8);
  for (int i = 0; i < 1000000; ++i)
    values.push_back(layerwise::bit_cast<float>(static_cast<uint32_t>(random.bits())));
  return values;
}

}  // namespace

TEST_CASE(LANES " load every 16-bit value as one is loaded", "[lanes]") {
  require_loads<layerwise::bfloat16>();
  require_loads<layerwise::float16>();
}

TEST_CASE(LANES " store 16-bit values as one is stored", "[lanes]") {
  require_stores<layerwise::bfloat16>(values_about<layerwise::bfloat16>());
  require_stores<layerwise::float16>(values_about<layerwise::float16>());
}

#endif
