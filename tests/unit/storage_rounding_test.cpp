// Loads and stores of the 16-bit types, value by value, against the oracle's slow rounding: nearest, ties to even,
// subnormals kept, overflow to infinity.
#include <catch2/catch_test_macros.hpp>

#include "../oracle/random_case.h"
#include "available_isas.h"

namespace {

using namespace oracle;

// float32 values around every boundary of a 16-bit type: its values, their midpoints, and the neighbours of both.
std::vector<float> boundaries(int32_t dtype) {
  std::vector<float> values;
  for (uint64_t bits = 0; bits < 0x8000; ++bits) {
    const double here = decode(dtype, bits), next = decode(dtype, bits + 1);
    if (!std::isfinite(here)) break;
    // Past the largest finite value the next one would be, were there another exponent.
    const double above = std::isfinite(next) ? next : here + static_cast<double>(spacing(dtype, here));
    const double middle = here / 2 + above / 2;
    for (double value : {here, middle}) {
      const float x = static_cast<float>(value);
      if (!std::isfinite(x)) continue;
      for (float y : {x, std::nextafter(x, 0.0f), std::nextafter(x, INFINITY)})
        if (std::isfinite(y)) values.push_back(y), values.push_back(-y);
    }
  }
  return values;
}

}  // namespace

TEST_CASE("the oracle's rounding is its own inverse on every 16-bit value", "[oracle]") {
  for (int32_t dtype : {LAYERWISE_DTYPE_BFLOAT16, LAYERWISE_DTYPE_FLOAT16})
    for (uint64_t bits = 0; bits < 0x10000; ++bits) {
      const double value = decode(dtype, bits);
      if (!std::isnan(value)) REQUIRE(encode(dtype, value) == bits);
    }
  // Hand-picked: 1 + 2^-8 is a tie that goes to even in bfloat16, and exact in float16; 65520 overflows float16.
  CHECK(encode(LAYERWISE_DTYPE_BFLOAT16, 1 + 0x1p-8L) == 0x3f80);
  CHECK(encode(LAYERWISE_DTYPE_BFLOAT16, 1 + 0x3p-8L) == 0x3f82);
  CHECK(encode(LAYERWISE_DTYPE_FLOAT16, 1 + 0x1p-8L) == 0x3c04);
  CHECK(encode(LAYERWISE_DTYPE_FLOAT16, 65519.999L) == 0x7bff);
  CHECK(encode(LAYERWISE_DTYPE_FLOAT16, 65520) == 0x7c00);
  CHECK(encode(LAYERWISE_DTYPE_FLOAT16, 0x1p-25L) == 0);
  CHECK(encode(LAYERWISE_DTYPE_FLOAT16, 0x1.8p-25L) == 1);
  CHECK(encode(LAYERWISE_DTYPE_FLOAT32, 0x1p-150L) == 0);
  CHECK(encode(LAYERWISE_DTYPE_FLOAT32, -1.5L) == 0xbfc00000);
}

TEST_CASE("the weight copy rounds every boundary of its type to nearest even", "[dtypes]") {
  for (int32_t isa : available_isas())
    for (int32_t dtype : {LAYERWISE_DTYPE_BFLOAT16, LAYERWISE_DTYPE_FLOAT16}) {
      const std::vector<float> values = boundaries(dtype);
      Layout layout;
      layout.sizes = {static_cast<int64_t>(values.size())};
      layout.extra = dtype;
      layout.isa = isa;
      Model model(layout);
      for (size_t i = 0; i < values.size(); ++i) model.weights.set(static_cast<int64_t>(i), values[i]);
      model.grads.fill(0);
      layerwise_novograd_options options;
      layerwise_novograd_options_init(&options, sizeof options);
      options.lr = 0;  // the weights stay, the copy is made
      REQUIRE_OK(model.novograd(options));
      for (int64_t i = 0; i < layout.sizes[0]; ++i)
        if (model.extra.bits(i) != encode(dtype, values[static_cast<size_t>(i)])) {
          CAPTURE(isa, dtype_name(dtype), i, values[static_cast<size_t>(i)], model.extra.bits(i));
          REQUIRE(model.extra.bits(i) == encode(dtype, values[static_cast<size_t>(i)]));
        }
    }
}

TEST_CASE("every finite 16-bit gradient survives a factor of 1", "[dtypes]") {
  for (int32_t isa : available_isas())
    for (int32_t dtype : {LAYERWISE_DTYPE_BFLOAT16, LAYERWISE_DTYPE_FLOAT16}) {
      Layout layout;
      layout.sizes = {0x10000};
      layout.grads = dtype;
      layout.isa = isa;
      layout.skip_larc = {1};
      Model model(layout);
      for (uint64_t bits = 0; bits < 0x10000; ++bits) {
        const double value = decode(dtype, bits);
        model.grads.set(static_cast<int64_t>(bits), std::isfinite(value) ? value : 0);
      }
      model.weights.fill(1);
      const Buffer before = model.grads;
      layerwise_larc_options options;
      layerwise_larc_options_init(&options, sizeof options);
      options.lr = 1;
      REQUIRE_OK(model.larc_scale(options));
      const bool kept = model.grads == before;
      CAPTURE(isa, dtype_name(dtype));
      REQUIRE(kept);
    }
}

TEST_CASE("a 16-bit result overflows to infinity and does not saturate", "[dtypes]") {
  Layout layout;
  layout.sizes = {2};
  layout.grads = LAYERWISE_DTYPE_FLOAT16;
  layout.skip_larc = {1};
  Model model(layout);
  model.weights.fill(1);
  model.grads.set(0, 60000);
  model.grads.set(1, -1);
  layerwise_larc_options options;
  layerwise_larc_options_init(&options, sizeof options);
  options.lr = 1, options.grad_scale = 0.5;
  REQUIRE_OK(model.larc_scale(options));
  CHECK(model.grads.get(0) == INFINITY);
  CHECK(model.grads.get(1) == -2);
}
