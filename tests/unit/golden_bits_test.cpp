// The bits themselves, as digests. The other tests hold results to bounds and to each other; this one notices when a
// change moves the last bit everywhere at once. Who meant to change the bits raises layerwise_numerics_version and
// replaces the digests with those the failing test prints; who did not has found a defect.
#include <catch2/catch_test_macros.hpp>

#include "../oracle/random_case.h"

namespace {

using namespace oracle;

constexpr int32_t kNumericsVersion = 1;

// FNV-1a over the elements, not the bytes, so that the digest does not depend on how a machine stores them. NaN counts
// as a class.
class Digest {
 public:
  void add(const Buffer& buffer) {
    for (int64_t i = 0; buffer.present() && i < buffer.count(); ++i)
      add(std::isnan(buffer.get(i)) ? ~uint64_t{0} : buffer.bits(i));
  }
  void add(uint64_t bits) {
    for (int byte = 0; byte < 8; ++byte) hash_ = (hash_ ^ (bits >> (8 * byte) & 0xff)) * 0x100000001b3u;
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

// Two steps from one seed; kind 0 is novograd_step, 1 larc_scale, 2 larc_sgd_step.
uint64_t digest_of(int kind, uint64_t seed) {
  Random random(seed * 1000003 + static_cast<uint64_t>(kind));
  Layout layout = random_layout(random);
  layout.sizes = {1, 2500, 0, 9001, 17};
  layout.offsets.clear(), layout.mask.clear(), layout.lr_mult.clear(), layout.wd_mult.clear(), layout.skip_larc.clear();
  Model model(layout);
  // Scales are powers of two: a library's pow may differ in its last bit, and the digest with it.
  std::vector<double> scales;
  const auto begins = layout.begins();
  for (size_t l = 0; l < begins.size(); ++l) {
    const int64_t begin = begins[l], end = begin + layout.sizes[l];
    const int exponent = static_cast<int>(random.below(seed % 4 == 3 ? 120 : 20));
    scales.push_back(std::ldexp(1.0, seed % 4 == 3 ? exponent - 70 : exponent - 16));
    fill_layer(random, model.weights, begin, end, scales[l]);
    fill_layer(random, model.moment, begin, end, 1);
    if (random.one_in(2)) model.second_moment.set(static_cast<int64_t>(l), scales[l] * scales[l]);
  }
  Digest digest;
  for (int step = 0; step < 2; ++step) {
    fill_gradients(random, model, scales, false);
    if (kind == 0) REQUIRE_OK(model.novograd(random_novograd(random)));
    if (kind == 1) REQUIRE_OK(model.larc_scale(random_larc(random)));
    if (kind == 2) {
      const layerwise_sgd_options sgd = random_sgd(random);  // as arguments they would be drawn in any order
      REQUIRE_OK(model.larc_sgd(random_larc(random), sgd));
    }
    for (const Buffer* buffer :
         {&model.weights, &model.grads, &model.moment, &model.second_moment, &model.max_second_moment, &model.extra})
      digest.add(*buffer);
  }
  return digest.value();
}

// One digest a step function: 40 seeds each.
uint64_t digest_of(int kind) {
  Digest digest;
  for (uint64_t seed = 0; seed < 40; ++seed) digest.add(digest_of(kind, seed));
  return digest.value();
}

constexpr uint64_t kGolden[3] = {0xc564507432a57608, 0xa3ee34f0207bd247, 0x33e869c6f950e5eb};

}  // namespace

TEST_CASE("the bits of every step are those of the numerics version", "[bits]") {
  REQUIRE(layerwise_numerics_version() == kNumericsVersion);
  for (int kind = 0; kind < 3; ++kind) {
    CAPTURE(kind, kGolden[kind], digest_of(kind));
    CHECK(digest_of(kind) == kGolden[kind]);
  }
}
