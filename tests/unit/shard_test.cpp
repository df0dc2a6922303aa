// A model cut over ranks. What is right: the bits of one plan of the whole that is given the same sums, and for the
// sums those of the whole to the rounding of their addition.
#include <catch2/catch_test_macros.hpp>

#include "../hazard/refusal.h"
#include "../oracle/ranks.h"

namespace {

using namespace oracle;

// The exchange: what an engine's all-reduce gives every rank.
Model::Sums exchanged(std::vector<Rank>& ranks, const Layout& layout, bool of_weights, bool by_max) {
  Model::Sums all(layout);
  for (std::vector<double> Model::Sums::*which : {&Model::Sums::grads, &Model::Sums::weights}) {
    if (which == &Model::Sums::weights && !of_weights) continue;
    for (size_t l = 0; l < layout.sizes.size(); ++l) {
      double& sum = (all.*which)[l] = 0;
      for (Rank& rank : ranks) sum = by_max ? std::fmax(sum, (rank.sums.*which)[l]) : sum + (rank.sums.*which)[l];
    }
  }
  return all;
}

void require_close(const std::vector<double>& sums, const std::vector<double>& whole) {
  // An element's square and its path through the tree round at most 30 times, wherever tiles begin; double adds
  // nothing.
  constexpr double kBound = 60 * 0x1p-24;
  for (size_t l = 0; l < sums.size(); ++l) {
    CAPTURE(l, sums[l], whole[l]);
    REQUIRE((std::fabs(sums[l] - whole[l]) <= kBound * std::fabs(whole[l]) || sums[l] == whole[l] ||
             !std::isfinite(whole[l])));
    REQUIRE(std::isfinite(sums[l]) == std::isfinite(whole[l]));
  }
}

std::vector<double> added(const std::vector<std::vector<double>>& claims) {
  std::vector<double> sum(claims[0].size(), 0.0);
  for (const auto& claim : claims)
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += claim[i];
  return sum;
}

std::vector<double> claim_of(const PlanHandle& plan, const std::string& agreed, int64_t count) {
  std::vector<double> claim(static_cast<size_t>(count), -7);
  REQUIRE_OK(
      layerwise_shard_claim(plan.get(), agreed.data(), static_cast<int64_t>(agreed.size()), claim.data(), count));
  return claim;
}

// A plan with pieces of layers of these whole sizes.
PlanHandle shard_of(const std::vector<int64_t>& whole, const std::vector<Piece>& pieces, bool begins = true,
                    std::vector<uint8_t> counted = {}, int32_t grads_dtype = LAYERWISE_DTYPE_FLOAT32) {
  Layout local;
  std::vector<int64_t> at;
  for (const Piece& piece : pieces) local.sizes.push_back(piece.size), at.push_back(piece.begin);
  local.grads = grads_dtype;
  PlanHandle plan = create_plan(plan_options(local));
  layerwise_shard_options shard;
  REQUIRE_OK(layerwise_shard_options_init(&shard, sizeof shard));
  shard.layer_sizes = whole.data();
  shard.layer_begins = begins ? at.data() : nullptr;
  shard.counted = counted.empty() ? nullptr : counted.data();
  REQUIRE_OK(layerwise_plan_set_shard(plan.get(), &shard));
  return plan;
}

void expect_disagreement(const std::vector<PlanHandle>& plans, std::initializer_list<std::string> words,
                         const std::vector<std::string>& agreed = {}) {
  int64_t layers = 0;
  REQUIRE_OK(layerwise_plan_query(plans[0].get(), LAYERWISE_QUERY_LAYERS, &layers));
  const int64_t count = LAYERWISE_CLAIM_HEAD + 2 * layers;
  std::vector<std::vector<double>> claims;
  for (size_t r = 0; r < plans.size(); ++r)
    claims.push_back(claim_of(plans[r], agreed.empty() ? "" : agreed[r], count));
  const auto sum = added(claims);
  for (size_t r = 0; r < plans.size(); ++r)
    expect_refusal(layerwise_shard_verify(plans[r].get(), claims[r].data(), sum.data(), count),
                   LAYERWISE_ERROR_RANKS_DISAGREE, words);
}

}  // namespace

// Hazards: second moments that differ between ranks, those of empty pieces forgotten, random bits counted from the
// piece's beginning, a layer skipped by some ranks alone.
TEST_CASE("ranks with pieces of a model step it as one plan with the same sums", "[shard]") {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Random random(seed);
    Layout described = random_layout(random);
    split_some(random, described);
    described.mask_by_null = false;
    if (described.sizes.size() > 100) described.scattered = false;
    Model whole(described);
    const auto scales = fill_state(random, whole, random.one_in(4));
    fill_gradients(random, whole, scales, random.one_in(4));
    auto novograd = random_novograd(random);
    draw_modes(random, novograd);
    auto larc = random_larc(random);
    auto sgd = random_sgd(random);
    const int64_t kind = random.below(4);
    kind == 2 ? draw_modes(random, larc, sgd) : draw_modes(random, larc);
    do_without_decayed_norm(larc);
    if (kind == 3) larc = random_larc_ahead(random), novograd.norm = LAYERWISE_NORM_L2;
    const bool random_bits = described.moment == LAYERWISE_DTYPE_BFLOAT16 && random.one_in(2);
    if (random_bits) {
      novograd.rounding = LAYERWISE_ROUNDING_STOCHASTIC, novograd.seed = 5;
      if (kind == 2 && sgd.momentum != 0) larc.rounding = LAYERWISE_ROUNDING_STOCHASTIC, larc.seed = 5;
    }
    Model cut = whole;
    const auto pieces = random_cuts(random, described, random.pick<int64_t>({1, 2, 3, 5, 8}));
    const bool begins = random_bits || random.one_in(2);
    CAPTURE(seed, kind, pieces.size());
    std::vector<Rank> ranks;
    for (const auto& of_rank : pieces) ranks.emplace_back(cut, of_rank, begins);

    const bool of_weights = kind != 0, joins = kind >= 2;
    const int32_t norm = kind == 0 ? novograd.norm : LAYERWISE_NORM_L2;
    for (Rank& rank : ranks) REQUIRE_OK(rank.partial_norms(of_weights, norm, joins));
    const auto all = exchanged(ranks, described, of_weights, norm == LAYERWISE_NORM_INF);
    Model::Sums alone(described);
    REQUIRE_OK(whole.partial_norms(alone, of_weights, norm, joins));
    require_close(all.grads, alone.grads);
    if (of_weights) require_close(all.weights, alone.weights);

    std::vector<int64_t> skipped(ranks.size() + 1, 0);
    const auto count = [&](size_t which) {
      novograd.nonfinite_layers = &skipped[which];
      if (kind != 3) larc.nonfinite_layers = &skipped[which];
    };
    const auto apply = [&](auto& to) {
      return kind == 0   ? to.novograd_apply(all, novograd)
             : kind == 3 ? to.larc_novograd_apply(all, larc, novograd)
                         : to.larc_apply(all, larc, kind == 1 ? nullptr : &sgd);
    };
    count(ranks.size());
    REQUIRE_OK(apply(whole));
    for (size_t r = 0; r < ranks.size(); ++r) {
      count(r);
      REQUIRE_OK(apply(ranks[r]));
      REQUIRE(ranks[r].second_moment == whole.second_moment);
      REQUIRE(ranks[r].max_second_moment == whole.max_second_moment);
      REQUIRE(std::memcmp(ranks[r].stats.data(), whole.stats.data(), whole.stats.size() * sizeof(double)) == 0);
      REQUIRE(skipped[r] == skipped.back());
    }
    REQUIRE(cut.weights == whole.weights);
    REQUIRE(cut.grads == whole.grads);
    REQUIRE(cut.moment == whole.moment);
    REQUIRE(cut.extra == whole.extra);
  }
}

TEST_CASE("a replica that is not counted adds nothing, and is stepped", "[shard]") {
  Model model(Witness::small());
  const Model whole = Witness::filled(Witness::small());
  std::vector<Model> replicas = {whole, whole};
  for (int r = 0; r < 2; ++r) replicas[r].plan = create_plan(plan_options(whole.layout));
  std::vector<Model::Sums> sums(2, Model::Sums(whole.layout));
  for (int r = 0; r < 2; ++r) {
    const std::vector<uint8_t> counted(4, r == 0);
    layerwise_shard_options shard;
    REQUIRE_OK(layerwise_shard_options_init(&shard, sizeof shard));
    shard.layer_sizes = whole.layout.sizes.data();
    shard.counted = counted.data();
    REQUIRE_OK(layerwise_plan_set_shard(replicas[r].plan.get(), &shard));
    REQUIRE_OK(replicas[r].partial_norms(sums[r], true, LAYERWISE_NORM_L2));
  }
  Model expected = whole;
  Model::Sums alone(whole.layout);
  REQUIRE_OK(expected.partial_norms(alone, true, LAYERWISE_NORM_L2));
  CHECK(sums[0].grads == alone.grads);
  CHECK(sums[0].weights == alone.weights);
  CHECK(sums[1].grads == std::vector<double>(4, 0));
  CHECK(sums[1].weights == std::vector<double>(4, 0));
  const auto options = good_novograd();
  REQUIRE_OK(expected.novograd_apply(alone, options));
  for (Model& replica : replicas) {
    REQUIRE_OK(replica.novograd_apply(alone, options));
    CHECK(replica.same_bits(expected));
  }
}

TEST_CASE("claims of pieces that make whole layers are verified, however they are cut", "[shard]") {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Random random(seed);
    Layout whole;
    whole.sizes = random_sizes(random);
    const auto cuts = random_cuts(random, whole, random.pick<int64_t>({1, 2, 3, 8, 100}));
    const int64_t all = LAYERWISE_CLAIM_HEAD + 2 * whole.layers();
    const bool begins = random.one_in(2);
    CAPTURE(seed, cuts.size());
    for (const int64_t count : {int64_t{LAYERWISE_CLAIM_HEAD}, all}) {
      std::vector<std::vector<double>> claims;
      std::vector<PlanHandle> plans;
      for (const auto& pieces : cuts) {
        plans.push_back(shard_of(whole.sizes, pieces, begins));
        claims.push_back(claim_of(plans.back(), "lr 0.1", count));
      }
      random.shuffle(claims);  // any order of addition
      const auto sum = added(claims);
      for (const PlanHandle& plan : plans) {
        const auto own = claim_of(plan, "lr 0.1", count);
        REQUIRE_OK(layerwise_shard_verify(plan.get(), own.data(), sum.data(), count));
      }
    }
  }
}

TEST_CASE("every rank hears of holes, double counting and ranks that disagree", "[shard]") {
  const std::vector<int64_t> whole = {10, 7};
  const PlanHandle first = shard_of(whole, {{0, 4}, {0, 7}}), second = shard_of(whole, {{4, 6}, {7, 0}});
  SECTION("a hole") {
    expect_disagreement({first, shard_of(whole, {{5, 5}, {7, 0}})}, {"layer 0", "10", "9", "missing"});
  }
  SECTION("counted twice") {
    expect_disagreement({first, second, shard_of(whole, {{0, 0}, {3, 2}})}, {"layer 1", "7", "9", "twice"});
  }
  SECTION("a hole and an overlap of the same size") {
    expect_disagreement({first, shard_of(whole, {{3, 6}, {7, 0}})}, {"layer 0", "follow"});
  }
  SECTION("a replica that no rank counts") {
    expect_disagreement({first, shard_of(whole, {{4, 6}, {7, 0}}, true, {0, 1})}, {"layer 0", "4", "missing"});
  }
  SECTION("another whole size") { expect_disagreement({first, shard_of({11, 7}, {{4, 6}, {7, 0}})}, {"whole sizes"}); }
  SECTION("begins that one rank does not tell") {
    expect_disagreement({first, shard_of(whole, {{4, 6}, {7, 0}}, false)}, {"contiguous"});
  }
  SECTION("another dtype") {
    expect_disagreement({first, shard_of(whole, {{4, 6}, {7, 0}}, true, {}, LAYERWISE_DTYPE_BFLOAT16)}, {"dtypes"});
  }
  SECTION("another lr") { expect_disagreement({first, second}, {"agreed", "lr"}, {"0.1", "0.2"}); }
  SECTION("one of many") {
    std::vector<PlanHandle> plans = {first, second};
    for (int r = 0; r < 60; ++r) plans.push_back(shard_of(whole, {{0, 0}, {0, 0}}));
    std::vector<std::string> agreed(62, "0.1");
    agreed[33] = "0.10000001";
    expect_disagreement(plans, {"agreed"}, agreed);
  }
  SECTION("claims that were not added up") {
    const int64_t count = LAYERWISE_CLAIM_HEAD + 4;
    const auto own = claim_of(first, "", count);
    const std::vector<double> nothing(own.size(), 0);
    expect_refusal(layerwise_shard_verify(first.get(), own.data(), nothing.data(), count),
                   LAYERWISE_ERROR_RANKS_DISAGREE, {"sum[0]", "ranks"});
  }
}

TEST_CASE("the global fingerprint is the ranks', and of the whole model in one plan", "[shard]") {
  const auto print = [](const PlanHandle& plan) {
    int64_t value = 0;
    REQUIRE_OK(layerwise_plan_query(plan.get(), LAYERWISE_QUERY_GLOBAL_FINGERPRINT, &value));
    return value;
  };
  Layout layout;
  layout.sizes = {10, 7};
  layout.offsets = {20, 0};
  const int64_t whole = print(create_plan(plan_options(layout)));
  CHECK(print(shard_of(layout.sizes, {{0, 4}, {0, 7}})) == whole);
  CHECK(print(shard_of(layout.sizes, {{4, 6}, {7, 0}}, false, {0, 0})) == whole);
  CHECK(print(shard_of({10, 8}, {{4, 6}, {7, 0}})) != whole);
  CHECK(print(shard_of(layout.sizes, {{4, 6}, {7, 0}}, true, {}, LAYERWISE_DTYPE_FLOAT16)) != whole);
}
