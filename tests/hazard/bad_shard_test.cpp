// What a plan for a shard refuses, without a byte written.
#include "refusal.h"

namespace {

using namespace oracle;

constexpr int32_t kNull = LAYERWISE_ERROR_NULL_ARGUMENT, kFlag = LAYERWISE_ERROR_UNKNOWN_FLAG,
                  kRange = LAYERWISE_ERROR_LAYER_RANGE, kCombination = LAYERWISE_ERROR_COMBINATION;

struct Shard : Witness {
  std::vector<int64_t> whole = {6, 0, 40, 2}, begins = {3, 0, 0, 1};
  std::vector<uint8_t> counted = {1, 1, 1, 1};

  using Witness::Witness;
  int32_t set(const int64_t* sizes, const int64_t* at, const uint8_t* counts) {
    layerwise_shard_options options;
    REQUIRE_OK(layerwise_shard_options_init(&options, sizeof options));
    options.layer_sizes = sizes, options.layer_begins = at, options.counted = counts;
    return layerwise_plan_set_shard(model.plan.get(), &options);
  }
  int32_t set() { return set(whole.data(), begins.data(), counted.data()); }
};

}  // namespace

TEST_CASE("a shard's pieces must lie in their layers", "[bad_input]") {
  Shard h;
  expect_refusal(h.set(nullptr, nullptr, nullptr), kNull, {"layer_sizes", "NULL"});
  h.whole[2] = 39;
  expect_refusal(h.set(), kRange, {"layer_sizes[2]", "39", "40"});
  h.whole[2] = INT64_MAX / 8;
  expect_refusal(h.set(), kRange, {"layer_sizes[2]"});
  h.whole[2] = 40, h.begins[0] = 4;
  expect_refusal(h.set(), kRange, {"layer_begins[0]", "4", "6"});
  h.begins[0] = -2;
  expect_refusal(h.set(), kRange, {"layer_begins[0]", "-2"});
  h.begins[0] = 3, h.begins[1] = -7;  // of an empty piece: ranks would differ in whether the layer's are contiguous
  expect_refusal(h.set(), kRange, {"layer_begins[1]", "-7"});
  h.begins[1] = 0, h.counted[3] = 2;
  expect_refusal(h.set(), kFlag, {"counted[3]", "2"});
  layerwise_shard_options options;
  REQUIRE_OK(layerwise_shard_options_init(&options, sizeof options));
  options.layer_sizes = h.whole.data(), options.reserved[3] = 1;
  expect_refusal(layerwise_plan_set_shard(h.model.plan.get(), &options), kFlag, {"reserved", "1"});
  const auto step = good_novograd();
  REQUIRE_OK(h.model.novograd(step));  // still a plan of whole layers
}

// Hazard: a whole step of pieces, whose norms are the pieces': a wrong number without an error.
TEST_CASE("a plan for a shard takes no whole step", "[bad_input]") {
  Shard h;
  REQUIRE_OK(h.set());
  const auto novograd = good_novograd();
  const auto larc = good_larc();
  const auto sgd = good_sgd();
  layerwise_larc_options ahead;
  REQUIRE_OK(layerwise_larc_options_init(&ahead, sizeof ahead));
  h.refused(h.model.novograd(novograd), kCombination, {"shard", "layerwise_partial_norms"});
  h.refused(h.model.larc_scale(larc), kCombination, {"shard"});
  h.refused(h.model.larc_sgd(larc, sgd), kCombination, {"shard"});
  h.refused(h.model.larc_novograd(ahead, novograd), kCombination, {"shard"});
}

TEST_CASE("a shard without an element still needs what belongs to its layers", "[bad_input]") {
  Shard h;
  Layout empty = h.model.layout;
  empty.sizes = {0, 0, 0, 0};
  h.model.plan = create_plan(plan_options(empty));
  const std::vector<double> sums(4, 1);
  const auto options = good_novograd();
  const auto apply = [&](void* second, const double* given) {
    return layerwise_novograd_apply(h.model.plan.get(), nullptr, nullptr, nullptr, second, nullptr, nullptr, nullptr,
                                    nullptr, given, LAYERWISE_SUMS_LAYERS, &options, nullptr);
  };
  REQUIRE_OK(apply(nullptr, nullptr));  // there is nothing anywhere
  REQUIRE_OK(h.set());
  h.refused(apply(nullptr, sums.data()), kNull, {"second_moment"});
  h.refused(apply(h.model.second_moment.data(), nullptr), kNull, {"grad_sums"});
  REQUIRE_OK(apply(h.model.second_moment.data(), sums.data()));
  // v = 0.98*0.25 + 0.02*1 wherever there is a layer
  for (int64_t l : {0, 2, 3}) CHECK(std::fabs(h.model.second_moment.get(l) - 0.265) < 1e-15);
  CHECK(h.model.second_moment.get(1) == 0.25);
}

TEST_CASE("random bits need a shard's places", "[bad_input]") {
  Layout layout = Witness::small();
  layout.moment = LAYERWISE_DTYPE_BFLOAT16;
  Shard h(layout);
  auto options = good_novograd();
  options.rounding = LAYERWISE_ROUNDING_STOCHASTIC, options.step = 1;
  Model::Sums sums(layout);
  sums.grads.assign(4, 1);
  REQUIRE_OK(h.set(h.whole.data(), nullptr, nullptr));
  h.refused(h.model.novograd_apply(sums, options), kCombination, {"rounding", "layer_begins[0]"});
  REQUIRE_OK(h.set());
  REQUIRE_OK(h.model.novograd_apply(sums, options));
}

TEST_CASE("claims refuse what they cannot mean", "[bad_input]") {
  Shard h;
  const int64_t count = LAYERWISE_CLAIM_HEAD + 8;
  std::vector<double> claim(count, -7);
  const std::vector<double> untouched = claim;
  const auto write = [&](double* to, const void* agreed, int64_t bytes, int64_t size) {
    return layerwise_shard_claim(h.model.plan.get(), agreed, bytes, to, size);
  };
  expect_refusal(write(claim.data(), nullptr, 0, count), kCombination, {"plan", "whole"});
  REQUIRE_OK(h.set());
  expect_refusal(write(nullptr, nullptr, 0, count), kNull, {"claim"});
  expect_refusal(write(claim.data(), nullptr, 1, count), kNull, {"agreed"});
  expect_refusal(write(claim.data(), "a", -1, count), LAYERWISE_ERROR_INVALID_VALUE, {"agreed_bytes", "-1"});
  expect_refusal(write(claim.data(), nullptr, 0, count - 1), LAYERWISE_ERROR_INVALID_VALUE, {"count", "24"});
  CHECK(claim == untouched);
  expect_refusal(layerwise_shard_verify(h.model.plan.get(), nullptr, claim.data(), count), kNull, {"claim"});
  expect_refusal(layerwise_shard_verify(h.model.plan.get(), claim.data(), nullptr, count), kNull, {"sum"});
}
