// Arithmetic intrinsics. Built with -ffp-contract=off and -mfma, each is one correctly rounded IEEE
// operation, as on the GPU. Those that are not (rsqrtf, __expf, fast division) are missing on purpose.
#pragma once

#include "location.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#define SIMT_OPERATION(name, type, parameters, expression) \
  SIMT_DEVICE type name parameters { return expression; }

SIMT_OPERATION(__fadd_rn, float, (float a, float b), a + b)
SIMT_OPERATION(__fsub_rn, float, (float a, float b), a - b)
SIMT_OPERATION(__fmul_rn, float, (float a, float b), a* b)
SIMT_OPERATION(__fdiv_rn, float, (float a, float b), a / b)
SIMT_OPERATION(__frcp_rn, float, (float a), 1.0f / a)
SIMT_OPERATION(__fsqrt_rn, float, (float a), __builtin_sqrtf(a))
SIMT_OPERATION(__fmaf_rn, float, (float a, float b, float c), __builtin_fmaf(a, b, c))
SIMT_OPERATION(__dadd_rn, double, (double a, double b), a + b)
SIMT_OPERATION(__dsub_rn, double, (double a, double b), a - b)
SIMT_OPERATION(__dmul_rn, double, (double a, double b), a* b)
SIMT_OPERATION(__ddiv_rn, double, (double a, double b), a / b)
SIMT_OPERATION(__drcp_rn, double, (double a), 1.0 / a)
SIMT_OPERATION(__dsqrt_rn, double, (double a), __builtin_sqrt(a))
SIMT_OPERATION(__fma_rn, double, (double a, double b, double c), __builtin_fma(a, b, c))

SIMT_OPERATION(__double2float_rn, float, (double a), float(a))
SIMT_OPERATION(__int2float_rn, float, (int a), float(a))
SIMT_OPERATION(__uint2float_rn, float, (unsigned a), float(a))
SIMT_OPERATION(__ll2float_rn, float, (long long a), float(a))
SIMT_OPERATION(__ull2float_rn, float, (unsigned long long a), float(a))
SIMT_OPERATION(__ll2double_rn, double, (long long a), double(a))
SIMT_OPERATION(__ull2double_rn, double, (unsigned long long a), double(a))

SIMT_OPERATION(__float_as_uint, unsigned, (float a), std::bit_cast<unsigned>(a))
SIMT_OPERATION(__float_as_int, int, (float a), std::bit_cast<int>(a))
SIMT_OPERATION(__uint_as_float, float, (unsigned a), std::bit_cast<float>(a))
SIMT_OPERATION(__int_as_float, float, (int a), std::bit_cast<float>(a))
SIMT_OPERATION(__double_as_longlong, long long, (double a), std::bit_cast<long long>(a))
SIMT_OPERATION(__longlong_as_double, double, (long long a), std::bit_cast<double>(a))

SIMT_OPERATION(__popc, int, (unsigned a), std::popcount(a))
SIMT_OPERATION(__popcll, int, (unsigned long long a), std::popcount(a))
SIMT_OPERATION(__clz, int, (int a), std::countl_zero(unsigned(a)))
SIMT_OPERATION(__clzll, int, (long long a), std::countl_zero(static_cast<unsigned long long>(a)))
SIMT_OPERATION(__ffs, int, (int a), __builtin_ffs(a))
SIMT_OPERATION(__ffsll, int, (long long a), __builtin_ffsll(a))
SIMT_OPERATION(__umulhi, unsigned, (unsigned a, unsigned b), unsigned(std::uint64_t(a) * b >> 32))
SIMT_OPERATION(__umul64hi, unsigned long long, (unsigned long long a, unsigned long long b),
               static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64))
#undef SIMT_OPERATION

SIMT_DEVICE unsigned __brev(unsigned a) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= ((a >> i) & 1u) << (31 - i);
  return reversed;
}

// nvcc has these in the global namespace (for mixed types too: those do not compile here).
using std::isfinite;
using std::isinf;
using std::isnan;
using std::max;
using std::min;
