// Hazard: a later group of tiles that finishes before an earlier one. The arrival counters of the groups and of the
// level above are different counters; were they one, a layer would be finished while sums are still missing, but only
// where the second group is quicker than the first. Grids of four blocks, the last of which has the layer's last tile.
#include <catch2/catch_test_macros.hpp>

#include "cross_case.h"
#include "device_under_test.h"

using namespace cross;

TEST_CASE("a layer has the CPU's bits whichever of its groups of tiles finishes first", "[large]") {
  skip_without_device();
  static_assert(kLargeLayer > 256 * 8192, "a second group takes this build of the harness too long");
  for (const int64_t layers_before : {0, 1, 2, 3}) {
    oracle::Layout layout;
    layout.sizes.assign(static_cast<size_t>(layers_before), 1);
    layout.sizes.push_back(256 * 8192 + 1);
#if defined(LAYERWISE_CROSS_SIMT)
    simt::options().sms = 1;
    simt::options().blocks_per_sm = 4;
    simt::options().order = simt::Order::kLastReadyFirst;  // one block runs far ahead of the others
#endif
    const std::string found = Case(21 + static_cast<uint64_t>(layers_before), Step::kNovograd, layout).run();
    CAPTURE(layers_before);
    INFO(found);
    CHECK(found.empty());
  }
}
