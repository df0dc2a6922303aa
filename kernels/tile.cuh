// How a tile is addressed, and which threads work on it: a whole block or one warp.
#pragma once

#include <cuda_runtime.h>

#include <concepts>
#include <cuda/std/type_traits>

#include "kernels/launch.h"
#include "kernels/ptx.cuh"
#include "kernels/tuning.h"
#include "numerics/summation.h"

// All shared memory is declared with these macros: when kernels are compiled for the CPU emulator, a plain __shared__
// would silently give every thread its own copy.
#if defined(SIMT_HARNESS)
#define LAYERWISE_SHARED(name, ...) SIMT_SHARED(name, __VA_ARGS__)
#define LAYERWISE_DYNAMIC_SHARED(name) SIMT_DYNAMIC_SHARED(name)
#else
#define LAYERWISE_SHARED(name, ...) __shared__ ::cuda::std::type_identity_t<__VA_ARGS__> name
#define LAYERWISE_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

namespace layerwise {

inline constexpr int kRows = kTileElements / kAccumulators;
inline constexpr int kWarpThreads = 32;
inline constexpr int kWarps = kBlockThreads / kWarpThreads;
static_assert(kBlockThreads * kThreadElements == kAccumulators, "a thread owns the accumulators of the elements it reads");

__device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x % unsigned{kWarpThreads}); }
__device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x / unsigned{kWarpThreads}); }

struct Tile {
  uint32_t layer;
  uint32_t index;  // in the layer
  int count;       // elements

  // Index of its first element in the layer.
  __device__ __forceinline__ int64_t first() const { return int64_t{index} * kTileElements; }
};

__device__ __forceinline__ Tile tile_of_layer(const DevicePlan& plan, uint32_t layer, uint32_t index) {
  const int64_t left = plan.layers[layer].extent.size - int64_t{index} * kTileElements;
  return {layer, index, left < kTileElements ? static_cast<int>(left) : kTileElements};
}

// The tile with this number in the plan.
__device__ __forceinline__ Tile tile_at(const DevicePlan& plan, int64_t tile) {
  const uint32_t layer = plan.tile_layer[tile];
  return tile_of_layer(plan, layer, static_cast<uint32_t>(tile - plan.layers[layer].extent.first_tile));
}

template <class T>
__device__ __forceinline__ T* tile_address(const DevicePlan& plan, const Tile& tile, void* buffer) {
  return static_cast<T*>(layer_address(buffer, plan.scattered, tile.layer,
                                       plan.layers[tile.layer].extent.offset + tile.first(), sizeof(T)));
}

// Whether found_inf cancels the step. Called by the whole block; one thread reads the flag for all. If every thread
// read it, a caller who writes it at that moment could make threads of one block disagree and hang at a barrier.
__device__ __forceinline__ bool step_is_cancelled_for_block(const StepBuffers& buffers) {
  return buffers.found_inf && __syncthreads_or(threadIdx.x == 0 && step_is_cancelled(buffers));
}

// Called in the last launch of a step, when nothing reads the counter any more.
__device__ __forceinline__ void advance_step(const StepBuffers& buffers) {
  if (buffers.advanced_step && blockIdx.x == 0 && threadIdx.x == 0) ++*buffers.advanced_step;
}

// The threads that share a tile: kThreads of them, numbered by rank(). A team of several warps meets at sync().
template <class T>
concept TileTeam = requires {
  { T::kThreads } -> std::convertible_to<int>;
  { T::rank() } -> std::same_as<int>;
};
struct WholeBlock {
  static constexpr int kThreads = kBlockThreads;
  static __device__ __forceinline__ int rank() { return static_cast<int>(threadIdx.x); }
  static __device__ __forceinline__ void sync() { __syncthreads(); }
};
struct OneWarp {
  static constexpr int kThreads = kWarpThreads;
  static __device__ __forceinline__ int rank() { return lane(); }
};

// Loads kernels onto the current device and returns the first error.
template <class... Kernels>
cudaError_t load_kernels(Kernels*... kernels) {
  cudaFuncAttributes attributes;
  cudaError_t status = cudaSuccess;
  ((status = status != cudaSuccess ? status : cudaFuncGetAttributes(&attributes, kernels)),
   ...);
  return status;
}

// Launches the wanted number of blocks, at most `most` and at least one. If it overlaps, the launch may begin before the one
// in front of it has ended; its kernel waits for that.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), int64_t wanted, int64_t most, bool overlaps, cudaStream_t stream,
                   const Arguments&... arguments) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(wanted < 1 ? 1 : wanted < most ? wanted : most));
  config.blockDim = dim3(kBlockThreads);
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = overlaps;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace layerwise
