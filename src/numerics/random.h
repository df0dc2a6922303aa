// Random bits from a counter-based generator, Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
// as easy as 1, 2, 3", SC11). It has no state: the bits are a function of the seed, the element and the step, so they
// do not depend on the order in which elements are processed.
#pragma once

#include "numerics/ieee.h"

namespace layerwise {

struct RandomWords {
  uint32_t word[4];
};

// What determines an element's bits, together with its position in the layer.
struct RandomKey {
  uint64_t seed;
  uint32_t layer;
  uint32_t step;  // t's low 32 bits
};

// One counter gives four words: element e uses word e mod 4 of counter e / 4.
inline constexpr int kRandomQuad = 4;

inline namespace LAYERWISE_ISA {

LAYERWISE_INLINE RandomWords philox(RandomWords counter, uint32_t key0, uint32_t key1) {
  uint32_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
#if defined(__CUDA_ARCH__)
#pragma unroll
#elif !defined(__CUDACC__)
#pragma GCC unroll 10
#endif
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xd2511f53u} * c0, product2 = uint64_t{0xcd9e8d57u} * c2;
    c0 = static_cast<uint32_t>(product2 >> 32) ^ c1 ^ key0;
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c1 = static_cast<uint32_t>(product2);
    c3 = static_cast<uint32_t>(product0);
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
  return {{c0, c1, c2, c3}};
}

// The words of elements 4*quad to 4*quad + 3 of the layer.
LAYERWISE_INLINE RandomWords random_words(const RandomKey& key, int64_t quad) {
  const uint64_t place = static_cast<uint64_t>(quad);
  return philox({{static_cast<uint32_t>(place), static_cast<uint32_t>(place >> 32), key.layer, key.step}},
                static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32));
}

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
