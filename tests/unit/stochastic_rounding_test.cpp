// The first moment in bfloat16 with random bits: the generator against its authors' known answers, the rounding by
// counting every case, and the steps against a twin whose moments are float32, rounded by the oracle.
#include <catch2/catch_test_macros.hpp>

#include "../hazard/refusal.h"
#include "../oracle/philox.h"
#include "available_isas.h"
#include "numerics/dtype.h"
#include "numerics/random.h"

namespace {

using namespace oracle;

layerwise_novograd_options stochastic(int64_t seed, int64_t step) {
  auto options = good_novograd();
  options.rounding = LAYERWISE_ROUNDING_STOCHASTIC, options.seed = seed, options.step = step;
  return options;
}

float as_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

uint16_t rounded(float x, uint32_t word) {
  layerwise::bfloat16 to;
  layerwise::store_stochastic(to, x, word);
  return to.bits;
}

// A bfloat16 model and its float32 twin with the same values, before a step.
Model twin_of(const Model& model) {
  Layout described = model.layout;
  described.moment = LAYERWISE_DTYPE_FLOAT32;
  Model twin(described);
  twin.weights = model.weights, twin.grads = model.grads, twin.extra = model.extra;
  twin.second_moment = model.second_moment, twin.max_second_moment = model.max_second_moment;
  for (int64_t i = 0; i < twin.moment.count(); ++i) twin.moment.set(i, model.moment.get(i));
  return twin;
}

// The first difference between a step's moments and the twin's as the oracle rounds them; the weights must be the same.
std::string difference(const Model& model, const Model& before, const Model& twin, uint64_t seed, int64_t t) {
  if (!(model.weights == twin.weights)) return "weights";
  const auto begins = model.layout.begins();
  for (size_t l = 0; l < begins.size(); ++l)
    for (int64_t e = 0; e < model.layout.sizes[l]; ++e) {
      const int64_t i = begins[l] + e;
      const uint16_t expected = before.takes_part(static_cast<int64_t>(l))
                                    ? stochastic_bfloat16(static_cast<float>(twin.moment.get(i)),
                                                          random_word(seed, static_cast<int64_t>(l), e, t))
                                    : static_cast<uint16_t>(before.moment.bits(i));
      if (model.moment.bits(i) != expected) return "layer " + std::to_string(l) + ", element " + std::to_string(e);
    }
  return "";
}

}  // namespace

// kat_vectors of Random123, philox4x32 with 10 rounds.
TEST_CASE("Philox has its authors' known answers", "[rounding]") {
  struct Known {
    Words counter;
    uint32_t key0, key1;
    Words answer;
  };
  const Known known[] = {{{0, 0, 0, 0}, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                         {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                          0xffffffff,
                          0xffffffff,
                          {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                         {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                          0xa4093822,
                          0x299f31d0,
                          {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (const Known& k : known) {
    const auto words = layerwise::philox({{k.counter[0], k.counter[1], k.counter[2], k.counter[3]}}, k.key0, k.key1);
    for (size_t i = 0; i < 4; ++i) CHECK(words.word[i] == k.answer[i]);
    CHECK(philox4x32_10(k.counter, k.key0, k.key1) == k.answer);
  }
}

// Over all 65536 low words the upper neighbour comes as often as x lies above the lower one, in units of 2^-16 of the
// gap: the mean is x itself.
TEST_CASE("stochastic rounding is right in the mean", "[rounding]") {
  for (const uint32_t bits : {0x3f800000u, 0x3f800001u, 0x3f808000u, 0x3f80ffffu, 0xbf812345u, 0x00000001u, 0x80001234u,
                              0x007fffffu, 0x7f7f8001u, 0xff7fffffu, 0x00000000u, 0x80000000u}) {
    CAPTURE(bits);
    int64_t up = 0;
    for (uint32_t word = 0; word < 65536; ++word) {
      const uint32_t stored = rounded(as_float(bits), word | 0xabcd0000u);  // the high half does not matter
      CHECK_FALSE((stored != bits >> 16 && stored != (bits >> 16) + 1));
      up += stored != bits >> 16;
    }
    CHECK(up == (bits & 0xffff));
  }
  for (uint32_t word : {0u, 0xffffu, 0xffffffffu}) {
    CHECK(rounded(as_float(0x7f800000), word) == 0x7f80);
    CHECK(rounded(as_float(0xff800000), word) == 0xff80);
    for (uint32_t nan : {0x7f800001u, 0x7fffffffu, 0xffc00000u})
      CHECK((rounded(as_float(nan), word) & 0x7fff) > 0x7f80);
  }
}

TEST_CASE("a bfloat16 moment is the float32 moment rounded with the element's own bits", "[rounding]") {
  for (uint64_t round = 1; round <= 120; ++round) {
    Random random(round);
    Layout layout = random_layout(random);
    layout.moment = LAYERWISE_DTYPE_BFLOAT16;
    const auto isas = available_isas();
    layout.isa = isas[static_cast<size_t>(random.below(static_cast<int64_t>(isas.size())))];
    Model model(layout);
    const auto scales = fill_state(random, model, false);
    const int64_t seed = static_cast<int64_t>(random.bits()), t = random.pick<int64_t>({1, 2, 77, 5000000000});
    const bool sgd = random.one_in(3);
    auto options = random_novograd(random);
    auto larc = random_larc(random);
    auto sgd_options = random_sgd(random);
    sgd_options.momentum = 0.5, options.step = sgd_options.step = t;
    fill_gradients(random, model, scales, false);
    const Model before = model;
    Model twin = twin_of(model);
    REQUIRE_OK(sgd ? twin.larc_sgd(larc, sgd_options) : twin.novograd(options));
    options.rounding = larc.rounding = LAYERWISE_ROUNDING_STOCHASTIC, options.seed = larc.seed = seed;
    REQUIRE_OK(sgd ? model.larc_sgd(larc, sgd_options) : model.novograd(options));
    CAPTURE(round, sgd);
    const std::string found = difference(model, before, twin, static_cast<uint64_t>(seed), t);
    INFO(found);
    REQUIRE(found.empty());
  }
}

TEST_CASE("a step counted in memory rounds with the same bits", "[rounding]") {
  Layout layout;
  layout.sizes = {9000};
  layout.moment = LAYERWISE_DTYPE_BFLOAT16;
  Model by_value = Witness::filled(layout), by_pointer = by_value;
  int64_t completed = 41;
  auto options = stochastic(7, 42);
  REQUIRE_OK(by_value.novograd(options));
  options.step = 0, options.step_ptr = &completed, options.advance_step = 1;
  REQUIRE_OK(by_pointer.novograd(options));
  CHECK(by_pointer.same_bits(by_value));
  CHECK(completed == 42);
}

// Hazard: m = beta1*m + u comes to rest where a step is less than half an ulp. 4096 equal gradients: u = g/|g| = 1/64,
// so m goes to u/(1 - beta1) = 0.3125, in [0.25, 0.5), where an ulp is 2^-9. To nearest it stops where (1 - beta1) of
// the way left is half an ulp: 10 ulp short. One random rounding has a variance of at most ulp^2/4; they add up to at
// most ulp^2/4 / (1 - beta1^2) = 2.6 ulp^2, the mean of 4096 to (1.6/64 ulp)^2: six of those deviations are 0.15 ulp.
TEST_CASE("training with a bfloat16 moment does not stall where rounding to nearest does", "[rounding]") {
  constexpr double kUlp = 0x1p-9, kRest = 0.3125;
  const auto mean_after = [](bool random) {
    Layout layout;
    layout.sizes = {4096};
    layout.moment = LAYERWISE_DTYPE_BFLOAT16;
    Model model(layout);
    model.weights.fill(1), model.grads.fill(1);
    for (int64_t t = 1; t <= 500; ++t) {
      auto options = stochastic(12345, t);
      options.weight_decay = 0, options.eps = 0, options.lr = 1e-6;
      if (!random) options.rounding = LAYERWISE_ROUNDING_NEAREST, options.seed = 0;
      REQUIRE_OK(model.novograd(options));
    }
    double sum = 0;
    for (int64_t i = 0; i < 4096; ++i) sum += model.moment.get(i);
    return sum / 4096;
  };
  CHECK(std::fabs(mean_after(true) - kRest) < 0.15 * kUlp);
  CHECK(kRest - mean_after(false) > 5 * kUlp);
}

TEST_CASE("stochastic rounding is refused where it means nothing", "[bad_input]") {
  constexpr int32_t kCombination = LAYERWISE_ERROR_COMBINATION;
  Layout layout = Witness::small();
  Witness full(layout);
  full.refused(full.model.novograd(stochastic(1, 1)), kCombination, {"rounding", "1", "float32"});
  layout.moment = LAYERWISE_DTYPE_BFLOAT16;
  Witness w(layout);
  w.refused(w.model.novograd(stochastic(1, 0)), LAYERWISE_ERROR_INVALID_VALUE, {"step", "stochastic"});
  auto options = good_novograd();
  options.seed = 5;
  w.refused(w.model.novograd(options), kCombination, {"seed", "5"});
  options.seed = 0, options.rounding = 2;
  w.refused(w.model.novograd(options), LAYERWISE_ERROR_UNKNOWN_FLAG, {"rounding", "2"});
  auto larc = good_larc();
  larc.rounding = LAYERWISE_ROUNDING_STOCHASTIC;
  w.refused(w.model.larc_scale(larc), kCombination, {"rounding", "first moment"});
  auto sgd = good_sgd();
  w.refused(w.model.larc_sgd(larc, sgd), LAYERWISE_ERROR_INVALID_VALUE, {"step", "stochastic"});
  sgd.step = 1, sgd.momentum = 0;
  w.refused(w.model.larc_sgd(larc, sgd), kCombination, {"rounding", "first moment"});
  sgd.momentum = 0.9;
  CHECK(w.model.larc_sgd(larc, sgd) == LAYERWISE_OK);
}
