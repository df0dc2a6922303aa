// Hazard: one bad pointer among a table's many. In a scattered plan every layer that takes part is checked before any is
// stepped, and the refusal names the table and the layer.
#include <catch2/catch_test_macros.hpp>

#include "../oracle/random_case.h"

namespace {

using namespace oracle;

struct Tables {
  Model model;
  std::vector<void*> weights, grads, moment;

  static Layout layout() {
    Layout layout;
    layout.sizes = {4, 0, 6, 3};
    layout.scattered = true;
    return layout;
  }
  Tables() : model(layout()) {
    model.weights.fill(1), model.grads.fill(1);
    for (int64_t begin : model.layout.begins()) {
      weights.push_back(model.weights.at(begin));
      grads.push_back(model.grads.at(begin));
      moment.push_back(model.moment.at(begin));
    }
  }
  int32_t step(const uint8_t* mask = nullptr) {
    layerwise_novograd_options options;
    REQUIRE_OK(layerwise_novograd_options_init(&options, sizeof options));
    options.lr = 0.5;
    return novograd_step(model.plan.get(), weights.data(), grads.data(), moment.data(), model.second_moment.data(),
                         nullptr, nullptr, mask, nullptr, &options, nullptr);
  }
  void refused(int32_t status, const std::string& name) {
    const Model before = model;
    CAPTURE(name);
    CHECK(step() == status);
    CHECK(std::string(layerwise_last_error()).find(name) != std::string::npos);
    CHECK(model.same_bits(before));
  }
};

void* off_by_two(void* address) { return static_cast<char*>(address) + 2; }

}  // namespace

TEST_CASE("a layer's pointer that is not aligned to its element is refused before any layer is stepped", "[bad_input]") {
  Tables weights, grads, moment;
  weights.weights[3] = off_by_two(weights.weights[3]);
  weights.refused(LAYERWISE_ERROR_MISALIGNED, "weights[3]");
  grads.grads[2] = off_by_two(grads.grads[2]);
  grads.refused(LAYERWISE_ERROR_MISALIGNED, "grads[2]");
  moment.moment[0] = off_by_two(moment.moment[0]);
  moment.refused(LAYERWISE_ERROR_MISALIGNED, "first_moment[0]");
}

TEST_CASE("a NULL pointer of a layer that takes part is refused before any layer is stepped", "[bad_input]") {
  Tables weights, moment;
  weights.weights[2] = nullptr;
  weights.refused(LAYERWISE_ERROR_NULL_ARGUMENT, "weights[2]");
  moment.moment[3] = nullptr;
  moment.refused(LAYERWISE_ERROR_NULL_ARGUMENT, "first_moment[3]");
}

TEST_CASE("bad pointers of layers that take no part are not looked at", "[bad_input]") {
  Tables tables;
  tables.weights[1] = off_by_two(nullptr);  // a layer of no elements
  tables.weights[3] = nullptr;
  const uint8_t mask[] = {1, 1, 1, 0};
  REQUIRE_OK(tables.step(mask));
}
