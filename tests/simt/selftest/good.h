// Kernels that are right, each using one facility of the harness.
#pragma once

#include <driver_types.h>

#include <cstddef>
#include <cstdint>

namespace selftest {

// out[i] = in[the same block, reversed], through dynamic shared memory
cudaError_t reverse_blocks(float* out, const float* in, int n, int blocks, std::size_t dynamic_shared);

// counts[0] += positive elements; counts[1] = blocks that hold one above `high`
cudaError_t vote(unsigned* counts, const float* in, int blocks, float high);

struct Shuffled {
  float up[64], down[64], butterfly[64], segment[64];
  double wide[64];
  unsigned ballot[2], match[64], sum[2], smallest[2];
  int lowest[2];
};
cudaError_t shuffle(Shuffled* out, const float* in);

struct CubResult {
  float warp_sum[4], block_sum_raking, block_sum_warps, maximum;
  double warp_sum_double[4];
  int scan[128];
};
cudaError_t cub_primitives(CubResult* out, const float* in);

struct Legacy {
  int add, sub, smallest, biggest;
  unsigned bits, wrapped, exchanged;
  float float_sum;
  unsigned long long swapped;
};
cudaError_t legacy_atomics(Legacy* out, int blocks);

// A float sum of n elements, tile by tile, through double-buffered cp.async
cudaError_t sum_by_copies(float* out, const float* in, int n);

// out[i] = 2 * in[i] for whole tiles of 256, through a ring of bulk copies: one producer warp, two
// consumer warps, full and empty mbarriers; results leave by bulk stores
cudaError_t double_by_ring(float* out, const float* in, int tiles, int blocks);

// Warps 0 and 1 hand data to each other through a named barrier; warp 2 never comes to it
cudaError_t named_barriers(int* out);

// Every block waits for all the others: needs them all resident
cudaError_t meet_all(unsigned* counter, int blocks, bool cooperative);

// out[0..2] = threadIdx, out[3..5] = blockIdx of each thread of a 3-d launch
cudaError_t three_dimensions(unsigned* out, dim3 grid, dim3 block);

// Whether the rounding intrinsics give IEEE results for a, b, c
cudaError_t arithmetic(float* out, double* out_double, float a, float b, float c);

// The kernel as the type-erased C functions see it, and nothing before has told the harness its type
cudaError_t launch_unknown();

}  // namespace selftest
