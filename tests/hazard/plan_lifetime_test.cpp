// Plans that are none: destroyed, never created, or somebody else's memory. And plans after an error.
#include <thread>

#include "refusal.h"

namespace {

using namespace oracle;

// Every function that takes a plan. The witness has a plan of its own, which must not come to lie where a destroyed one
// did: it is created first.
void all_refuse(Witness& w, layerwise_plan* plan) {
  Model& m = w.model;
  const auto novograd = good_novograd();
  const auto larc = good_larc();
  const auto sgd = good_sgd();
  layerwise_layer_options layers;
  REQUIRE_OK(layerwise_layer_options_init(&layers, sizeof layers));
  int64_t value = 77;
  constexpr int32_t invalid = LAYERWISE_ERROR_INVALID_PLAN;
  w.refused(novograd_step(plan, m.weights.data(), m.grads.data(), m.moment.data(), m.second_moment.data(), nullptr,
                          nullptr, nullptr, nullptr, &novograd, nullptr),
            invalid, {"plan"});
  w.refused(larc_scale(plan, m.weights.data(), m.grads.data(), nullptr, nullptr, &larc, nullptr), invalid, {"plan"});
  w.refused(larc_sgd_step(plan, m.weights.data(), m.grads.data(), m.moment.data(), nullptr, nullptr, nullptr, &larc,
                          &sgd, nullptr),
            invalid, {"plan"});
  expect_refusal(layerwise_plan_set_layers(plan, &layers), invalid, {"plan"});
  expect_refusal(layerwise_plan_query(plan, LAYERWISE_QUERY_LAYERS, &value), invalid, {"plan"});
  expect_refusal(layerwise_plan_reset(plan), invalid, {"plan"});
  expect_refusal(layerwise_plan_destroy(plan), invalid, {"plan"});
  CHECK(value == 77);
}

}  // namespace

TEST_CASE("memory that is no plan is recognised", "[bad_input]") {
  alignas(256) static unsigned char zeros[4096] = {};
  alignas(256) static unsigned char ones[4096];
  std::memset(ones, 0xff, sizeof ones);
  Witness witness;
  all_refuse(witness, reinterpret_cast<layerwise_plan*>(zeros));
  all_refuse(witness, reinterpret_cast<layerwise_plan*>(ones));
}

TEST_CASE("a plan that was destroyed is recognised", "[bad_input]") {
  Witness witness;
  const auto options = plan_options(witness.model.layout);
  layerwise_plan* plan = nullptr;
  REQUIRE_OK(layerwise_plan_create(&options, &plan));
  REQUIRE_OK(layerwise_plan_destroy(plan));
  all_refuse(witness, plan);
}

TEST_CASE("destroying no plan does nothing", "[bad_input]") { REQUIRE_OK(layerwise_plan_destroy(nullptr)); }

TEST_CASE("a reset needs a plan", "[bad_input]") {
  expect_refusal(layerwise_plan_reset(nullptr), LAYERWISE_ERROR_NULL_ARGUMENT, {"plan", "NULL"});
}

TEST_CASE("a plan works on after refused calls", "[bad_input]") {
  Witness w;
  auto options = good_novograd();
  options.beta1 = 7;
  w.refused(w.model.novograd(options), LAYERWISE_ERROR_INVALID_VALUE, {"beta1", "7"});
  Witness untouched;
  REQUIRE_OK(w.model.novograd(good_novograd()));
  REQUIRE_OK(untouched.model.novograd(good_novograd()));
  CHECK(w.model.same_bits(untouched.model));
}

TEST_CASE("a plan works on after a reset", "[bad_input]") {
  Witness w, other;
  REQUIRE_OK(layerwise_plan_reset(w.model.plan.get()));
  REQUIRE_OK(w.model.novograd(good_novograd()));
  REQUIRE_OK(other.model.novograd(good_novograd()));
  CHECK(w.model.same_bits(other.model));
}

TEST_CASE("a plan keeps nothing of the caller's description", "[bad_input]") {
  Layout layout = Witness::small();
  layout.offsets = {10, 0, 13, 5};
  auto* lasting = new Layout(layout);
  auto options = plan_options(*lasting);
  layerwise_plan* plan = nullptr;
  REQUIRE_OK(layerwise_plan_create(&options, &plan));
  for (int64_t& size : lasting->sizes) size = -1;
  for (int64_t& offset : lasting->offsets) offset = INT64_MAX;
  delete lasting;
  std::memset(&options, 0xff, sizeof options);
  Model used = Witness::filled(layout), fresh = Witness::filled(layout);
  used.plan = PlanHandle(plan, DestroyPlan());
  REQUIRE_OK(used.novograd(good_novograd()));
  REQUIRE_OK(fresh.novograd(good_novograd()));
  CHECK(used.same_bits(fresh));
}

TEST_CASE("the last error belongs to its thread and stays until the thread's next failure", "[bad_input]") {
  Witness w;
  auto options = good_novograd();
  options.beta2 = -3;
  REQUIRE(w.model.novograd(options) == LAYERWISE_ERROR_INVALID_VALUE);
  const std::string message = layerwise_last_error();
  std::string elsewhere = "unset";
  std::thread([&] { elsewhere = layerwise_last_error(); }).join();
  CHECK(elsewhere.empty());
  CHECK(message == layerwise_last_error());
  CHECK(std::string(layerwise_status_name(LAYERWISE_ERROR_LAYER_OVERLAP)) == "LAYERWISE_ERROR_LAYER_OVERLAP");
  CHECK(std::string(layerwise_status_name(12345)) == "unknown status");
  CHECK(std::string(layerwise_status_name(-1)) == "unknown status");
}
