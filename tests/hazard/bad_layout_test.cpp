// Layouts and dtypes that must not become plans. Each has its own status, and the message says what was wrong.
#include <cstdint>

#include "refusal.h"

namespace {

constexpr int64_t kLargest = INT64_MAX;

struct Description {
  std::vector<int64_t> sizes{4, 5, 6};
  std::vector<int64_t> offsets{0, 4, 9};
  layerwise_plan_options options;

  Description() {
    REQUIRE_OK(layerwise_plan_options_init(&options, sizeof options));
    point();
  }
  void point() {
    options.layer_count = static_cast<int64_t>(sizes.size());
    options.sizes = sizes.data();
    options.offsets = offsets.empty() ? nullptr : offsets.data();
  }
};

// Both functions that read a description refuse it alike; no plan comes out, no size either.
void refused(const layerwise_plan_options& options, int32_t expected, std::initializer_list<std::string> words) {
  layerwise_plan* plan = reinterpret_cast<layerwise_plan*>(&plan);
  expect_refusal(layerwise_plan_create(&options, &plan), expected, words);
  CHECK(plan == nullptr);
  int64_t bytes = 77;
  expect_refusal(layerwise_plan_workspace_size(&options, &bytes), expected, words);
  CHECK(bytes == 77);
}

void refused_layers(std::vector<int64_t> sizes, std::vector<int64_t> offsets, int32_t expected,
                    std::initializer_list<std::string> words) {
  Description description;
  description.sizes = std::move(sizes), description.offsets = std::move(offsets);
  description.point();
  refused(description.options, expected, words);
}

void accepted(std::vector<int64_t> sizes, std::vector<int64_t> offsets) {
  Description description;
  description.sizes = std::move(sizes), description.offsets = std::move(offsets);
  description.point();
  oracle::create_plan(description.options);
}

}  // namespace

TEST_CASE("a plan needs its pointers", "[bad_input]") {
  Description description;
  layerwise_plan* plan = nullptr;
  expect_refusal(layerwise_plan_create(nullptr, &plan), LAYERWISE_ERROR_NULL_ARGUMENT, {"options", "NULL"});
  expect_refusal(layerwise_plan_create(&description.options, nullptr), LAYERWISE_ERROR_NULL_ARGUMENT, {"plan", "NULL"});
  int64_t bytes;
  expect_refusal(layerwise_plan_workspace_size(nullptr, &bytes), LAYERWISE_ERROR_NULL_ARGUMENT, {"options", "NULL"});
  expect_refusal(layerwise_plan_workspace_size(&description.options, nullptr), LAYERWISE_ERROR_NULL_ARGUMENT,
                 {"bytes", "NULL"});
  expect_refusal(layerwise_plan_options_init(nullptr, sizeof description.options), LAYERWISE_ERROR_NULL_ARGUMENT,
                 {"options", "NULL"});
  description.options.sizes = nullptr;
  refused(description.options, LAYERWISE_ERROR_NULL_ARGUMENT, {"sizes", "NULL"});
}

TEST_CASE("layers of negative size, offset or number", "[bad_input]") {
  Description description;
  description.options.layer_count = -1;
  refused(description.options, LAYERWISE_ERROR_LAYER_RANGE, {"layer_count", "-1"});
  refused_layers({4, -5, 6}, {}, LAYERWISE_ERROR_LAYER_RANGE, {"sizes[1]", "-5"});
  refused_layers({4, 5, INT64_MIN}, {0, 4, 9}, LAYERWISE_ERROR_LAYER_RANGE, {"sizes[2]", "-9223372036854775808"});
  refused_layers({4, 5, 6}, {-1, 4, 9}, LAYERWISE_ERROR_LAYER_RANGE, {"offsets[0]", "-1"});
  refused_layers({4, 5, 0}, {0, 4, -9}, LAYERWISE_ERROR_LAYER_RANGE, {"offsets[2]", "-9"});
}

TEST_CASE("layers that overlap", "[bad_input]") {
  refused_layers({4, 5, 6}, {0, 3, 9}, LAYERWISE_ERROR_LAYER_OVERLAP, {"0", "1"});
  refused_layers({4, 5, 6}, {9, 4, 0}, LAYERWISE_ERROR_LAYER_OVERLAP, {"1", "2"});   // any order
  refused_layers({4, 4}, {7, 7}, LAYERWISE_ERROR_LAYER_OVERLAP, {"7"});              // the same twice
  refused_layers({100, 1}, {0, 50}, LAYERWISE_ERROR_LAYER_OVERLAP, {"50"});          // one inside the other
  refused_layers({100, 1, 1}, {0, 200, 99}, LAYERWISE_ERROR_LAYER_OVERLAP, {"99"});  // not neighbours in the list
  refused_layers({100, 0, 1}, {0, 50, 60}, LAYERWISE_ERROR_LAYER_OVERLAP, {"60"});   // an empty layer between them
}

TEST_CASE("layers that touch, or hold nothing, do not overlap", "[bad_input]") {
  accepted({4, 5, 6}, {11, 6, 0});
  accepted({4, 0, 6}, {0, 2, 4});  // an empty layer inside another
  accepted({0, 0, 0}, {5, 5, 5});
  accepted({4, 0}, {0, 4});
}

TEST_CASE("layers beyond the address space", "[bad_input]") {
  refused_layers({kLargest}, {1}, LAYERWISE_ERROR_LAYER_OVERFLOW, {"9223372036854775807"});
  refused_layers({1}, {kLargest}, LAYERWISE_ERROR_LAYER_OVERFLOW, {"9223372036854775807"});
  refused_layers({kLargest, kLargest, kLargest}, {}, LAYERWISE_ERROR_LAYER_OVERFLOW, {"9223372036854775807"});
  refused_layers({kLargest / 2, kLargest / 2, 100}, {}, LAYERWISE_ERROR_LAYER_OVERFLOW, {});
  // In elements they fit an int64, in bytes they do not.
  refused_layers({kLargest / 2}, {0}, LAYERWISE_ERROR_LAYER_OVERFLOW, {});
  refused_layers({1}, {kLargest / 4}, LAYERWISE_ERROR_LAYER_OVERFLOW, {});
}

TEST_CASE("dtypes that are none, and dtypes a buffer cannot have", "[bad_input]") {
  struct Field {
    const char* name;
    int32_t layerwise_plan_options::*member;
    std::vector<int32_t> unsupported;
  };
  constexpr int32_t none = LAYERWISE_DTYPE_NONE, f32 = LAYERWISE_DTYPE_FLOAT32, bf16 = LAYERWISE_DTYPE_BFLOAT16,
                    f16 = LAYERWISE_DTYPE_FLOAT16, f64 = LAYERWISE_DTYPE_FLOAT64;
  const Field fields[] = {{"weights_dtype", &layerwise_plan_options::weights_dtype, {none, f64}},
                          {"grads_dtype", &layerwise_plan_options::grads_dtype, {none, f64}},
                          {"first_moment_dtype", &layerwise_plan_options::first_moment_dtype, {none, f16, f64}},
                          {"second_moment_dtype", &layerwise_plan_options::second_moment_dtype, {none, bf16, f16}},
                          {"weights_extra_dtype", &layerwise_plan_options::weights_extra_dtype, {f32, f64}}};
  for (const Field& field : fields) {
    CAPTURE(field.name);
    for (int32_t unknown : {-1, 6, 99, INT32_MAX, INT32_MIN}) {
      Description description;
      description.options.*field.member = unknown;
      refused(description.options, LAYERWISE_ERROR_UNKNOWN_DTYPE, {field.name, std::to_string(unknown)});
    }
    for (int32_t unsupported : field.unsupported) {
      Description description;
      description.options.*field.member = unsupported;
      refused(description.options, LAYERWISE_ERROR_UNSUPPORTED_DTYPE, {field.name, oracle::dtype_name(unsupported)});
    }
  }
  for (int32_t weights : {bf16, f16}) {  // a low-precision copy of low-precision weights
    Description description;
    description.options.weights_dtype = weights, description.options.weights_extra_dtype = bf16;
    refused(description.options, LAYERWISE_ERROR_UNSUPPORTED_DTYPE,
            {"weights_extra_dtype", oracle::dtype_name(weights)});
  }
}

TEST_CASE("selectors, flags and reserved fields of a plan", "[bad_input]") {
  const auto refuse = [](auto change, int32_t expected, std::initializer_list<std::string> words) {
    Description description;
    change(description.options);
    refused(description.options, expected, words);
  };
  refuse([](auto& o) { o.layout = 2; }, LAYERWISE_ERROR_UNKNOWN_FLAG, {"layout", "2"});
  refuse([](auto& o) { o.layout = -1; }, LAYERWISE_ERROR_UNKNOWN_FLAG, {"layout", "-1"});
  refuse([](auto& o) { o.isa = 5; }, LAYERWISE_ERROR_UNKNOWN_FLAG, {"isa", "5"});
  refuse([](auto& o) { o.isa = -1; }, LAYERWISE_ERROR_UNKNOWN_FLAG, {"isa", "-1"});
  refuse([](auto& o) { o.path = 3; }, LAYERWISE_ERROR_UNKNOWN_FLAG, {"path", "3"});
  refuse([](auto& o) { o.path = -1; }, LAYERWISE_ERROR_UNKNOWN_FLAG, {"path", "-1"});
  refuse([](auto& o) { o.path = LAYERWISE_PATH_ONE_PASS; }, LAYERWISE_ERROR_COMBINATION, {"path", "2", "CPU"});
  refuse([](auto& o) { o.experimental = 1 << 20; }, LAYERWISE_ERROR_UNKNOWN_FLAG, {"experimental", "1048576"});
  refuse([](auto& o) { o.experimental = 1; }, LAYERWISE_ERROR_COMBINATION, {"experimental", "1", "CPU"});
  refuse([](auto& o) { o.multiprocessors = -1; }, LAYERWISE_ERROR_INVALID_VALUE, {"multiprocessors", "-1"});
  refuse([](auto& o) { o.multiprocessors = 4; }, LAYERWISE_ERROR_INVALID_VALUE, {"multiprocessors", "4", "CPU"});
  refuse([](auto& o) { o.device = -2; }, LAYERWISE_ERROR_INVALID_VALUE, {"device", "-2"});
  refuse([](auto& o) { o.threads = -1; }, LAYERWISE_ERROR_INVALID_VALUE, {"threads", "-1"});
#if defined(__x86_64__)
  refuse([](auto& o) { o.isa = LAYERWISE_ISA_NEON; }, LAYERWISE_ERROR_UNSUPPORTED_ISA, {"isa"});
#elif defined(__aarch64__)
  refuse([](auto& o) { o.isa = LAYERWISE_ISA_AVX2; }, LAYERWISE_ERROR_UNSUPPORTED_ISA, {"isa"});
#endif
}

TEST_CASE("more threads than a process can have", "[bad_input]") {
  Description description;
  description.options.threads = INT32_MAX;
  layerwise_plan* plan = nullptr;
  const int32_t status = layerwise_plan_create(&description.options, &plan);
  INFO(layerwise_last_error());
  CHECK((status == LAYERWISE_ERROR_INVALID_VALUE || status == LAYERWISE_ERROR_OUT_OF_MEMORY));
  CHECK(plan == nullptr);
}

TEST_CASE("a CUDA device that is not there", "[bad_input]") {
  Description description;
  description.options.device = 4711;
  layerwise_plan* plan = nullptr;
  const int32_t status = layerwise_plan_create(&description.options, &plan);
  INFO(layerwise_last_error());
  CHECK(status == LAYERWISE_ERROR_NO_CUDA);
  CHECK(plan == nullptr);
  CHECK(std::string(layerwise_last_error()).size() > 10);
}

TEST_CASE("queries with bad arguments", "[bad_input]") {
  const Description description;
  const auto plan = oracle::create_plan(description.options);
  int64_t value = 77;
  expect_refusal(layerwise_plan_query(nullptr, LAYERWISE_QUERY_LAYERS, &value), LAYERWISE_ERROR_NULL_ARGUMENT,
                 {"plan", "NULL"});
  expect_refusal(layerwise_plan_query(plan.get(), LAYERWISE_QUERY_LAYERS, nullptr), LAYERWISE_ERROR_NULL_ARGUMENT,
                 {"value", "NULL"});
  for (int32_t key : {0, -1, 999})
    expect_refusal(layerwise_plan_query(plan.get(), key, &value), LAYERWISE_ERROR_UNKNOWN_FLAG,
                   {"key", std::to_string(key)});
  CHECK(value == 77);
}
