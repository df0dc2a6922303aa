// Philox4x32 with 10 rounds, from its description (Salmon et al., SC11), and stochastic rounding to bfloat16, from the
// header's words.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace oracle {

using Words = std::array<uint32_t, 4>;

// One round: two of the words are multiplied, and the halves of the products change places.
inline Words philox_round(const Words& c, uint32_t key0, uint32_t key1) {
  const uint64_t even = static_cast<uint64_t>(c[0]) * 0xD2511F53ull, odd = static_cast<uint64_t>(c[2]) * 0xCD9E8D57ull;
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x & 0xFFFFFFFFull); };
  return {high(odd) ^ c[1] ^ key0, low(odd), high(even) ^ c[3] ^ key1, low(even)};
}

inline Words philox4x32_10(Words counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    counter = philox_round(counter, key0, key1);
    key0 += 0x9E3779B9u;  // the golden ratio, and the root of 3 less 1
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// The word of an element of a layer at step t.
inline uint32_t random_word(uint64_t seed, int64_t layer, int64_t element, int64_t t) {
  const uint64_t quad = static_cast<uint64_t>(element / 4);
  const Words words =
      philox4x32_10({static_cast<uint32_t>(quad % 4294967296ull), static_cast<uint32_t>(quad / 4294967296ull),
                     static_cast<uint32_t>(layer), static_cast<uint32_t>(t)},
                    static_cast<uint32_t>(seed % 4294967296ull), static_cast<uint32_t>(seed / 4294967296ull));
  return words[static_cast<size_t>(element % 4)];
}

// The bits of a finite float32 as a bfloat16: 16 random bits added, 16 cut off.
inline uint16_t stochastic_bfloat16(float x, uint32_t word) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<uint16_t>((bits + word % 65536u) / 65536u);
}

}  // namespace oracle
