#include "bugs.h"

#include <cuda/atomic>

#include <cstdint>

namespace selftest {

namespace {

constexpr unsigned kAllLanes = 0xffffffffu;
using Word = cuda::atomic_ref<unsigned, cuda::thread_scope_device>;

// --- sums per layer and a flag per layer, by persistent blocks: the shape of a one-pass step

template <Bug bug>
__device__ float block_sum(float x)  // in thread 0
{
  SIMT_SHARED(warp_sum, float[4]);
  for (int d = 16; d; d >>= 1) x += __shfl_xor_sync(kAllLanes, x, d);
  if (threadIdx.x % 32 == 0) warp_sum[threadIdx.x / 32] = x;
  if constexpr (bug != Bug::kMissingBarrier) __syncthreads();
  x = threadIdx.x == 0 ? (warp_sum[0] + warp_sum[1]) + (warp_sum[2] + warp_sum[3]) : 0.f;
  return x;
}

template <Bug bug>
__device__ int next_tile(const Layers& layers) {
  if constexpr (bug == Bug::kNonAtomicCounter)
    return int((*layers.ticket)++);
  else
    return int(Word(*layers.ticket).fetch_add(1u, cuda::memory_order_relaxed));
}

template <Bug bug>
__device__ void publish(const Layers& layers, int layer, int tile, float sum) {
  constexpr auto order = bug == Bug::kRelaxedPublish ? cuda::memory_order_relaxed : cuda::memory_order_acq_rel;
  const int first = layers.first_tile[layer], tiles = layers.first_tile[layer + 1] - first;
  if constexpr (bug != Bug::kLatePublish) layers.tile_sum[tile] = sum;
  const unsigned before = Word(layers.arrived[layer]).fetch_add(1u, order);
  if constexpr (bug == Bug::kLatePublish) layers.tile_sum[tile] = sum;
  if (int(before) != tiles - 1) return;
  float total = 0;
  for (int i = 0; i < tiles; ++i)
    total += layers.tile_sum[first + (bug == Bug::kArrivalOrder ? (i + tile) % tiles : i)];
  layers.layer_sum[layer] = total;
  if constexpr (bug != Bug::kFlagNeverSet)
    Word(layers.flag[layer])
        .store(1u, bug == Bug::kRelaxedFlag ? cuda::memory_order_relaxed : cuda::memory_order_release);
}

template <Bug bug>
__global__ void layers_kernel(const Layers layers) {
  SIMT_SHARED(shared_tile, int);
  SIMT_SHARED(shared_sum, float);
  const int tiles = layers.first_tile[Layers::kCount];
  int ahead = -1;
  for (;;) {
    if (threadIdx.x == 0) shared_tile = ahead >= 0 ? ahead : next_tile<bug>(layers);
    __syncthreads();
    const int tile = shared_tile;
    if (tile >= tiles) return;
    int layer = 0;
    while (tile >= layers.first_tile[layer + 1]) ++layer;
    const int i = layers.first[layer] + (tile - layers.first_tile[layer]) * Layers::kTile + int(threadIdx.x);
    const int end = layers.first[layer + 1];
    const float x = (bug == Bug::kTailOffByOne ? i <= end : i < end) ? layers.in[i] : 0.f;
    const float sum = block_sum<bug>(x);
    if (threadIdx.x == 0) {
      publish<bug>(layers, layer, tile, sum);
      if constexpr (bug == Bug::kDrawnAheadOfWait) ahead = next_tile<bug>(layers);
      while (!Word(layers.flag[layer]).load(cuda::memory_order_acquire)) __nanosleep(64);
      shared_sum = layers.layer_sum[layer];
    }
    __syncthreads();
    if (i < end) layers.out[i] = x / shared_sum;
  }
}

// --- a ring of tiles in shared memory, filled by bulk copies: the shape of a step that holds gradients

struct Ring {
  static constexpr int kSlots = 2, kTile = 128;
  alignas(16) float data[kSlots][kTile];
  std::uint64_t full[kSlots], empty[kSlots];
  int which[kSlots];
};

// Sums each layer of two tiles, then scales both: a slot stays held until its layer's sum is known.
template <Bug bug>
__global__ void ring_kernel(float* out, const float* in, unsigned* ticket, float* tile_sum, unsigned* arrived,
                            int tiles) {
  SIMT_SHARED(ring, Ring);
  const int warp = int(threadIdx.x / 32), lane = int(threadIdx.x % 32);
  if (threadIdx.x == 0)
    for (int s = 0; s < Ring::kSlots; ++s) {
      simt::mbarrier_init(&ring.full[s], 1);
      simt::mbarrier_init(&ring.empty[s], 1);
    }
  __syncthreads();
  if (warp == 0) {
    if (lane) return;
    for (unsigned turn = 0;; ++turn) {
      const unsigned slot = turn % Ring::kSlots, round = turn / Ring::kSlots;
      unsigned tile = 0;
      if constexpr (bug == Bug::kEarlySlotClaim) tile = Word(*ticket).fetch_add(1u, cuda::memory_order_relaxed);
      while (!simt::mbarrier_try_wait(&ring.empty[slot], (round & 1) ^ 1)) {
      }
      if constexpr (bug != Bug::kEarlySlotClaim) tile = Word(*ticket).fetch_add(1u, cuda::memory_order_relaxed);
      ring.which[slot] = int(tile);
      if (int(tile) >= tiles) {
        simt::mbarrier_arrive(&ring.full[slot]);
        return;
      }
      constexpr unsigned bytes = sizeof ring.data[0];
      simt::mbarrier_arrive_expect_tx(&ring.full[slot], bug == Bug::kTooFewBytes ? bytes / 2 : bytes);
      if constexpr (bug == Bug::kTooFewBytes) {
        simt::bulk_load(ring.data[slot], in + Ring::kTile * tile, bytes / 2, &ring.full[slot]);
        simt::bulk_load(ring.data[slot] + Ring::kTile / 2, in + Ring::kTile * tile + Ring::kTile / 2, bytes / 2,
                        &ring.full[slot]);
      } else {
        simt::bulk_load(ring.data[slot], in + Ring::kTile * tile, bytes, &ring.full[slot]);
      }
    }
  }
  for (unsigned turn = 0;; ++turn) {
    const unsigned slot = turn % Ring::kSlots, round = turn / Ring::kSlots;
    if (bug != Bug::kMissingCopyWait || turn == 0)
      while (!simt::mbarrier_try_wait(&ring.full[slot], bug == Bug::kPhaseTakenTwice ? 0 : round & 1)) {
      }
    const int tile = ring.which[slot], partner = tile ^ 1;
    if (tile >= tiles) return;
    if constexpr (bug == Bug::kSlotFreedEarly) {
      __syncwarp();
      if (lane == 0) simt::mbarrier_arrive(&ring.empty[slot]);
    }
    float sum = 0;
    for (int i = lane; i < Ring::kTile; i += 32) sum += ring.data[slot][i];
    for (int d = 16; d; d >>= 1) sum += __shfl_xor_sync(kAllLanes, sum, d);
    if (lane == 0) {
      tile_sum[tile] = sum;
      Word(arrived[tile]).store(1u, cuda::memory_order_release);
      while (!Word(arrived[partner]).load(cuda::memory_order_acquire)) __nanosleep(64);
      sum = tile_sum[tile & ~1] + tile_sum[tile | 1];
    }
    sum = __shfl_sync(kAllLanes, sum, 0);
    for (int i = lane; i < Ring::kTile; i += 32) out[Ring::kTile * tile + i] = ring.data[slot][i] / sum;
    __syncwarp();
    if (bug != Bug::kSlotFreedEarly && lane == 0) simt::mbarrier_arrive(&ring.empty[slot]);
  }
}

// --- small kernels of 128 threads a block: out[i] = in[i ^ 1] or the like

template <Bug bug>
__global__ void small_kernel(float* out, const float* in, unsigned* word, int n) {
  const int t = int(threadIdx.x), lane = t % 32, i = int(blockIdx.x * blockDim.x) + t;
  if constexpr (bug == Bug::kMissingElementWait) {
    SIMT_SHARED(buffer, float[128]);
    simt::copy_async(&buffer[t], in + i, 4);
    simt::copy_async_commit();
    __syncthreads();
    out[i] = buffer[t ^ 1];
  } else if constexpr (bug == Bug::kWrongShuffleMask) {
    float x = in[i];
    if (lane < 16) x += __shfl_down_sync(kAllLanes, x, 8);
    out[i] = x;
  } else if constexpr (bug == Bug::kShuffleAsFence) {
    SIMT_SHARED(buffer, float[128]);
    buffer[t] = in[i];
    (void)__shfl_sync(kAllLanes, lane, 0);
    out[i] = buffer[t ^ 1];
  } else if constexpr (bug == Bug::kSharedOverrun) {
    SIMT_SHARED(buffer, float[128]);
    buffer[t + 1] = in[i];
    if (t == 0) buffer[0] = in[i];
    __syncthreads();
    out[i] = in[i ^ 1];
  } else if constexpr (bug == Bug::kDynamicSharedOverrun) {
    SIMT_DYNAMIC_SHARED(raw);
    auto* buffer = reinterpret_cast<float*>(raw);
    buffer[t + 4] = in[i];
    __syncthreads();
    out[i] = in[i ^ 1];
  } else if constexpr (bug == Bug::kUnwrittenShared) {
    SIMT_SHARED(buffer, float[128]);
    if (t) buffer[t] = in[i];
    __syncthreads();
    out[i] = buffer[t ^ 1];
  } else if constexpr (bug == Bug::kDivergentBarrier) {
    SIMT_SHARED(buffer, float[128]);
    buffer[t] = in[i];
    if (t < 64)
      __syncthreads();
    else
      __syncthreads();
    out[i] = buffer[t ^ 1];
  } else if constexpr (bug == Bug::kExitBeforeBarrier) {
    if (i >= n - 3) return;
    __syncthreads();
    out[i] = in[i ^ 1];
  } else if constexpr (bug == Bug::kGlobalOverrun) {
    out[i] = in[i ^ 1];
    if (i == n - 1) out[i + 1] = 0.f;
  } else if constexpr (bug == Bug::kMisalignedVector) {
    const float4 four = *reinterpret_cast<const float4*>(in + (i & ~3) + (i + 8 < n));
    out[i] = four.x;
  } else if constexpr (bug == Bug::kIndexOverflow) {
    const int far = (i + 1) * 30'000'000;
    out[i] = in[i ^ 1] + (far == 7 ? 1.f : 0.f);
  } else if constexpr (bug == Bug::kNotResident) {
    if (t == 0) {
      Word(*word).fetch_add(1u, cuda::memory_order_acq_rel);
      while (Word(*word).load(cuda::memory_order_acquire) < gridDim.x) __nanosleep(64);
    }
    out[i] = in[i ^ 1];
  } else if constexpr (bug == Bug::kBlockScope) {
    using Narrow = cuda::atomic_ref<unsigned, cuda::thread_scope_block>;
    if (i == 0)
      Narrow(*word).store(1u, cuda::memory_order_release);
    else if (t == 0)
      while (!Narrow(*word).load(cuda::memory_order_acquire)) __nanosleep(64);
    out[i] = in[i ^ 1];
  }
}

// --- two launches, of which the second may begin before the first has ended

__global__ void first_kernel(float* between, const float* in) {
  simt::dependency_trigger();
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  between[i] = in[i];
}

template <Bug bug>
__global__ void second_kernel(float* out, const float* between) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  float early = 0;
  if constexpr (bug == Bug::kReadBeforeDependencyWait) early = between[i ^ 1];
  if constexpr (bug == Bug::kWriteBeforeDependencyWait) out[i] = 0.f;
  if constexpr (bug != Bug::kNoDependencyWait) simt::dependency_wait();
  out[i] = bug == Bug::kReadBeforeDependencyWait ? early : between[i ^ 1];
}

template <Bug bug>
cudaError_t start_dependent(const Buffers& buffers, cudaLaunchConfig_t config) {
  config.blockDim = dim3(128);
  if (const cudaError_t status = cudaLaunchKernelEx(&config, first_kernel, buffers.floats, buffers.in)) return status;
  cudaLaunchAttribute overlaps{};
  overlaps.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlaps.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlaps;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, second_kernel<bug>, buffers.out, buffers.floats);
}

template <Bug bug>
cudaError_t start(const Layers& layers, const Buffers& buffers, int blocks) {
  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(unsigned(blocks));
  if constexpr (bug == Bug::kNone) {
    if (buffers.floats && !buffers.words) return start_dependent<bug>(buffers, config);
  }
  if constexpr (kind_of(bug) == Kind::kDependent) {
    return start_dependent<bug>(buffers, config);
  } else if constexpr (kind_of(bug) == Kind::kSmall) {
    config.blockDim = dim3(128);
    config.dynamicSmemBytes = bug == Bug::kDynamicSharedOverrun ? 128 * sizeof(float) : 0;
    return cudaLaunchKernelEx(&config, small_kernel<bug>, buffers.out, buffers.in, buffers.words, buffers.n);
  } else {
    config.attrs = &cooperative;
    config.numAttrs = 1;
    if constexpr (kind_of(bug) == Kind::kLayers) {
      config.blockDim = dim3(Layers::kTile);
      return cudaLaunchKernelEx(&config, layers_kernel<bug>, layers);
    } else {
      config.blockDim = dim3(64);
      return cudaLaunchKernelEx(&config, ring_kernel<bug>, buffers.out, buffers.in, buffers.words, buffers.floats,
                                buffers.words + 1, buffers.n / Ring::kTile);
    }
  }
}

}  // namespace

cudaError_t launch(Bug bug, const Layers& layers, const Buffers& buffers, int blocks) {
  switch (bug) {
#define CASE(bug) \
  case Bug::bug:  \
    return start<Bug::bug>(layers, buffers, blocks);
    CASE(kNone)
  CASE(kMissingBarrier)
  CASE(kTailOffByOne) CASE(kLatePublish) CASE(kRelaxedPublish) CASE(kRelaxedFlag) CASE(kFlagNeverSet)
      CASE(kNonAtomicCounter) CASE(kDrawnAheadOfWait) CASE(kArrivalOrder) CASE(kMissingCopyWait) CASE(kEarlySlotClaim) CASE(kSlotFreedEarly)
          CASE(kTooFewBytes) CASE(kPhaseTakenTwice) CASE(kMissingElementWait) CASE(kWrongShuffleMask) CASE(kShuffleAsFence)
              CASE(kSharedOverrun) CASE(kDynamicSharedOverrun) CASE(kUnwrittenShared) CASE(kDivergentBarrier)
                  CASE(kExitBeforeBarrier) CASE(kGlobalOverrun) CASE(kMisalignedVector) CASE(kIndexOverflow)
                      CASE(kNotResident) CASE(kBlockScope) CASE(kNoDependencyWait)
                          CASE(kReadBeforeDependencyWait) CASE(kWriteBeforeDependencyWait)
#undef CASE
                          case Bug::kCount:
    break;
  }
  return cudaErrorInvalidValue;
}

}  // namespace selftest
