// Models without layers and layers without elements. (TransformerEngine issues 3202, 3207: zero-length tensors.)
#include "refusal.h"

namespace {

using namespace oracle;

void step_all_ways(Model& model) {
  int64_t nonfinite = 0;
  auto novograd = good_novograd();
  novograd.nonfinite_layers = &nonfinite, novograd.amsgrad = 1;
  REQUIRE_OK(model.novograd(novograd));
  auto larc = good_larc();
  larc.nonfinite_layers = &nonfinite;
  REQUIRE_OK(model.larc_sgd(larc, good_sgd()));
  REQUIRE_OK(model.larc_scale(larc));
  CHECK(nonfinite == 0);
}

}  // namespace

TEST_CASE("a plan of no layers steps", "[zero]") {
  for (bool scattered : {false, true})
    for (int32_t threads : {0, 1, 7}) {
      Layout layout;
      layout.scattered = scattered, layout.threads = threads;
      Model model(layout);
      model.stats.assign(1, -7);  // a place, but no rows
      const Model before = model;
      step_all_ways(model);
      CHECK(model.same_bits(before));
      for (int32_t key :
           {LAYERWISE_QUERY_LAYERS, LAYERWISE_QUERY_ELEMENTS, LAYERWISE_QUERY_TILES, LAYERWISE_QUERY_EXTENT}) {
        int64_t value = -1;
        REQUIRE_OK(layerwise_plan_query(model.plan.get(), key, &value));
        CHECK(value == 0);
      }
    }
}

TEST_CASE("sizes may be NULL where there are no layers", "[zero]") {
  layerwise_plan_options options;
  REQUIRE_OK(layerwise_plan_options_init(&options, sizeof options));
  create_plan(options);
}

TEST_CASE("layers of no elements stay untouched", "[zero]") {
  for (bool scattered : {false, true})
    for (int32_t threads : {1, 3}) {
      Layout layout;
      layout.sizes = {0, 0, 0, 0};
      layout.scattered = scattered, layout.threads = threads;
      Model model(layout);
      model.second_moment.fill(0.25);
      const Model before = model;
      step_all_ways(model);
      CHECK(model.same_bits(before));
    }
}

TEST_CASE("empty layers among others change nothing for those", "[zero]") {
  Layout with, without;
  with.sizes = {0, 5, 0, 0, 9000, 0, 1, 0};
  without.sizes = {5, 9000, 1};
  Model a = Witness::filled(with), b = Witness::filled(without);
  step_all_ways(a);
  step_all_ways(b);
  const bool same = a.weights == b.weights && a.grads == b.grads && a.moment == b.moment;
  CHECK(same);
  for (auto [here, there] : {std::pair{1, 0}, std::pair{4, 1}, std::pair{6, 2}})
    CHECK(a.second_moment.bits(here) == b.second_moment.bits(there));
  for (int64_t empty : {0, 2, 3, 5, 7}) {
    CHECK(a.second_moment.get(empty) == 0.25);
    CHECK(a.stats[static_cast<size_t>(empty) * LAYERWISE_STAT_COUNT] == -7);
  }
}

TEST_CASE("in a scattered plan an empty layer's pointers may be NULL", "[zero]") {
  Layout layout;
  layout.sizes = {3, 0, 2};
  layout.scattered = true;
  const auto plan = create_plan(plan_options(layout));
  float weights[5] = {1, 2, 3, 4, 5}, grads[5] = {1, 1, 1, 1, 1}, moment[5] = {}, second_moment[3] = {};
  void* weight_table[] = {&weights[0], nullptr, &weights[3]};
  void* grad_table[] = {&grads[0], nullptr, &grads[3]};
  void* moment_table[] = {&moment[0], nullptr, &moment[3]};
  const auto options = good_novograd();
  REQUIRE_OK(novograd_step(plan.get(), weight_table, grad_table, moment_table, second_moment, nullptr, nullptr, nullptr,
                           nullptr, &options, nullptr));
  CHECK(second_moment[0] == 3);
  CHECK(second_moment[1] == 0);
  CHECK(second_moment[2] == 2);
}
