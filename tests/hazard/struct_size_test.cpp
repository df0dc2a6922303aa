// Callers compiled against another version of the header: structs shorter or longer than this library's. Those of the
// first header are real programs, in tests/abi.
#include "refusal.h"

namespace {

using namespace oracle;

// What a later header's struct may look like to this library.
template <class Options>
struct Longer {
  Options known;
  int64_t unknown[3];
};

// What a caller of the first header has (tests/abi/old_header); below it nobody is.
template <class Options>
constexpr int64_t kFirst = std::is_same_v<Options, layerwise_plan_options>       ? 104
                           : std::is_same_v<Options, layerwise_layer_options>    ? 48
                           : std::is_same_v<Options, layerwise_novograd_options> ? 184
                           : std::is_same_v<Options, layerwise_larc_options>     ? 136
                                                                                 : 64;

template <class Options, class Init>
void check_init(Init init) {
  const int64_t size = sizeof(Options);
  for (int64_t bad : {int64_t{0}, int64_t{-8}, int64_t{4}, kFirst<Options> - 1, INT64_MAX, INT64_MIN}) {
    std::vector<unsigned char> memory(sizeof(Options), 0x5a);
    expect_refusal(init(reinterpret_cast<Options*>(memory.data()), bad), LAYERWISE_ERROR_STRUCT_SIZE,
                   {"struct_size", std::to_string(bad)});
    CHECK(memory == std::vector<unsigned char>(sizeof(Options), 0x5a));
  }
  expect_refusal(init(nullptr, size), LAYERWISE_ERROR_NULL_ARGUMENT, {"options", "NULL"});

  Options exact;
  REQUIRE_OK(init(&exact, size));
  CHECK(exact.struct_size == size);

  // A later caller: all its bytes are written, those unknown here with zeros.
  Longer<Options> longer;
  std::memset(&longer, 0x5a, sizeof longer);
  REQUIRE_OK(init(&longer.known, sizeof longer));
  CHECK(longer.known.struct_size == static_cast<int64_t>(sizeof longer));
  for (int64_t member : longer.unknown) CHECK(member == 0);
}

// use(options) must accept unknown zeros and refuse anything else there, and sizes that cannot be.
template <class Options, class Init, class Use, class Refused>
void check_use(Init init, Use use, Refused refused) {
  Longer<Options> longer;
  REQUIRE_OK(init(&longer.known, sizeof longer));
  REQUIRE_OK(use(&longer.known));
  for (int64_t& member : longer.unknown) {
    member = int64_t{1} << 56;  // the last byte alone
    refused(use(&longer.known), {std::to_string(sizeof(Options)), "byte"});
    member = 0;
  }
  for (int64_t bad : {int64_t{0}, int64_t{-1}, kFirst<Options> - 1, INT64_MAX, INT64_MIN}) {
    Options options;
    REQUIRE_OK(init(&options, sizeof options));
    options.struct_size = bad;
    refused(use(&options), {"struct_size", std::to_string(bad)});
  }
}

}  // namespace

TEST_CASE("initialisers write what the caller has room for", "[bad_input]") {
  check_init<layerwise_plan_options>(layerwise_plan_options_init);
  check_init<layerwise_layer_options>(layerwise_layer_options_init);
  check_init<layerwise_novograd_options>(layerwise_novograd_options_init);
  check_init<layerwise_larc_options>(layerwise_larc_options_init);
  check_init<layerwise_sgd_options>(layerwise_sgd_options_init);
}

TEST_CASE("plan and layer options of another version", "[bad_input]") {
  layerwise_plan* plan = nullptr;
  const auto destroy = [&] { layerwise_plan_destroy(plan), plan = nullptr; };
  check_use<layerwise_plan_options>(
      layerwise_plan_options_init,
      [&](const layerwise_plan_options* options) {
        destroy();
        return layerwise_plan_create(options, &plan);
      },
      [&](int32_t status, std::initializer_list<std::string> words) {
        expect_refusal(status, LAYERWISE_ERROR_STRUCT_SIZE, words);
        CHECK(plan == nullptr);
      });
  destroy();
  Witness w;
  check_use<layerwise_layer_options>(
      layerwise_layer_options_init,
      [&](const layerwise_layer_options* options) { return layerwise_plan_set_layers(w.model.plan.get(), options); },
      [&](int32_t status, std::initializer_list<std::string> words) {
        expect_refusal(status, LAYERWISE_ERROR_STRUCT_SIZE, words);
      });
}

TEST_CASE("step options of another version", "[bad_input]") {
  Witness w;
  const auto refused = [&](int32_t status, std::initializer_list<std::string> words) {
    w.refused(status, LAYERWISE_ERROR_STRUCT_SIZE, words);
  };
  const auto accepted = [&](int32_t status) {
    if (status == LAYERWISE_OK) w.before = w.model;
    return status;
  };
  const auto larc = good_larc();
  check_use<layerwise_novograd_options>(
      [](layerwise_novograd_options* o, int64_t size) {
        const int32_t status = layerwise_novograd_options_init(o, size);
        o->lr = 0.01;
        return status;
      },
      [&](const layerwise_novograd_options* o) {
        return accepted(novograd_step(w.model.plan.get(), w.model.weights.data(), w.model.grads.data(),
                                      w.model.moment.data(), w.model.second_moment.data(), nullptr, nullptr, nullptr,
                                      nullptr, o, nullptr));
      },
      refused);
  check_use<layerwise_larc_options>(
      [](layerwise_larc_options* o, int64_t size) {
        const int32_t status = layerwise_larc_options_init(o, size);
        o->lr = 0.01;
        return status;
      },
      [&](const layerwise_larc_options* o) {
        return accepted(
            larc_scale(w.model.plan.get(), w.model.weights.data(), w.model.grads.data(), nullptr, nullptr, o, nullptr));
      },
      refused);
  check_use<layerwise_sgd_options>(
      layerwise_sgd_options_init,
      [&](const layerwise_sgd_options* o) {
        return accepted(larc_sgd_step(w.model.plan.get(), w.model.weights.data(), w.model.grads.data(),
                                      w.model.moment.data(), nullptr, nullptr, nullptr, &larc, o, nullptr));
      },
      refused);
}
