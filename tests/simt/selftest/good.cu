#include "good.h"

#include <cub/block/block_load.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/block/block_store.cuh>
#include <cub/warp/warp_reduce.cuh>
#include <cuda/atomic>

namespace selftest {

namespace {

constexpr unsigned kAllLanes = 0xffffffffu;

template <class... P, class... A>
cudaError_t start(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t dynamic_shared, A... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = dynamic_shared;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

__global__ void reverse_kernel(float* out, const float* in, int n) {
  SIMT_DYNAMIC_SHARED(raw);
  auto* buffer = reinterpret_cast<float*>(raw);
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  buffer[threadIdx.x] = i < n ? in[i] : 0.f;
  __syncthreads();
  if (i < n) out[i] = buffer[blockDim.x - 1 - threadIdx.x];
}

__global__ void vote_kernel(unsigned* counts, const float* in, float high) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const unsigned positive = __ballot_sync(kAllLanes, in[i] > 0);
  if (threadIdx.x % 32 == 0) atomicAdd(counts, unsigned(__popc(positive)));
  const int any = __syncthreads_or(in[i] > high);
  const int how_many = __syncthreads_count(in[i] > high);
  const int every = __syncthreads_and(in[i] <= high);
  if (threadIdx.x == 0 && any && how_many > 0 && !every) atomicAdd(counts + 1, 1u);
}

__global__ void shuffle_kernel(Shuffled* out, const float* in) {
  const unsigned t = threadIdx.x, lane = t % 32;
  out->up[t] = __shfl_up_sync(kAllLanes, in[t], 3);
  out->down[t] = __shfl_down_sync(kAllLanes, in[t], 5);
  out->butterfly[t] = __shfl_xor_sync(kAllLanes, in[t], 9);
  out->segment[t] = __shfl_sync(kAllLanes, in[t], 2, 8);
  out->wide[t] = __shfl_down_sync(kAllLanes, double(in[t]) / 3, 1, 16);
  const unsigned half = lane < 16 ? 0xffffu : 0xffff0000u;  // two meetings of one warp at a time
  const unsigned ballot = __ballot_sync(half, lane % 3 == 0);
  const unsigned sum = __reduce_add_sync(kAllLanes, lane), smallest = __reduce_min_sync(kAllLanes, lane + 7);
  const int lowest = __reduce_min_sync(kAllLanes, int(lane) - 9);
  out->match[t] = __match_any_sync(kAllLanes, lane / 8);
  if (t < 32 && lane % 16 == 0) out->ballot[lane / 16] = ballot;
  if (lane == 0) {
    out->sum[t / 32] = sum;
    out->smallest[t / 32] = smallest;
    out->lowest[t / 32] = lowest;
  }
}

__global__ void cub_kernel(CubResult* out, const float* in) {
  using WarpFloat = cub::WarpReduce<float>;
  using WarpDouble = cub::WarpReduce<double>;
  using Raking = cub::BlockReduce<float, 128, cub::BLOCK_REDUCE_RAKING>;
  using Warps = cub::BlockReduce<float, 128, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
  using Scan = cub::BlockScan<int, 128>;
  SIMT_SHARED(warp_float, typename WarpFloat::TempStorage[4]);
  SIMT_SHARED(warp_double, typename WarpDouble::TempStorage[4]);
  SIMT_SHARED(raking, typename Raking::TempStorage);
  SIMT_SHARED(warps, typename Warps::TempStorage);
  SIMT_SHARED(scan, typename Scan::TempStorage);
  const unsigned t = threadIdx.x, warp = t / 32;
  const float a = WarpFloat(warp_float[warp]).Sum(in[t]);
  const double b = WarpDouble(warp_double[warp]).Sum(double(in[t]));
  const float c = Raking(raking).Sum(in[t]), d = Warps(warps).Sum(in[t]);
  __syncthreads();
  const float e = Warps(warps).Reduce(in[t], cuda::maximum<>{});
  int before;
  Scan(scan).ExclusiveSum(int(t), before);
  out->scan[t] = before;
  if (t % 32 == 0) {
    out->warp_sum[warp] = a;
    out->warp_sum_double[warp] = b;
  }
  if (t == 0) {
    out->block_sum_raking = c;
    out->block_sum_warps = d;
    out->maximum = e;
  }
}

__global__ void legacy_kernel(Legacy* out) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&out->add, i);
  atomicSub(&out->sub, 1);
  atomicMin(&out->smallest, -i);
  atomicMax(&out->biggest, i);
  atomicOr(&out->bits, 1u << i % 32);
  atomicInc(&out->wrapped, 9);
  atomicAdd(&out->float_sum, 0.5f);
  atomicCAS(&out->swapped, 0ull, 7ull);
  if (i == 3) atomicExch(&out->exchanged, 5u);
}

__global__ void copies_kernel(float* out, const float* in, int n) {
  SIMT_SHARED(buffer, float[2][256]);
  SIMT_SHARED(warp_sums, float[2]);
  const int t = int(threadIdx.x), tiles = n / 256;
  for (int k = 0; k < 2 && k < tiles; ++k) {
    simt::copy_async(&buffer[k][4 * t], in + k * 256 + 4 * t, 16);
    simt::copy_async_commit();
  }
  float sum = 0;
  for (int k = 0; k < tiles; ++k) {
    simt::copy_async_wait_group(k + 1 < tiles ? 1 : 0);
    __syncthreads();
    for (int j = 0; j < 4; ++j) sum += buffer[k & 1][t + 64 * j];
    __syncthreads();
    if (k + 2 < tiles) simt::copy_async(&buffer[k & 1][4 * t], in + (k + 2) * 256 + 4 * t, 16);
    simt::copy_async_commit();
  }
  for (int d = 16; d; d >>= 1) sum += __shfl_xor_sync(kAllLanes, sum, d);
  if (t % 32 == 0) warp_sums[t / 32] = sum;
  __syncthreads();
  if (t == 0) *out = warp_sums[0] + warp_sums[1];
}

struct Ring {
  static constexpr int kSlots = 3;
  alignas(16) float data[kSlots][256];
  std::uint64_t full[kSlots], empty[kSlots];
};

__global__ void ring_kernel(float* out, const float* in, int tiles) {
  SIMT_SHARED(ring, Ring);
  SIMT_SHARED(result, float[2][256]);
  const int warp = int(threadIdx.x / 32), lane = int(threadIdx.x % 32);
  if (threadIdx.x == 0)
    for (int s = 0; s < Ring::kSlots; ++s) {
      simt::mbarrier_init(&ring.full[s], 1);
      simt::mbarrier_init(&ring.empty[s], 2);
    }
  __syncthreads();
  int turn = 0;
  for (int tile = int(blockIdx.x); tile < tiles; tile += int(gridDim.x), ++turn) {
    const int slot = turn % Ring::kSlots;
    const unsigned round = unsigned(turn / Ring::kSlots);
    if (warp == 0) {  // the producer
      if (lane == 0) {
        while (!simt::mbarrier_try_wait(&ring.empty[slot], (round & 1) ^ 1)) {
        }
        simt::mbarrier_arrive_expect_tx(&ring.full[slot], sizeof ring.data[slot]);
        simt::bulk_load(ring.data[slot], in + 256 * tile, sizeof ring.data[slot], &ring.full[slot]);
      }
      continue;
    }
    while (!simt::mbarrier_try_wait(&ring.full[slot], round & 1)) {
    }
    if (lane == 0) simt::bulk_wait_group(0);  // the last result has left its buffer
    __syncwarp();
    const int half = (warp - 1) * 128;
    for (int i = lane; i < 128; i += 32) result[warp - 1][i] = 2 * ring.data[slot][half + i];
    __syncwarp();
    if (lane == 0) {
      simt::mbarrier_arrive(&ring.empty[slot]);
      simt::bulk_store(out + 256 * tile + half, result[warp - 1], 512);
      simt::bulk_commit();
    }
  }
  if (warp && lane == 0) simt::bulk_wait_group(0);
}

__global__ void named_kernel(int* out) {
  SIMT_SHARED(passed, int[64]);
  const int t = int(threadIdx.x);
  if (t < 64) {
    passed[t] = t * t;
    simt::named_barrier_sync(1, 64);
    out[t] = passed[63 - t];
    if (t < 32)
      simt::named_barrier_arrive(2, 64);  // does not wait for the readers
    else
      simt::named_barrier_sync(2, 64);
  }
  __syncthreads();
}

__global__ void meet_kernel(unsigned* counter) {
  cuda::atomic_ref<unsigned, cuda::thread_scope_device> arrived(*counter);
  if (threadIdx.x == 0) {
    arrived.fetch_add(1u, cuda::memory_order_acq_rel);
    while (arrived.load(cuda::memory_order_acquire) < gridDim.x) __nanosleep(64);
  }
  __syncthreads();
}

__global__ void dimensions_kernel(unsigned* out) {
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  unsigned* own = out + 6 * (block * threads + thread);
  own[0] = threadIdx.x, own[1] = threadIdx.y, own[2] = threadIdx.z;
  own[3] = blockIdx.x, own[4] = blockIdx.y, own[5] = blockIdx.z;
}

__global__ void arithmetic_kernel(float* out, double* out_double, float a, float b, float c) {
  const float results[] = {__fadd_rn(a, b),
                           __fsub_rn(a, b),
                           __fmul_rn(a, b),
                           __fdiv_rn(a, b),
                           __fsqrt_rn(a),
                           __fmaf_rn(a, b, c),
                           __uint_as_float(__float_as_uint(a))};
  const double x = a, y = b, z = c;
  const double doubles[] = {__dadd_rn(x, y), __dsub_rn(x, y), __dmul_rn(x, y),
                            __ddiv_rn(x, y), __dsqrt_rn(x),   __fma_rn(x, y, z)};
  for (int i = 0; i < 7; ++i) __stcs(out + i, __ldcs(results + i));
  for (int i = 0; i < 6; ++i) __stcg(out_double + i, __ldcg(doubles + i));
}

__global__ void unknown_kernel() {}

}  // namespace

cudaError_t reverse_blocks(float* out, const float* in, int n, int blocks, std::size_t dynamic_shared) {
  return start(reverse_kernel, blocks, 128, dynamic_shared, out, in, n);
}

cudaError_t vote(unsigned* counts, const float* in, int blocks, float high) {
  return start(vote_kernel, blocks, 128, 0, counts, in, high);
}

cudaError_t shuffle(Shuffled* out, const float* in) { return start(shuffle_kernel, 1, 64, 0, out, in); }

cudaError_t cub_primitives(CubResult* out, const float* in) { return start(cub_kernel, 1, 128, 0, out, in); }

cudaError_t legacy_atomics(Legacy* out, int blocks) { return start(legacy_kernel, blocks, 96, 0, out); }

cudaError_t sum_by_copies(float* out, const float* in, int n) { return start(copies_kernel, 1, 64, 0, out, in, n); }

cudaError_t double_by_ring(float* out, const float* in, int tiles, int blocks) {
  return start(ring_kernel, blocks, 96, 0, out, in, tiles);
}

cudaError_t named_barriers(int* out) { return start(named_kernel, 1, 96, 0, out); }

cudaError_t meet_all(unsigned* counter, int blocks, bool cooperative) {
  void* arguments[] = {&counter};
  if (cooperative) return cudaLaunchCooperativeKernel(meet_kernel, dim3(blocks), dim3(64), arguments);
  return cudaLaunchKernel(meet_kernel, dim3(blocks), dim3(64), arguments);
}

cudaError_t three_dimensions(unsigned* out, dim3 grid, dim3 block) {
  return start(dimensions_kernel, grid, block, 0, out);
}

cudaError_t arithmetic(float* out, double* out_double, float a, float b, float c) {
  return start(arithmetic_kernel, 1, 1, 0, out, out_double, a, b, c);
}

cudaError_t launch_unknown() {
  void* none[] = {nullptr};
  return cudaLaunchKernel(reinterpret_cast<const void*>(unknown_kernel), dim3(1), dim3(1), none, 0, nullptr);
}

}  // namespace selftest
