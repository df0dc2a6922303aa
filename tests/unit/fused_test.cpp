// The fused multiply-add of processors without one, against libm's, which is rounded once whatever the processor has.
#include "cpu/fused.h"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "../oracle/random_case.h"

#ifndef FUSED
#define FUSED "the emulated fused multiply-add"
#endif

namespace {

using layerwise::EightFloats;

float lane(const EightFloats& floats, int i) { return i < 4 ? floats.low[i] : floats.high[i - 4]; }

// In every lane, and then in one after the other alone, with a sum beside it that is in no doubt.
float fused_of(float a, float b, float c) {
  static int turn = 0;
  const int alone = turn++ % 8;
  EightFloats of_a{{a, a, a, a}, {a, a, a, a}}, of_b{{b, b, b, b}, {b, b, b, b}}, of_c{{c, c, c, c}, {c, c, c, c}};
  const EightFloats all = layerwise::fused(of_a, of_b, of_c);
  for (int i = 0; i < 8; ++i) {
    if (i == alone) continue;
    (i < 4 ? of_a.low : of_a.high)[i % 4] = 1;
    (i < 4 ? of_b.low : of_b.high)[i % 4] = 2;
    (i < 4 ? of_c.low : of_c.high)[i % 4] = 3;
  }
  const EightFloats one = layerwise::fused(of_a, of_b, of_c);
  const float first = lane(all, 0);
  const EightFloats by_one = layerwise::fused(a, layerwise::eight_floats(b), layerwise::eight_floats(c));
  const auto differs = [first](float other) {
    return layerwise::bit_cast<uint32_t>(first) != layerwise::bit_cast<uint32_t>(other) &&
           !(first != first && other != other);
  };
  for (int i = 0; i < 8; ++i)
    if (differs(lane(all, i)) || differs(lane(by_one, i)) ||
        (i == alone ? differs(lane(one, i)) : lane(one, i) != 5))
      return 12345.0f;
  return first;
}

// NaN as a class.
bool same(float a, float b) {
  return layerwise::bit_cast<uint32_t>(a) == layerwise::bit_cast<uint32_t>(b) || (a != a && b != b);
}

void require_fused(float a, float b, float c) {
  if (same(fused_of(a, b, c), std::fma(a, b, c))) return;
  CAPTURE(a, b, c, fused_of(a, b, c), std::fma(a, b, c));
  FAIL("not the bits of a fused multiply-add");
}

// What double arithmetic makes of it alone: rounded to nearest twice.
float rounded_twice(float a, float b, float c) {
  return static_cast<float>(static_cast<double>(a) * static_cast<double>(b) + static_cast<double>(c));
}

float any_bits(oracle::Random& random) { return layerwise::bit_cast<float>(static_cast<uint32_t>(random.bits())); }

// Of any significand, often one of few bits, and an exponent between two.
float of_exponent(oracle::Random& random, int64_t low, int64_t high) {
  uint32_t significand = static_cast<uint32_t>(random.bits()) & 0x7fffffu;
  if (random.one_in(3)) significand &= 0x7fffffu << random.below(24);
  const float value = std::ldexp(1 + std::ldexp(static_cast<float>(significand), -23),
                                 static_cast<int>(low + random.below(high - low + 1)));
  return random.one_in(2) ? -value : value;
}

}  // namespace

TEST_CASE(FUSED " is libm's for every mix of special values", "[fused]") {
  using Limits = std::numeric_limits<float>;
  std::vector<float> values = {0,
                               1,
                               1.5f,
                               3,
                               Limits::min(),
                               Limits::denorm_min(),
                               2 * Limits::denorm_min(),
                               Limits::min() - Limits::denorm_min(),
                               Limits::max(),
                               Limits::infinity(),
                               Limits::quiet_NaN(),
                               1 + Limits::epsilon(),
                               1 - Limits::epsilon() / 2,
                               0x1p-75f,
                               0x1p-74f,
                               0x1.8p-75f,
                               0x1p64f,
                               0x1.fffffep63f,
                               0x1p127f,
                               0x1p103f,
                               0x1p-24f,
                               0x1p-25f};
  for (size_t i = 0, count = values.size(); i < count; ++i) values.push_back(-values[i]);
  for (float a : values)
    for (float b : values)
      for (float c : values) require_fused(a, b, c);
}

// Hazard: a sum that double rounds to a tie of float32 and that is none: where c's last place ends, half of it less or
// more a hair that double has no room for.
TEST_CASE(FUSED " is not rounded twice", "[fused]") {
  constexpr float kUp = 1 + 0x1p-23f, kDown = 1 - 0x1p-23f;  // their product is 1 - 2^-46
  CHECK(rounded_twice(kUp, 0x1p-24f * kDown, kUp) == 1 + 0x1p-22f);
  CHECK(fused_of(kUp, 0x1p-24f * kDown, kUp) == kUp);
  int traps = 0;
  const auto require = [&](float a, float b, float c) {
    require_fused(a, b, c);
    traps += !same(rounded_twice(a, b, c), std::fma(a, b, c));
  };
  for (int exponent = -126; exponent <= 127; ++exponent)
    for (float significand : {1.0f, kUp, 1.5f, 2 - 0x1p-22f, 2 - 0x1p-23f})
      for (float sign : {1.0f, -1.0f}) {
        const float c = std::ldexp(significand, exponent);
        const int share = (exponent - 24) / 2, rest = exponent - 24 - share;
        for (float one : {1.0f, kUp, kDown, 1 + 0x1p-12f, 1 - 0x1p-12f})
          for (float other : {1.0f, kUp, kDown, 1 + 0x1p-12f, 1 - 0x1p-12f})
            for (int by : {-1, 0, 1}) require(std::ldexp(one, share), std::ldexp(sign * other, rest + by), c);
        // The product is a tie, 25 bits, and c the hair.
        for (float odd : {0x1.000006p0f, 0x1.00000ap0f, 0x1.555552p0f})
          require(odd, std::ldexp(1.5f, exponent), std::ldexp(sign * significand, std::max(exponent - 80, -149)));
      }
  CHECK(traps > 1000);  // what rounding twice passes shows nothing
}

// Hazard: the same below the least normal number, where ties are between multiples of 2^-149, and at it, to which a sum
// may be rounded up that is less. 8392705 * 8384513 = 2^46 + 1.
TEST_CASE(FUSED " is not rounded twice where results are subnormal", "[fused]") {
  constexpr float kMore[] = {8392705 * 0x1p-23f, 8384513 * 0x1p-23f}, kLess[] = {1 + 0x1p-23f, 1 - 0x1p-23f};
  int traps = 0;
  const auto require = [&](const float* of_product, float c) {
    const float a = of_product[0] * 0x1p-75f, b = of_product[1] * 0x1p-75f;
    for (float sign : {1.0f, -1.0f}) {
      require_fused(a, sign * b, c);
      traps += !same(rounded_twice(a, sign * b, c), std::fma(a, sign * b, c));
    }
  };
  oracle::Random random(7);
  for (const float* of_product : {kMore, kLess})
    for (float sign : {1.0f, -1.0f}) {
      for (float c : {0.0f, 0x1p-149f, 0x1p-126f - 0x1p-149f, 0x1p-126f, 0x1p-126f + 0x1p-149f, 0x1p-125f})
        require(of_product, sign * c);
      for (int i = 0; i < 1000; ++i) require(of_product, sign * of_exponent(random, -149, -126));
    }
  CHECK(traps > 1000);
}

TEST_CASE(FUSED " is libm's where results are subnormal or overflow", "[fused]") {
  oracle::Random random(5);
  for (int i = 0; i < 1000000; ++i) {
    const int64_t of_product = random.one_in(4) ? 127 : -160 + random.below(40), share = -20 + random.below(40);
    const float a = of_exponent(random, share, share), b = of_exponent(random, of_product - share, of_product - share);
    require_fused(a, b, of_product > 0 ? of_exponent(random, 100, 127) : of_exponent(random, -149, -120));
  }
}

TEST_CASE(FUSED " is libm's on ten million random numbers", "[fused]") {
  oracle::Random random(6);
  for (int i = 0; i < 10000000; ++i) {
    float a, b, c;
    if (i % 4 == 0) {
      a = any_bits(random), b = any_bits(random), c = any_bits(random);
    } else {  // terms that meet, and in one of three the product is nearly -c: most of it cancels
      a = of_exponent(random, -30, 30), b = of_exponent(random, -30, 30);
      const float product = a * b;
      c = i % 4 == 1 ? -product : std::ldexp(of_exponent(random, -27, 27), std::ilogb(product));
      if (i % 8 == 1) c = std::nextafter(c, 0.0f);
    }
    require_fused(a, b, c);
  }
}
