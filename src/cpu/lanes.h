// Vector registers of float32 and of 32-bit words, as wide as the instruction set has them. Their operations are those
// of ieee.h on every lane, so the formulas of summation.h and element.h work on registers as they do on floats. Relying
// on the compiler to vectorise is not enough: g++ 12 made SGD over bfloat16 four times slower for AVX2.
//
// evens() and odds() are for the adjacent-pair tree. On the level that reduces kRegisters registers to one, they take
// the neighbours out of two registers: the first of each pair and the second of each pair, in the same lanes.
#pragma once

#if defined(__AVX512F__) || defined(__F16C__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "cpu/fused.h"
#include "numerics/summation.h"

namespace layerwise {
inline namespace LAYERWISE_ISA {

#if defined(__AVX512F__)

inline constexpr int kLanes = 16;
struct Floats {
  __m512 value;
};
struct Words {
  __m512i value;
};

// Each 16-bit value becomes the high half of a 32-bit word whose low half is 0.
LAYERWISE_INLINE Floats widened(__m256i bits, bfloat16) {
  const __m512i places = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, 7, 0, 6, 0, 5, 0, 4, 0,
                                          3, 0, 2, 0, 1, 0, 0, 0);
  return {_mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, places, _mm512_castsi256_si512(bits)))};
}
LAYERWISE_INLINE Floats widened(__m256i bits, float16) { return {_mm512_maskz_cvtph_ps(0xffff, bits)}; }
LAYERWISE_INLINE Floats load_lanes(const float* from) { return {_mm512_loadu_ps(from)}; }
template <class T>
LAYERWISE_INLINE Floats load_lanes(const T* from) {
  return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)), T());
}

LAYERWISE_INLINE __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count >= kLanes ? 0xffff : count <= 0 ? 0 : (1 << count) - 1);
}
// Loads the first count elements; the remaining lanes are 0.
LAYERWISE_INLINE Floats load_lanes(const float* from, int64_t count) {
  return {_mm512_maskz_loadu_ps(first_lanes(count), from)};
}
template <class T>
LAYERWISE_INLINE Floats load_lanes(const T* from, int64_t count) {
  return widened(_mm256_maskz_loadu_epi16(first_lanes(count), from), T());
}
LAYERWISE_INLINE __m256i narrowed(Floats a, bfloat16) {
  const __m512i bits = _mm512_castps_si512(a.value);
  const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.value, a.value, _CMP_UNORD_Q);
  const __m512i down = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  const __m512i even = _mm512_mask_add_epi32(down, odd, down, _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_mask_mov_epi32(even, nan, _mm512_set1_epi32(0x7fff0000));
  const __m512i high_halves = _mm512_set_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 31, 29, 27, 25, 23, 21,
                                               19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return _mm512_maskz_extracti64x4_epi64(0xf, _mm512_maskz_permutexvar_epi16(0xffffffff, high_halves, rounded), 0);
}
LAYERWISE_INLINE __m256i narrowed(Floats a, float16) {
  return _mm512_maskz_cvtps_ph(0xffff, a.value, _MM_FROUND_TO_NEAREST_INT);
}
LAYERWISE_INLINE void store_lanes(float* to, Floats a) { _mm512_storeu_ps(to, a.value); }
template <class T>
LAYERWISE_INLINE void store_lanes(T* to, Floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), narrowed(a, T()));
}
// Stores only the first count elements.
LAYERWISE_INLINE void store_lanes(float* to, Floats a, int64_t count) {
  _mm512_mask_storeu_ps(to, first_lanes(count), a.value);
}
template <class T>
LAYERWISE_INLINE void store_lanes(T* to, Floats a, int64_t count) {
  _mm256_mask_storeu_epi16(to, first_lanes(count), narrowed(a, T()));
}

LAYERWISE_INLINE Floats all_lanes(float a) { return {_mm512_set1_ps(a)}; }
LAYERWISE_INLINE Floats add(Floats a, Floats b) { return {_mm512_add_ps(a.value, b.value)}; }
LAYERWISE_INLINE Floats mul(Floats a, Floats b) { return {_mm512_mul_ps(a.value, b.value)}; }
LAYERWISE_INLINE Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.value, b.value, c.value)}; }
LAYERWISE_INLINE Words magnitude_bits(Floats a) {
  return {_mm512_and_si512(_mm512_castps_si512(a.value), _mm512_set1_epi32(0x7fffffff))};
}
LAYERWISE_INLINE Words larger(Words a, Words b) { return {_mm512_maskz_max_epu32(0xffff, a.value, b.value)}; }
LAYERWISE_INLINE Floats cut(Floats a, float limit) {
  const __m512 most = _mm512_set1_ps(limit), least = _mm512_set1_ps(-limit);
  return {_mm512_maskz_max_ps(0xffff, least, _mm512_maskz_min_ps(0xffff, most, a.value))};
}

// The lanes with even numbers, or with odd numbers, of a followed by those of b.
template <int kRegisters>
LAYERWISE_INLINE Floats evens(Floats a, Floats b) {
  const __m512i index = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return {_mm512_permutex2var_ps(a.value, index, b.value)};
}
template <int kRegisters>
LAYERWISE_INLINE Floats odds(Floats a, Floats b) {
  const __m512i index = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  return {_mm512_permutex2var_ps(a.value, index, b.value)};
}
LAYERWISE_INLINE Floats in_order(Floats a) { return a; }
LAYERWISE_INLINE Floats as_floats(Words a) { return {_mm512_castsi512_ps(a.value)}; }
LAYERWISE_INLINE Words as_words(Floats a) { return {_mm512_castps_si512(a.value)}; }
LAYERWISE_INLINE float first_lane(Floats a) { return _mm512_cvtss_f32(a.value); }

#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

inline constexpr int kLanes = 8;
struct Floats {
  __m256 value;
};
struct Words {
  __m256i value;
};

LAYERWISE_INLINE Floats load_lanes(const float* from) { return {_mm256_loadu_ps(from)}; }
LAYERWISE_INLINE Floats load_lanes(const bfloat16* from) {
  const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16))};
}
LAYERWISE_INLINE Floats load_lanes(const float16* from) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))};
}
LAYERWISE_INLINE void store_lanes(float* to, Floats a) { _mm256_storeu_ps(to, a.value); }
// The bfloat16 is the upper half of each word.
LAYERWISE_INLINE __m256i narrowed(Floats a) {
  const __m256i bits = _mm256_castps_si256(a.value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.value, a.value, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(up, _mm256_set1_epi32(0x7fff0000), nan);
}
LAYERWISE_INLINE void store_lanes(bfloat16* to, Floats a) {
  const __m256i halves = _mm256_srli_epi32(narrowed(a), 16);
  const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), packed);
}
#define LAYERWISE_EVENS_AND_ODDS
// In place of a count: bfloat16 for two registers, one for those with even numbers and one for those with odd numbers.
// Each word of memory holds one of both, so that no element moves to another word when it is converted. A Zen 3 takes a
// third less time to update all bfloat16.
struct EvensAndOdds {
  static constexpr int kElements = 2 * kLanes;
};
LAYERWISE_INLINE void load_evens_and_odds(const bfloat16* from, Floats& even, Floats& odd) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  even = {_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16))};
  odd = {_mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32(static_cast<int>(0xffff0000))))};
}
LAYERWISE_INLINE void store_evens_and_odds(bfloat16* to, Floats even, Floats odd) {
  const __m256i halves = _mm256_blend_epi16(_mm256_srli_epi32(narrowed(even), 16), narrowed(odd), 0xaa);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), halves);
}
LAYERWISE_INLINE void store_lanes(float16* to, Floats a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(a.value, _MM_FROUND_TO_NEAREST_INT));
}
LAYERWISE_INLINE Floats all_lanes(float a) { return {_mm256_set1_ps(a)}; }
LAYERWISE_INLINE Floats add(Floats a, Floats b) { return {_mm256_add_ps(a.value, b.value)}; }
LAYERWISE_INLINE Floats mul(Floats a, Floats b) { return {_mm256_mul_ps(a.value, b.value)}; }
LAYERWISE_INLINE Floats fma(Floats a, Floats b, Floats c) { return {_mm256_fmadd_ps(a.value, b.value, c.value)}; }
LAYERWISE_INLINE Words magnitude_bits(Floats a) {
  return {_mm256_and_si256(_mm256_castps_si256(a.value), _mm256_set1_epi32(0x7fffffff))};
}
LAYERWISE_INLINE Words larger(Words a, Words b) { return {_mm256_max_epu32(a.value, b.value)}; }
LAYERWISE_INLINE Floats cut(Floats a, float limit) {
  return {_mm256_max_ps(_mm256_set1_ps(-limit), _mm256_min_ps(_mm256_set1_ps(limit), a.value))};
}

// Within each half of a register, shuffles are cheap, so lanes are paired there, and the two halves are combined on
// every third level only. After three levels the lanes of eight registers are in order again; after one, or seven,
// in_order() has to sort them.
static_assert(kAccumulators / kLanes == 1 << 7);
constexpr bool halves_meet(int registers) { return registers == 8 || registers == 64; }
template <int kRegisters>
LAYERWISE_INLINE Floats evens(Floats a, Floats b) {
  if constexpr (halves_meet(kRegisters)) return {_mm256_permute2f128_ps(a.value, b.value, 0x20)};
  return {_mm256_shuffle_ps(a.value, b.value, 0x88)};
}
template <int kRegisters>
LAYERWISE_INLINE Floats odds(Floats a, Floats b) {
  if constexpr (halves_meet(kRegisters)) return {_mm256_permute2f128_ps(a.value, b.value, 0x31)};
  return {_mm256_shuffle_ps(a.value, b.value, 0xdd)};
}
LAYERWISE_INLINE Floats in_order(Floats a) {
  return {_mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(a.value), 0xd8))};
}
LAYERWISE_INLINE Floats as_floats(Words a) { return {_mm256_castsi256_ps(a.value)}; }
LAYERWISE_INLINE Words as_words(Floats a) { return {_mm256_castps_si256(a.value)}; }
LAYERWISE_INLINE float first_lane(Floats a) { return _mm256_cvtss_f32(a.value); }

#elif defined(__ARM_NEON) && defined(__aarch64__)

inline constexpr int kLanes = 4;
struct Floats {
  float32x4_t value;
};
struct Words {
  uint32x4_t value;
};

LAYERWISE_INLINE Floats load_lanes(const float* from) { return {vld1q_f32(from)}; }
LAYERWISE_INLINE Floats load_lanes(const bfloat16* from) {
  return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&from->bits), 16))};
}
LAYERWISE_INLINE Floats load_lanes(const float16* from) {
  return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&from->bits)))};
}
LAYERWISE_INLINE void store_lanes(float* to, Floats a) { vst1q_f32(to, a.value); }
LAYERWISE_INLINE void store_lanes(bfloat16* to, Floats a) {
  const uint32x4_t bits = vreinterpretq_u32_f32(a.value);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t up = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
  const uint32x4_t number = vceqq_f32(a.value, a.value);
  vst1_u16(&to->bits, vmovn_u32(vbslq_u32(number, vshrq_n_u32(up, 16), vdupq_n_u32(0x7fff))));
}
LAYERWISE_INLINE void store_lanes(float16* to, Floats a) {
  vst1_u16(&to->bits, vreinterpret_u16_f16(vcvt_f16_f32(a.value)));
}
LAYERWISE_INLINE Floats all_lanes(float a) { return {vdupq_n_f32(a)}; }
LAYERWISE_INLINE Floats add(Floats a, Floats b) { return {vaddq_f32(a.value, b.value)}; }
LAYERWISE_INLINE Floats mul(Floats a, Floats b) { return {vmulq_f32(a.value, b.value)}; }
LAYERWISE_INLINE Floats fma(Floats a, Floats b, Floats c) { return {vfmaq_f32(c.value, a.value, b.value)}; }
LAYERWISE_INLINE Words magnitude_bits(Floats a) {
  return {vandq_u32(vreinterpretq_u32_f32(a.value), vdupq_n_u32(0x7fffffff))};
}
LAYERWISE_INLINE Words larger(Words a, Words b) { return {vmaxq_u32(a.value, b.value)}; }
LAYERWISE_INLINE Floats cut(Floats a, float limit) {
  return {vmaxq_f32(vdupq_n_f32(-limit), vminq_f32(vdupq_n_f32(limit), a.value))};
}

// The lanes with even numbers, or with odd numbers, of a followed by those of b.
template <int kRegisters>
LAYERWISE_INLINE Floats evens(Floats a, Floats b) {
  return {vuzp1q_f32(a.value, b.value)};
}
template <int kRegisters>
LAYERWISE_INLINE Floats odds(Floats a, Floats b) {
  return {vuzp2q_f32(a.value, b.value)};
}
LAYERWISE_INLINE Floats in_order(Floats a) { return a; }
LAYERWISE_INLINE Floats as_floats(Words a) { return {vreinterpretq_f32_u32(a.value)}; }
LAYERWISE_INLINE Words as_words(Floats a) { return {vreinterpretq_u32_f32(a.value)}; }
LAYERWISE_INLINE float first_lane(Floats a) { return vgetq_lane_f32(a.value, 0); }

#else

#define LAYERWISE_FUSED_IS_EMULATED

inline constexpr int kLanes = 8;
using Floats = EightFloats;
// Of a bfloat16 or float16: at most 11 significant bits.
struct HalfFloats : Floats {};
using FourBits = uint32_t __attribute__((vector_size(16)));
struct Words {
  FourBits low, high;
};

#if defined(LAYERWISE_USES_SSE2)
LAYERWISE_INLINE FourBits load_halves(const uint16_t* from) {
  return bit_cast<FourBits>(
      _mm_unpacklo_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)), _mm_setzero_si128()));
}
LAYERWISE_INLINE void store_upper_halves(uint16_t* to, FourBits a) {
  const __m128i upper = _mm_srai_epi32(bit_cast<__m128i>(a), 16);  // signed, as packing saturates signed values
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi32(upper, upper));
}
#else
LAYERWISE_INLINE FourBits load_halves(const uint16_t* from) { return FourBits{from[0], from[1], from[2], from[3]}; }
LAYERWISE_INLINE void store_upper_halves(uint16_t* to, FourBits a) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<uint16_t>(a[i] >> 16);
}
#endif

// The conversions of dtype.h. Magnitudes are compared as signed words, which processors without SSE4 can do.
LAYERWISE_INLINE FourBits where(FourWords chosen, FourBits a, FourBits b) {
  return (a & bit_cast<FourBits>(chosen)) | (b & ~bit_cast<FourBits>(chosen));
}
LAYERWISE_INLINE FourFloats widened(FourBits bits, bfloat16) { return bit_cast<FourFloats>(bits << 16); }
LAYERWISE_INLINE FourFloats widened(FourBits bits, float16) {
  const FourBits shifted = (bits & 0x7fffu) << 13;
  const FourFloats subnormal = bit_cast<FourFloats>(shifted + (113u << 23)) - 0x1p-14f;
  const FourWords order = bit_cast<FourWords>(shifted);
  const FourBits finite = where(order < 0x00800000, bit_cast<FourBits>(subnormal), shifted + (112u << 23));
  return bit_cast<FourFloats>(where(order < 0x0f800000, finite, shifted + (224u << 23)) | (bits & 0x8000u) << 16);
}
// In the upper half of each word.
LAYERWISE_INLINE FourBits narrowed(FourFloats a, bfloat16) {
  const FourBits bits = bit_cast<FourBits>(a);
  return where(a == a, bits + 0x7fffu + (bits >> 16 & 1u), FourBits{} + 0x7fff0000u);
}
LAYERWISE_INLINE FourBits narrowed(FourFloats a, float16) {
  const FourBits bits = bit_cast<FourBits>(a), magnitude = bits & 0x7fffffffu;
  const FourWords order = bit_cast<FourWords>(magnitude);
  const FourBits normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  const FourBits subnormal = bit_cast<FourBits>(bit_cast<FourFloats>(magnitude) + 0.5f) - bit_cast<uint32_t>(0.5f);
  const FourBits special = where(a == a, FourBits{} + 0x7c00u, FourBits{} + 0x7fffu);
  const FourBits half = where(order < 113 << 23, subnormal, where(order < 0x477ff000, normal, special));
  return half << 16 | (bits & 0x80000000u);
}

LAYERWISE_INLINE Floats load_lanes(const float* from) {
  Floats a;
  memcpy(&a.low, from, sizeof a.low);
  memcpy(&a.high, from + 4, sizeof a.high);
  return a;
}
LAYERWISE_INLINE void store_lanes(float* to, Floats a) {
  memcpy(to, &a.low, sizeof a.low);
  memcpy(to + 4, &a.high, sizeof a.high);
}
template <class T>
LAYERWISE_INLINE HalfFloats load_lanes(const T* from) {
  return {{widened(load_halves(&from->bits), T()), widened(load_halves(&from[4].bits), T())}};
}
template <class T>
LAYERWISE_INLINE void store_lanes(T* to, Floats a) {
  store_upper_halves(&to->bits, narrowed(a.low, T()));
  store_upper_halves(&to[4].bits, narrowed(a.high, T()));
}

LAYERWISE_INLINE Floats all_lanes(float a) { return eight_floats(a); }
LAYERWISE_INLINE Floats add(Floats a, Floats b) { return {a.low + b.low, a.high + b.high}; }
LAYERWISE_INLINE Floats mul(Floats a, Floats b) { return {a.low * b.low, a.high * b.high}; }
LAYERWISE_INLINE Floats fma(Floats a, Floats b, Floats c) { return fused(a, b, c); }
LAYERWISE_INLINE Floats fma(float a, Floats b, Floats c) { return fused(a, b, c); }
// The product of two such numbers is a float32 unless it underflows: then only the sum is rounded, as it should be.
LAYERWISE_INLINE Floats fma(HalfFloats a, HalfFloats b, Floats c) {
  const Floats product = mul(a, b);
  const auto underflowed = [](FourFloats x, FourFloats y, FourFloats xy) {
    const FourWords magnitude = bit_cast<FourWords>(xy) & INT32_MAX;
    return (magnitude < 0x00800000) & (x != 0) & (y != 0);
  };
  const FourWords inexact = underflowed(a.low, b.low, product.low) | underflowed(a.high, b.high, product.high);
  if (__builtin_expect(any(inexact), false))
    return {fused_by_odd(a.low, b.low, c.low), fused_by_odd(a.high, b.high, c.high)};
  return add(product, c);
}
LAYERWISE_INLINE Words magnitude_bits(Floats a) {
  return {bit_cast<FourBits>(a.low) & 0x7fffffffu, bit_cast<FourBits>(a.high) & 0x7fffffffu};
}
LAYERWISE_INLINE Words larger(Words a, Words b) {
  const auto four = [](FourBits x, FourBits y) { return where(bit_cast<FourWords>(x) < bit_cast<FourWords>(y), y, x); };
  return {four(a.low, b.low), four(a.high, b.high)};  // magnitudes, whose top bit is 0
}
LAYERWISE_INLINE Floats cut(Floats a, float limit) {
  const auto four = [limit](FourFloats x) {
    const FourFloats most = {limit, limit, limit, limit}, below = x > most ? most : x;
    return below < -most ? -most : below;
  };
  return {four(a.low), four(a.high)};
}

// The lanes with even numbers, or with odd numbers, of a followed by those of b.
template <int kRegisters>
LAYERWISE_INLINE Floats evens(Floats a, Floats b) {
  return {__builtin_shufflevector(a.low, a.high, 0, 2, 4, 6), __builtin_shufflevector(b.low, b.high, 0, 2, 4, 6)};
}
template <int kRegisters>
LAYERWISE_INLINE Floats odds(Floats a, Floats b) {
  return {__builtin_shufflevector(a.low, a.high, 1, 3, 5, 7), __builtin_shufflevector(b.low, b.high, 1, 3, 5, 7)};
}
LAYERWISE_INLINE Floats in_order(Floats a) { return a; }
LAYERWISE_INLINE Floats as_floats(Words a) { return bit_cast<Floats>(a); }
LAYERWISE_INLINE Words as_words(Floats a) { return bit_cast<Words>(a); }
LAYERWISE_INLINE float first_lane(Floats a) { return a.low[0]; }

#endif

#if !defined(__AVX512F__)

// For less than a full register. Not inlined: they are only needed at the end of a layer, but in many loops.
template <class T>
[[gnu::noinline]] inline auto load_part(const T* from, int64_t count) {
  T padded[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) padded[i] = from[i];
  return load_lanes(padded);
}
template <class T>
[[gnu::noinline]] inline void store_part(T* to, Floats a, int64_t count) {
  T padded[kLanes];
  store_lanes(padded, a);
  for (int64_t i = 0; i < count; ++i) to[i] = padded[i];
}
// Loads the first count elements; the remaining lanes are 0.
template <class T>
LAYERWISE_INLINE auto load_lanes(const T* from, int64_t count) {
  return count >= kLanes ? load_lanes(from) : load_part(from, count);
}
// Stores only the first count elements.
template <class T>
LAYERWISE_INLINE void store_lanes(T* to, Floats a, int64_t count) {
  count >= kLanes ? store_lanes(to, a) : store_part(to, a, count);
}

#endif

// With an emulated fused multiply-add loops are long. So they are compiled for float32 alone, and what is stored
// otherwise is converted tile by tile; blocks of registers are neither inlined nor unrolled.
#if defined(LAYERWISE_FUSED_IS_EMULATED)
inline constexpr bool kConvertsTiles = true;
#define LAYERWISE_BLOCK_FUNCTION [[gnu::noinline]]
#define LAYERWISE_NOT_UNROLLED _Pragma("GCC unroll 1")
#else
inline constexpr bool kConvertsTiles = false;
#define LAYERWISE_BLOCK_FUNCTION LAYERWISE_INLINE
#define LAYERWISE_NOT_UNROLLED
#endif

// In place of a count, where the register is known to be full.
struct AllLanes {
  static constexpr int kElements = kLanes;
};
template <class T>
LAYERWISE_INLINE auto load_lanes(const T* from, AllLanes) {
  return load_lanes(from);
}
template <class T>
LAYERWISE_INLINE void store_lanes(T* to, Floats a, AllLanes) {
  store_lanes(to, a);
}

LAYERWISE_INLINE Floats mul(Floats a, float b) { return mul(a, all_lanes(b)); }
#if !defined(LAYERWISE_FUSED_IS_EMULATED)
LAYERWISE_INLINE Floats fma(float a, Floats b, Floats c) { return fma(all_lanes(a), b, c); }
#endif

template <int kRegisters>
LAYERWISE_INLINE Words evens(Words a, Words b) {
  return as_words(evens<kRegisters>(as_floats(a), as_floats(b)));
}
template <int kRegisters>
LAYERWISE_INLINE Words odds(Words a, Words b) {
  return as_words(odds<kRegisters>(as_floats(a), as_floats(b)));
}
LAYERWISE_INLINE Words in_order(Words a) { return as_words(in_order(as_floats(a))); }
LAYERWISE_INLINE uint32_t first_lane(Words a) { return bit_cast<uint32_t>(first_lane(as_floats(a))); }

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
