// A block of elements as float32, the way each dtype and instruction set reads and writes it fastest. Where the
// compiler vectorises the conversions of dtype.h they are used as they are; where it does not, a block is converted at
// once.
#pragma once

#include "cpu/lanes.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

inline constexpr int kBlockElements = 64;

LAYERWISE_INLINE void prefetch_bytes(const void* address, int64_t bytes) {
  constexpr int64_t kLine = 64;
  for (int64_t at = 0; at < bytes; at += kLine) __builtin_prefetch(static_cast<const char*>(address) + at);
}

template <class T>
LAYERWISE_INLINE void prefetch_block(const T* elements) {
  constexpr int kLine = 64 / sizeof(T);
  for (int i = 0; i < kBlockElements; i += kLine) __builtin_prefetch(elements + i, 1);
}

// The elements [0, count) from an address on; count is at most kBlockElements.
template <class T>
class BlockReader {
 public:
  LAYERWISE_INLINE BlockReader(const T* from, int) : from_(from) {}
  LAYERWISE_INLINE float operator[](int i) const { return load(from_[i]); }

 private:
  const T* from_;
};

// Elements set one by one, there from finish() on.
template <class T>
class BlockWriter {
 public:
  LAYERWISE_INLINE BlockWriter(T* to, int) : to_(to) {}
  LAYERWISE_INLINE void set(int i, float x) { store(to_[i], x); }
  LAYERWISE_INLINE void finish() {}

 private:
  T* to_;
};

#if defined(__F16C__)

// The processor's own conversions, which g++ does not find: 2 to 20 times faster than integer arithmetic.
template <>
class BlockReader<float16> {
 public:
  LAYERWISE_INLINE BlockReader(const float16* from, int count) {
    if (count < kBlockElements) {
      for (int i = 0; i < count; ++i) values_[i] = load(from[i]);
      return;
    }
    // As wide as what reads it next: a wide load does not see narrow stores before they reach the cache.
    for (int i = 0; i < kBlockElements; i += kLanes) store_lanes(values_ + i, load_lanes(from + i));
  }
  LAYERWISE_INLINE float operator[](int i) const { return values_[i]; }

 private:
  alignas(64) float values_[kBlockElements];
};

template <>
class BlockWriter<float16> {
 public:
  LAYERWISE_INLINE BlockWriter(float16* to, int count) : to_(to), count_(count) {}
  LAYERWISE_INLINE void set(int i, float x) { values_[i] = x; }
  LAYERWISE_INLINE void finish() {
    if (count_ < kBlockElements) {
      for (int i = 0; i < count_; ++i) store(to_[i], values_[i]);
      return;
    }
#if defined(__AVX512F__)
    for (int i = 0; i < kBlockElements; i += 16)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_ + i),
                          _mm512_maskz_cvtps_ph(0xffff, _mm512_load_ps(values_ + i), _MM_FROUND_TO_NEAREST_INT));
#else
    for (int i = 0; i < kBlockElements; i += 8)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to_ + i),
                       _mm256_cvtps_ph(_mm256_load_ps(values_ + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  }

 private:
  float16* const to_;
  const int count_;
  alignas(64) float values_[kBlockElements];
};

#if !defined(__AVX512F__)

// AVX2 packs 32 bits into 16 across two registers, which g++ gives up on for loops that store both widths.
template <>
class BlockWriter<bfloat16> {
 public:
  LAYERWISE_INLINE BlockWriter(bfloat16* to, int count) : to_(to), count_(count) {}
  LAYERWISE_INLINE void set(int i, float x) { bits_[i] = bfloat16_bits(x); }
  LAYERWISE_INLINE void finish() {
    if (count_ < kBlockElements) {
      for (int i = 0; i < count_; ++i) to_[i].bits = static_cast<uint16_t>(bits_[i]);
      return;
    }
    for (int i = 0; i < kBlockElements; i += 16) {
      const __m256i low = _mm256_load_si256(reinterpret_cast<const __m256i*>(bits_ + i));
      const __m256i high = _mm256_load_si256(reinterpret_cast<const __m256i*>(bits_ + i + 8));
      const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);  // lanes back in order
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_ + i), packed);
    }
  }

 private:
  bfloat16* const to_;
  const int count_;
  alignas(64) uint32_t bits_[kBlockElements];
};

#endif  // AVX2
#endif  // F16C

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
