// Prints a digest of what every op leaves behind, for every mix of dtypes, with every instruction set that this
// processor has: two steps over layers from one element to several tiles, of values from subnormal to beyond the range
// of a plain sum of squares. The bit contract makes the digests equal, between instruction sets and between processors.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "layerwise.h"

namespace {

const int64_t kSizes[] = {1, 3, 15, 16, 17, 63, 64, 65, 257, 1000, 4000, 8192, 8193, 30000};
constexpr int64_t kLayers = sizeof kSizes / sizeof *kSizes;

int64_t bytes_of(int32_t dtype) { return dtype == LAYERWISE_DTYPE_FLOAT32 ? 4 : 2; }

uint32_t mixed(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}

// Finite bits of any sign and mantissa. Exponents: small ones of the dtype's in every eighth layer, large ones in
// every eighth, else some between 0.005 and 0.06.
std::vector<unsigned char> filled(int32_t dtype, uint32_t seed) {
  std::vector<unsigned char> buffer;
  uint32_t i = 0;
  for (int64_t layer = 0; layer < kLayers; ++layer)
    for (int64_t e = 0; e < kSizes[layer]; ++e, ++i) {
      const uint32_t random = mixed(i * 0x9e3779b1u ^ seed);
      const uint32_t sign = random >> 31, spread = (random >> 24) & 3;
      const bool half = dtype == LAYERWISE_DTYPE_FLOAT16;
      const uint32_t middle = half ? 10 : 120, small = 0, large = half ? 24 : 200;
      const uint32_t exponent = (layer % 8 == 2 ? small : layer % 8 == 5 ? large : middle) + spread;
      const uint32_t bits32 = sign << 31 | exponent << 23 | (random & 0x7fffffu);
      const uint16_t bits16 =
          static_cast<uint16_t>(half ? sign << 15 | exponent << 10 | (random & 0x3ffu) : bits32 >> 16);
      const void* const from = bytes_of(dtype) == 4 ? static_cast<const void*>(&bits32) : &bits16;
      const unsigned char* const bytes = static_cast<const unsigned char*>(from);
      buffer.insert(buffer.end(), bytes, bytes + bytes_of(dtype));
    }
  return buffer;
}

// Of numbers by their bits, of NaN as a class.
class Digest {
 public:
  void add(const std::vector<unsigned char>& buffer, int32_t dtype) {
    const bool half = dtype == LAYERWISE_DTYPE_FLOAT16, full = dtype == LAYERWISE_DTYPE_FLOAT32;
    const uint32_t infinity = full ? 0x7f800000u : half ? 0x7c00u : 0x7f80u;
    const uint32_t magnitude = full ? 0x7fffffffu : 0x7fffu;
    for (size_t at = 0; at < buffer.size(); at += bytes_of(dtype)) {
      uint32_t bits = 0;
      std::memcpy(&bits, &buffer[at], bytes_of(dtype));
      if ((bits & magnitude) > infinity) bits = magnitude;
      value_ = (value_ ^ bits) * 0x100000001b3u;
    }
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

// One variant's two steps; false where the library refuses one.
struct Steps {
  layerwise_plan* plan;
  std::vector<unsigned char>&weights, &grads, &moment, &second_moment;

  bool run(int variant) const {
    for (int64_t step = 1; step <= 2; ++step)
      if (one(variant, step) != LAYERWISE_OK) return false;
    return true;
  }

 private:
  int32_t one(int variant, int64_t step) const {
    layerwise_novograd_options novograd;
    layerwise_larc_options larc;
    layerwise_sgd_options sgd;
    layerwise_novograd_options_init(&novograd, sizeof novograd);
    layerwise_larc_options_init(&larc, sizeof larc);
    layerwise_sgd_options_init(&sgd, sizeof sgd);
    novograd.lr = larc.lr = 0.01;
    novograd.weight_decay = larc.weight_decay = 0.001;
    novograd.step = sgd.step = step;
    switch (variant) {
      case 1:
        novograd.decoupled_weight_decay = 1;
        novograd.norm = LAYERWISE_NORM_INF;
        [[fallthrough]];
      case 0:
        return novograd_step(plan, weights.data(), grads.data(), moment.data(), second_moment.data(), nullptr, nullptr,
                             nullptr, nullptr, &novograd, nullptr);
      case 2:
        return larc_scale(plan, weights.data(), grads.data(), nullptr, nullptr, &larc, nullptr);
      case 3:
        sgd.momentum = 0;
        return larc_sgd_step(plan, weights.data(), grads.data(), nullptr, nullptr, nullptr, nullptr, &larc, &sgd,
                             nullptr);
      default:
        sgd.nesterov = variant == 5;
        return larc_sgd_step(plan, weights.data(), grads.data(), moment.data(), nullptr, nullptr, nullptr, &larc, &sgd,
                             nullptr);
    }
  }
};
constexpr int kVariants = 6;

}  // namespace

int main() {
  const int32_t elements[] = {LAYERWISE_DTYPE_FLOAT32, LAYERWISE_DTYPE_BFLOAT16, LAYERWISE_DTYPE_FLOAT16};
  for (int32_t w : elements)
    for (int32_t g : elements)
      for (int32_t m : {LAYERWISE_DTYPE_FLOAT32, LAYERWISE_DTYPE_BFLOAT16})
        for (int variant = 0; variant < kVariants; ++variant) {
          uint64_t first = 0;
          int sets = 0;
          for (int32_t isa = LAYERWISE_ISA_BASELINE; isa <= LAYERWISE_ISA_NEON; ++isa) {
            layerwise_plan_options options;
            layerwise_plan_options_init(&options, sizeof options);
            options.layer_count = kLayers;
            options.sizes = kSizes;
            options.weights_dtype = w;
            options.grads_dtype = g;
            options.first_moment_dtype = m;
            options.threads = 2;
            options.isa = isa;
            layerwise_plan* plan = nullptr;
            const int32_t status = layerwise_plan_create(&options, &plan);
            if (status == LAYERWISE_ERROR_UNSUPPORTED_ISA && isa != LAYERWISE_ISA_BASELINE) continue;
            if (status != LAYERWISE_OK) {
              std::printf("isa %d: %s\n", isa, layerwise_last_error());
              return 1;
            }
            std::vector<unsigned char> weights = filled(w, 1), grads = filled(g, 2), moment = filled(m, 3);
            std::vector<unsigned char> second_moment(kLayers * sizeof(float));
            const bool done = Steps{plan, weights, grads, moment, second_moment}.run(variant);
            layerwise_plan_destroy(plan);
            if (!done) {
              std::printf("variant %d: %s\n", variant, layerwise_last_error());
              return 1;
            }
            Digest digest;
            digest.add(weights, w);
            digest.add(grads, g);
            digest.add(moment, m);
            digest.add(second_moment, LAYERWISE_DTYPE_FLOAT32);
            if (sets++ == 0) first = digest.value();
            if (digest.value() != first) {
              std::printf("weights %d, gradients %d, moment %d, variant %d: isa %d differs from the first\n", w, g, m,
                          variant, isa);
              return 1;
            }
          }
          std::printf("%d %d %d %d %016llx\n", w, g, m, variant, static_cast<unsigned long long>(first));
        }
  return 0;
}
