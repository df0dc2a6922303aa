// Several threads of the caller at once: different plans are independent, one plan may wander between threads.
#include <atomic>
#include <thread>

#include "refusal.h"

namespace {

using namespace oracle;

Layout layout(int32_t threads) {
  Layout layout;
  layout.sizes = {5, 30000, 1024, 9000, 1};
  layout.threads = threads;
  return layout;
}

// Catch2's assertions are for one thread: the statuses are collected.
int32_t steps(Model& model, int count) {
  const layerwise_novograd_options novograd = [] {
    layerwise_novograd_options options;
    layerwise_novograd_options_init(&options, sizeof options);
    options.lr = 0.01;
    return options;
  }();
  for (int i = 0; i < count; ++i)
    if (const int32_t status = model.novograd(novograd)) return status;
  return LAYERWISE_OK;
}

}  // namespace

TEST_CASE("several plans step at once in several threads", "[threads]") {
  constexpr int count = 20;
  Model expected = Witness::filled(layout(1));
  REQUIRE(steps(expected, count) == LAYERWISE_OK);
  std::vector<Model> models;
  for (int32_t threads : {1, 2, 3, 5}) models.push_back(Witness::filled(layout(threads)));
  std::vector<int32_t> statuses(models.size(), -1);
  std::vector<std::thread> callers;
  for (size_t i = 0; i < models.size(); ++i) callers.emplace_back([&, i] { statuses[i] = steps(models[i], count); });
  for (std::thread& caller : callers) caller.join();
  for (size_t i = 0; i < models.size(); ++i) {
    CAPTURE(i);
    CHECK(statuses[i] == LAYERWISE_OK);
    CHECK(models[i].same_bits(expected));
  }
}

TEST_CASE("one plan is used by different threads in turn", "[threads]") {
  Model expected = Witness::filled(layout(1)), model = Witness::filled(layout(3));
  REQUIRE(steps(expected, 6) == LAYERWISE_OK);
  int32_t status = LAYERWISE_OK;
  for (int i = 0; i < 6; ++i) {
    std::thread([&] { status = steps(model, 1); }).join();
    REQUIRE(status == LAYERWISE_OK);
  }
  CHECK(model.same_bits(expected));
}

TEST_CASE("plans are created and destroyed in many threads at once", "[threads]") {
  const Layout described = layout(2);
  const auto options = plan_options(described);
  std::atomic<int> failures = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        layerwise_plan* plan = nullptr;
        int64_t layers = 0;
        failures += layerwise_plan_create(&options, &plan) != LAYERWISE_OK;
        failures += layerwise_plan_query(plan, LAYERWISE_QUERY_LAYERS, &layers) != LAYERWISE_OK || layers != 5;
        failures += layerwise_plan_destroy(plan) != LAYERWISE_OK;
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(failures == 0);
}

TEST_CASE("a plan is destroyed by another thread than created it", "[threads]") {
  Model model = Witness::filled(layout(3));
  REQUIRE(steps(model, 1) == LAYERWISE_OK);
  std::thread([&] { model.plan.reset(); }).join();
}

TEST_CASE("many more threads than layers or cores", "[threads]") {
  Model expected = Witness::filled(layout(1)), model = Witness::filled(layout(64));
  REQUIRE(steps(expected, 3) == LAYERWISE_OK);
  REQUIRE(steps(model, 3) == LAYERWISE_OK);
  CHECK(model.same_bits(expected));
}

TEST_CASE("error messages of several threads do not mix", "[threads]") {
  std::atomic<int> mixed = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&, i] {
      layerwise_plan_options options;
      layerwise_plan_options_init(&options, sizeof options);
      options.layer_count = -100 - i;
      layerwise_plan* plan = nullptr;
      for (int round = 0; round < 500; ++round) {
        layerwise_plan_create(&options, &plan);
        mixed += std::string(layerwise_last_error()).find(std::to_string(-100 - i)) == std::string::npos;
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(mixed == 0);
}
