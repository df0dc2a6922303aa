// The CUDA backend in the CPU backend's bits, through the C ABI: on a GPU where there is one, and in the harness, which
// runs the same kernels thread by thread on the CPU under a seeded scheduler. The CPU backend is held against the
// oracle by the unit tests, so it is the expectation here.
//
// LAYERWISE_CROSS_CASES=n runs n random cases a step, LAYERWISE_CROSS_SEED=n begins elsewhere; a failure prints both.
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>

#include "cross_case.h"
#include "device_under_test.h"

namespace {

using namespace cross;

constexpr int32_t f32 = LAYERWISE_DTYPE_FLOAT32, bf16 = LAYERWISE_DTYPE_BFLOAT16, f16 = LAYERWISE_DTYPE_FLOAT16,
                  f64 = LAYERWISE_DTYPE_FLOAT64, none = LAYERWISE_DTYPE_NONE;

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

void random_cases(Step step, const char* name, Halves halves = Halves::kTogether) {
  skip_without_device();
  const uint64_t first = setting("LAYERWISE_CROSS_SEED", 1), count = setting("LAYERWISE_CROSS_CASES", kRandomCases);
  for (uint64_t seed = first; seed < first + count; ++seed) {
    INFO("repeat with LAYERWISE_CROSS_SEED=" << seed << " LAYERWISE_CROSS_CASES=1 and the test '" << name << "'");
    oracle::Random random(seed ^ 0x5eed);
    shape_device(random);
    oracle::Layout layout = oracle::random_layout(random);
    oracle::split_some(random, layout);
    limit(layout);
    const std::string found = Case(seed, step, layout, halves).run();
    INFO(found);
    REQUIRE(found.empty());
  }
}

// One layer at each edge of a thread's quad, a row and a tile; of the tile's, where threads cost much, one in turn.
std::vector<int64_t> edges(uint64_t seed) {
  std::vector<int64_t> sizes = {1, 0, 3, 4, 5, 1023, 1024, 1027}, of_tile = {8191, 8192, 8193};
  if (kOneTileEdgeACase) of_tile = {of_tile[seed % of_tile.size()]};
  sizes.insert(sizes.end(), of_tile.begin(), of_tile.end());
  return sizes;
}

void every_dtype(Step step, Halves halves = Halves::kTogether) {
  skip_without_device();
  uint64_t seed = 100;
  int combinations = 0;
  for (int32_t weights : {f32, bf16, f16})
    for (int32_t grads : {f32, bf16, f16})
      for (int32_t moment : {f32, bf16}) {
        oracle::Layout layout;
        layout.weights = weights, layout.grads = grads, layout.moment = moment;
        if (!is_among_every_dtype(layout)) continue;
        ++combinations;
        for (int64_t shift : {0, 1}) {  // aligned and not
          layout.sizes = edges(seed);
          layout.shift = shift;
          layout.second_moment = seed % 2 ? f32 : f64;
          layout.extra = weights != f32 ? none : seed % 3 == 0 ? bf16 : seed % 3 == 1 ? f16 : none;
          if (weights == bf16 && seed % 2) layout.extra = LAYERWISE_DTYPE_REMAINDER16;
          CAPTURE(oracle::dtype_name(weights), oracle::dtype_name(grads), oracle::dtype_name(moment), shift, seed);
          oracle::Random random(seed);
          shape_device(random);
          const std::string found = Case(seed++, step, layout, halves).run();
          INFO(found);
          REQUIRE(found.empty());
        }
        if (step == Step::kLarcScale) break;  // has no moment
      }
  CHECK(combinations == (step == Step::kLarcScale ? 9 : kDtypeCombinations));
}

}  // namespace

TEST_CASE("novograd_step on CUDA has the CPU's bits on random models", "[random]") {
  random_cases(Step::kNovograd, "novograd_step on CUDA has the CPU's bits on random models");
}
TEST_CASE("larc_scale on CUDA has the CPU's bits on random models", "[random]") {
  random_cases(Step::kLarcScale, "larc_scale on CUDA has the CPU's bits on random models");
}
TEST_CASE("larc_sgd_step on CUDA has the CPU's bits on random models", "[random]") {
  random_cases(Step::kLarcSgd, "larc_sgd_step on CUDA has the CPU's bits on random models");
}

TEST_CASE("layerwise_larc_novograd_step on CUDA has the CPU's bits on random models", "[random]") {
  random_cases(Step::kLarcNovograd, "layerwise_larc_novograd_step on CUDA has the CPU's bits on random models");
}
TEST_CASE("layerwise_novograd_apply on CUDA has the bits of the CPU's whole step on random models", "[random]") {
  random_cases(Step::kNovograd,
               "layerwise_novograd_apply on CUDA has the bits of the CPU's whole step on random models",
               Halves::kApart);
}
TEST_CASE("layerwise_larc_apply on CUDA has the bits of the CPU's larc_scale on random models", "[random]") {
  random_cases(Step::kLarcScale, "layerwise_larc_apply on CUDA has the bits of the CPU's larc_scale on random models",
               Halves::kApart);
}
TEST_CASE("layerwise_larc_apply on CUDA has the bits of the CPU's larc_sgd_step on random models", "[random]") {
  random_cases(Step::kLarcSgd, "layerwise_larc_apply on CUDA has the bits of the CPU's larc_sgd_step on random models",
               Halves::kApart);
}
TEST_CASE("layerwise_larc_novograd_apply on CUDA has the bits of the CPU's whole step on random models", "[random]") {
  random_cases(Step::kLarcNovograd,
               "layerwise_larc_novograd_apply on CUDA has the bits of the CPU's whole step on random models",
               Halves::kApart);
}

// Hazards: layers that have no tile here and so no block, replicas summed, random bits of a piece within a quad.
TEST_CASE("steps of a shard on CUDA have the CPU's bits on random models", "[random][shard]") {
  for (const Step step : {Step::kNovograd, Step::kLarcScale, Step::kLarcSgd, Step::kLarcNovograd})
    random_cases(step, "steps of a shard on CUDA have the CPU's bits on random models", Halves::kOfShard);
}

TEST_CASE("novograd_step on CUDA has the CPU's bits with every dtype", "[dtype]") { every_dtype(Step::kNovograd); }
TEST_CASE("larc_scale on CUDA has the CPU's bits with every dtype", "[dtype]") { every_dtype(Step::kLarcScale); }
TEST_CASE("larc_sgd_step on CUDA has the CPU's bits with every dtype", "[dtype]") { every_dtype(Step::kLarcSgd); }

TEST_CASE("layerwise_larc_novograd_step on CUDA has the CPU's bits with every dtype", "[dtype]") {
  every_dtype(Step::kLarcNovograd);
}
TEST_CASE("a step in halves on CUDA has the bits of the CPU's whole step with every dtype", "[dtype]") {
  for (const Step step : {Step::kNovograd, Step::kLarcScale, Step::kLarcSgd}) every_dtype(step, Halves::kApart);
}

// Hazard: the tree of sums above one group of 256 tiles, and counters that must be back at 0 for the next step.
TEST_CASE("layers of more than a group of tiles have the CPU's bits", "[large]") {
  skip_without_device();
  oracle::Layout layout;
  layout.sizes = {3, kLargeLayer, 5};
  layout.grads = bf16;
  for (const Step step : {Step::kNovograd, Step::kLarcScale, Step::kLarcSgd})
    for (const Halves halves : {Halves::kTogether, Halves::kApart}) {
      oracle::Random random(11);
      shape_device(random);
      const std::string found = Case(11, step, layout, halves).run();
      INFO(found);
      REQUIRE(found.empty());
    }
}
