// The bits of a norm. With a float64 second moment, grad_scale 1 and a v that is still 0, v after the step is exactly
// the double the summation order gives; tests/oracle/summation.h spells that order out.
#include <catch2/catch_test_macros.hpp>

#include "../oracle/random_case.h"
#include "../oracle/summation.h"
#include "available_isas.h"

namespace {

using namespace oracle;

enum class Kind { normal, faint, tiny, subnormal, huge, mixed, alternating, spread };

float value(Random& random, Kind kind, int64_t i) {
  const double x = random.normal();
  switch (kind) {
    case Kind::faint:  // squares below float32's normal range, their sum above it: lost bits unless rescaled
      return static_cast<float>(x * 0x1p-65);
    case Kind::tiny:
      return static_cast<float>(x * 1e-22);
    case Kind::subnormal:
      return static_cast<float>(x * 1e-41);
    case Kind::huge:
      return static_cast<float>(x * 1e37);
    case Kind::mixed:  // every magnitude float32 has
      return static_cast<float>(std::ldexp(x, static_cast<int>(random.below(250)) - 140));
    case Kind::alternating:  // tiles of normal, tiny and huge values side by side in one layer
      return static_cast<float>(x * (i / 8192 % 3 == 0 ? 1 : i / 8192 % 3 == 1 ? 1e-30 : 1e30));
    case Kind::spread:  // tile sums over 60 binary places: the order of the double additions shows in the last bits
      return static_cast<float>(std::ldexp(x, -static_cast<int>(i / 8192 * 7 % 31)));
    default:
      return static_cast<float>(x);
  }
}

using Layers = std::vector<std::vector<float>>;

Layers random_layers(const std::vector<int64_t>& sizes, Kind kind, uint64_t seed) {
  Random random(seed);
  Layers layers;
  for (int64_t size : sizes) {
    layers.emplace_back();
    for (int64_t i = 0; i < size; ++i) layers.back().push_back(value(random, kind, i));
  }
  return layers;
}

// v of every layer after a seeded step, as bits.
void compare(const Layers& layers, int32_t dtype, int32_t threads, int32_t isa) {
  Layout layout;
  for (const auto& layer : layers) layout.sizes.push_back(static_cast<int64_t>(layer.size()));
  layout.grads = dtype;
  layout.second_moment = LAYERWISE_DTYPE_FLOAT64;
  layout.threads = threads;
  layout.isa = isa;
  Model model(layout);
  model.weights.fill(0);
  std::vector<double> expected;
  int64_t at = 0;
  for (const auto& layer : layers) {
    std::vector<float> elements;
    for (float element : layer) {
      model.grads.set(at, element);
      elements.push_back(static_cast<float>(model.grads.get(at++)));
    }
    expected.push_back(squared_norm(elements));
  }
  layerwise_novograd_options options;
  layerwise_novograd_options_init(&options, sizeof options);
  options.lr = 0;
  REQUIRE_OK(model.novograd(options));
  for (size_t l = 0; l < layers.size(); ++l) {
    CAPTURE(l, layers[l].size(), dtype_name(dtype), threads, isa);
    CAPTURE(expected[l], model.second_moment.get(static_cast<int64_t>(l)));
    const bool equal =
        encode(LAYERWISE_DTYPE_FLOAT64, expected[l]) == model.second_moment.bits(static_cast<int64_t>(l));
    REQUIRE(equal);
  }
}

void compare(const std::vector<int64_t>& sizes, Kind kind, int32_t dtype, int32_t threads, int32_t isa, uint64_t seed) {
  CAPTURE(static_cast<int>(kind));
  compare(random_layers(sizes, kind, seed), dtype, threads, isa);
}

const std::vector<int64_t> kEdges = {0,    1,    2,    3,    7,    31,   64,    1000,  1023,  1024, 1025,
                                     2047, 2049, 8191, 8192, 8193, 9216, 16383, 16384, 16385, 40000};

}  // namespace

TEST_CASE("the squared norm has the bits of the written order at every edge of a tile", "[bits]") {
  for (int32_t isa : available_isas())
    for (Kind kind :
         {Kind::normal, Kind::faint, Kind::tiny, Kind::subnormal, Kind::huge, Kind::mixed, Kind::alternating})
      compare(kEdges, kind, LAYERWISE_DTYPE_FLOAT32, 1, isa, 11);
}

TEST_CASE("the squared norm of 16-bit gradients has the bits of the written order", "[bits]") {
  for (int32_t isa : available_isas())
    for (int32_t dtype : {LAYERWISE_DTYPE_BFLOAT16, LAYERWISE_DTYPE_FLOAT16})
      for (Kind kind : {Kind::normal, Kind::tiny}) compare(kEdges, kind, dtype, 2, isa, 12);
}

// Hazard: the square of a bfloat16 is a float32 unless it underflows, but code that rounds it before it adds loses an
// eighth of the last place here: 9 * 2^-152 to a column of 9 * 2^-128. Every other element makes that eighth decide a tie
// of the next level, up to a sum of 2^-80, which is not taken again from scaled elements.
TEST_CASE("the squared norm of bfloat16 gradients rounds no square on its own", "[bits]") {
  std::vector<float> layer(1025);
  layer[0] = 0x1.8p-63f;
  layer[1024] = 0x1.8p-75f;  // the second row of the same column
  layer[1] = 0x1p-52f;
  layer[2] = layer[3] = 0x1p-51f;
  layer[4] = layer[5] = layer[6] = layer[7] = 0x1p-41f;
  std::vector<float> tile(layer);
  tile.resize(8192);
  CHECK(squared_norm(layer) == 0x1p-80 + 5 * 0x1p-103);
  for (int32_t isa : available_isas()) compare({layer, tile}, LAYERWISE_DTYPE_BFLOAT16, 1, isa);
}

TEST_CASE("the squared norm over several groups of tiles has the bits of the written order", "[bits]") {
  // 1, 31, 32, 33 and 255 tiles stay in one group; 256 tiles fill one, and one element more starts the second.
  for (int32_t threads : {1, 3}) {
    compare({31 * 8192, 32 * 8192 + 1, 255 * 8192}, Kind::spread, LAYERWISE_DTYPE_BFLOAT16, threads, 0, 13);
    compare({256 * 8192}, Kind::spread, LAYERWISE_DTYPE_BFLOAT16, threads, 0, 14);
    compare({256 * 8192 + 1}, Kind::spread, LAYERWISE_DTYPE_BFLOAT16, threads, 0, 15);
    compare({700 * 8192 + 77}, Kind::spread, LAYERWISE_DTYPE_BFLOAT16, threads, 0, 16);
    compare({40 * 8192 + 5}, Kind::alternating, LAYERWISE_DTYPE_FLOAT32, threads, 0, 17);
  }
}
