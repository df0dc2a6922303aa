// The arithmetic that reproducible bits rest on: each function is one correctly rounded IEEE operation, in a version
// for the host and one for the device. Values are combined only through these functions, so that no compiler contracts,
// reassociates or approximates anything (both are told not to as well: -ffp-contract=off, -fmad=false).
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__CUDACC__)
#define LAYERWISE_INLINE __host__ __device__ __forceinline__
#else
#define LAYERWISE_INLINE inline __attribute__((always_inline))
#endif

// Files that are compiled for a certain instruction set get these functions in a namespace of their own. Otherwise the
// linker would merge the copies of several files, and could give AVX-512 code to a processor without it.
#ifndef LAYERWISE_ISA
#define LAYERWISE_ISA common
#endif

namespace layerwise {
inline namespace LAYERWISE_ISA {

template <class To, class From>
LAYERWISE_INLINE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From) && std::is_trivially_copyable_v<From>);
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

#if defined(__CUDA_ARCH__)
LAYERWISE_INLINE float add(float a, float b) { return __fadd_rn(a, b); }
LAYERWISE_INLINE float mul(float a, float b) { return __fmul_rn(a, b); }
LAYERWISE_INLINE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
LAYERWISE_INLINE double add(double a, double b) { return __dadd_rn(a, b); }
LAYERWISE_INLINE double sub(double a, double b) { return __dsub_rn(a, b); }
LAYERWISE_INLINE double mul(double a, double b) { return __dmul_rn(a, b); }
LAYERWISE_INLINE double fma(double a, double b, double c) { return __fma_rn(a, b, c); }
LAYERWISE_INLINE double div(double a, double b) { return __ddiv_rn(a, b); }
LAYERWISE_INLINE double sqrt(double a) { return __dsqrt_rn(a); }
LAYERWISE_INLINE float to_float(double a) { return __double2float_rn(a); }
#else
LAYERWISE_INLINE float add(float a, float b) { return a + b; }
LAYERWISE_INLINE float mul(float a, float b) { return a * b; }
LAYERWISE_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
LAYERWISE_INLINE double add(double a, double b) { return a + b; }
LAYERWISE_INLINE double sub(double a, double b) { return a - b; }
LAYERWISE_INLINE double mul(double a, double b) { return a * b; }
LAYERWISE_INLINE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
LAYERWISE_INLINE double div(double a, double b) { return a / b; }
LAYERWISE_INLINE double sqrt(double a) { return __builtin_sqrt(a); }
LAYERWISE_INLINE float to_float(double a) { return static_cast<float>(a); }
#endif

LAYERWISE_INLINE double abs(double a) { return a < 0 ? -a : a; }
LAYERWISE_INLINE double larger(double a, double b) { return a < b ? b : a; }
LAYERWISE_INLINE uint32_t larger(uint32_t a, uint32_t b) { return a < b ? b : a; }
LAYERWISE_INLINE double smaller(double a, double b) { return b < a ? b : a; }

// Clamps to [-limit, limit]; NaN stays NaN.
LAYERWISE_INLINE float cut(float a, float limit) { return a > limit ? limit : a < -limit ? -limit : a; }

// The bits of a float without its sign. As integers they are ordered like the magnitudes, with NaN above infinity.
LAYERWISE_INLINE uint32_t magnitude_bits(float a) { return bit_cast<uint32_t>(a) & 0x7fffffffu; }

// Subtracting infinity or NaN from itself gives NaN.
LAYERWISE_INLINE bool is_finite(double a) { return sub(a, a) == 0; }

}  // namespace LAYERWISE_ISA
}  // namespace layerwise
