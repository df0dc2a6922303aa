// What a right kernel sees of the GPU, under many schedules.
#include "device_array.h"
#include "good.h"

#include "simt_test.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace selftest;

namespace {

std::vector<float> numbers(std::size_t n) {
  std::vector<float> v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = float((i * 7919) % 1000) / 1000.f - 0.3f;
  return v;
}

constexpr std::uint64_t kFew = 12, kMany = 50;

}  // namespace

// Hazard: the last resident block ends, and with it the launch, while others have not begun. One at a time is the edge.
TEST_CASE("dynamic shared memory works with more blocks than are resident, were it one") {
  simt::reset();
  const int sms = GENERATE(1, 4);
  simt::options().sms = sms;
  simt::options().blocks_per_sm = 1;
  const int blocks = 20, n = blocks * 128 - 5;
  const auto in = numbers(n);
  DeviceArray<float> device_in(in), out(n);
  for (auto seed : simt::seeds(kFew)) {
    CAPTURE(seed);
    REQUIRE(reverse_blocks(out.get(), device_in.get(), n, blocks, 512) == cudaSuccess);
    const auto result = out.host();
    bool right = true;
    for (int i = 0; i < n; ++i) {
      const int j = i / 128 * 128 + 127 - i % 128;
      right &= result[i] == (j < n ? in[j] : 0.f);
    }
    CHECK(right);
  }
  simt::reset();
}

TEST_CASE("votes and block-wide predicates count what is there") {
  const int blocks = 6;
  const auto in = numbers(blocks * 128);
  unsigned positive = 0, high = 0;
  for (int b = 0; b < blocks; ++b) {
    bool any = false;
    for (int i = 0; i < 128; ++i) {
      positive += in[b * 128 + i] > 0;
      any |= in[b * 128 + i] > 0.695f;
    }
    high += any;
  }
  DeviceArray<float> device_in(in);
  for (auto seed : simt::seeds(kFew)) {
    CAPTURE(seed);
    DeviceArray<unsigned> counts(2, 0u);
    REQUIRE(vote(counts.get(), device_in.get(), blocks, 0.695f) == cudaSuccess);
    CHECK(counts.host() == std::vector<unsigned>{positive, high});
  }
}

TEST_CASE("shuffles follow PTX in every direction and segment") {
  const auto in = numbers(64);
  DeviceArray<float> device_in(in);
  DeviceArray<Shuffled> device_out(1);
  for (auto seed : simt::seeds(kFew)) {
    CAPTURE(seed);
    REQUIRE(shuffle(device_out.get(), device_in.get()) == cudaSuccess);
    const Shuffled out = device_out.host()[0];
    for (unsigned t = 0; t < 64; ++t) {
      const unsigned lane = t % 32, base = t - lane;
      CAPTURE(t);
      CHECK(out.up[t] == in[lane < 3 ? t : t - 3]);
      CHECK(out.down[t] == in[lane > 26 ? t : t + 5]);
      CHECK(out.butterfly[t] == in[base + (lane ^ 9)]);
      CHECK(out.segment[t] == in[base + lane / 8 * 8 + 2]);
      CHECK(out.wide[t] == double(in[lane % 16 == 15 ? t : t + 1]) / 3);
      CHECK(out.match[t] == 0xffu << lane / 8 * 8);
    }
    CHECK(out.ballot[0] == 0x9249u);
    CHECK(out.ballot[1] == 0x49240000u);
    CHECK(out.sum[1] == 31u * 16);
    CHECK(out.smallest[0] == 7u);
    CHECK(out.lowest[1] == -9);
  }
}

TEST_CASE("CUB's warp and block primitives run on the harness's shuffles") {
  const auto in = numbers(128);
  DeviceArray<float> device_in(in);
  DeviceArray<CubResult> device_out(1);
  // The adjacent-pair tree: what CUB's shuffle-based reduction computes, and what the summation order relies on.
  float tree[4];
  for (int w = 0; w < 4; ++w) {
    float level[32];
    std::copy_n(in.begin() + 32 * w, 32, level);
    for (int n = 16; n; n /= 2)
      for (int i = 0; i < n; ++i) level[i] = level[2 * i] + level[2 * i + 1];
    tree[w] = level[0];
  }
  for (auto seed : simt::seeds(kFew)) {
    CAPTURE(seed);
    REQUIRE(cub_primitives(device_out.get(), device_in.get()) == cudaSuccess);
    const CubResult out = device_out.host()[0];
    for (int w = 0; w < 4; ++w) {
      CHECK(out.warp_sum[w] == tree[w]);
      CHECK(std::fabs(out.warp_sum_double[w] - tree[w]) < 1e-5);
    }
    CHECK(std::fabs(out.block_sum_raking - (tree[0] + tree[1] + tree[2] + tree[3])) < 1e-4f);
    CHECK(out.block_sum_warps == ((tree[0] + tree[1]) + tree[2]) + tree[3]);
    CHECK(out.maximum == *std::max_element(in.begin(), in.end()));
    CHECK(out.scan[127] == 127 * 126 / 2);
  }
}

TEST_CASE("legacy atomics lose nothing between blocks") {
  for (auto seed : simt::seeds(kFew)) {
    CAPTURE(seed);
    DeviceArray<Legacy> device(std::vector<Legacy>(1));
    REQUIRE(legacy_atomics(device.get(), 5) == cudaSuccess);
    const Legacy out = device.host()[0];
    CHECK(out.add == 480 * 479 / 2);
    CHECK(out.sub == -480);
    CHECK(out.smallest == -479);
    CHECK(out.biggest == 479);
    CHECK(out.bits == ~0u);
    CHECK(out.wrapped == 480 % 10);
    CHECK(out.float_sum == 240.f);
    CHECK(out.swapped == 7);
    CHECK(out.exchanged == 5);
  }
}

TEST_CASE("a double buffer of cp.async sums right whenever the copies land") {
  std::vector<float> in(256 * 9);
  std::iota(in.begin(), in.end(), 1.f);
  DeviceArray<float> device_in(in);
  for (auto seed : simt::seeds(kMany)) {
    CAPTURE(seed);
    DeviceArray<float> out(1);
    REQUIRE(sum_by_copies(out.get(), device_in.get(), int(in.size())) == cudaSuccess);
    CHECK(out.host()[0] == 2304.f * 2305 / 2);
  }
}

TEST_CASE("a ring of bulk copies and mbarriers moves every tile once") {
  const int tiles = 23;
  const auto in = numbers(256 * tiles);
  DeviceArray<float> device_in(in);
  for (auto seed : simt::seeds(kMany)) {
    CAPTURE(seed);
    DeviceArray<float> out(in.size());
    REQUIRE(double_by_ring(out.get(), device_in.get(), tiles, 3) == cudaSuccess);
    const auto result = out.host();
    bool right = true;
    for (std::size_t i = 0; i < in.size(); ++i) right &= result[i] == 2 * in[i];
    CHECK(right);
  }
}

TEST_CASE("named barriers join some warps of a block") {
  for (auto seed : simt::seeds(kFew)) {
    CAPTURE(seed);
    DeviceArray<int> out(64);
    REQUIRE(named_barriers(out.get()) == cudaSuccess);
    CHECK(out.host()[5] == 58 * 58);
    CHECK(out.host()[63] == 0);
  }
}

TEST_CASE("blocks of a cooperative launch can wait for each other") {
  for (auto seed : simt::seeds(kFew)) {
    CAPTURE(seed);
    DeviceArray<unsigned> counter(1, 0u);
    REQUIRE(meet_all(counter.get(), 8, true) == cudaSuccess);
    CHECK(counter.host()[0] == 8);
  }
}

TEST_CASE("three-dimensional launches number threads and blocks as CUDA does") {
  const dim3 grid{2, 3, 2}, block{4, 2, 3};
  DeviceArray<unsigned> out(6 * 12 * 24);
  REQUIRE(three_dimensions(out.get(), grid, block) == cudaSuccess);
  const auto result = out.host();
  std::size_t i = 0;
  bool right = true;
  for (unsigned bz = 0; bz < 2; ++bz)
    for (unsigned by = 0; by < 3; ++by)
      for (unsigned bx = 0; bx < 2; ++bx)
        for (unsigned z = 0; z < 3; ++z)
          for (unsigned y = 0; y < 2; ++y)
            for (unsigned x = 0; x < 4; ++x) {
              for (unsigned expected : {x, y, z, bx, by, bz}) right &= result[i++] == expected;
            }
  CHECK(right);
}

TEST_CASE("rounding intrinsics are single IEEE operations") {
  const float a = 1.1f, b = 3.7f, c = -4.07f;
  DeviceArray<float> out(7);
  DeviceArray<double> out_double(6);
  REQUIRE(arithmetic(out.get(), out_double.get(), a, b, c) == cudaSuccess);
  const double x = a, y = b, z = c;
  CHECK(out.host() == std::vector<float>{a + b, a - b, float(x * y), a / b, std::sqrt(a), std::fma(a, b, c), a});
  CHECK(out_double.host() == std::vector<double>{x + y, x - y, x * y, x / y, std::sqrt(x), std::fma(x, y, z)});
}

TEST_CASE("the same seed gives the same schedule, another seed another") {
  const auto in = numbers(256 * 8);
  DeviceArray<float> device_in(in), out(in.size());
  const auto switches = [&](std::uint64_t seed) {
    simt::set_seed(seed);
    const auto before = simt::statistics().switches;
    REQUIRE(double_by_ring(out.get(), device_in.get(), 8, 3) == cudaSuccess);
    return simt::statistics().switches - before;
  };
  CHECK(switches(3) == switches(3));
  CHECK(switches(3) != switches(4));
}
