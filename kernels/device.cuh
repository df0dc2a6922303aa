// What every kernel shares: how a tile is addressed, loaded and stored.
#pragma once

#include <cuda_runtime.h>

#include <cuda/std/type_traits>

#include "kernels/launch.h"
#include "kernels/tuning.h"
#include "numerics/summation.h"

// Block-shared variables are declared through these alone: compiled for a CPU, a plain __shared__ would silently
// become each thread's own.
#if defined(SIMT_HARNESS)
#define LAYERWISE_SHARED(name, ...) SIMT_SHARED(name, __VA_ARGS__)
#define LAYERWISE_DYNAMIC_SHARED(name) SIMT_DYNAMIC_SHARED(name)
#else
#define LAYERWISE_SHARED(name, ...) __shared__ ::cuda::std::type_identity_t<__VA_ARGS__> name
#define LAYERWISE_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

namespace layerwise {

inline constexpr int kRows = kTileElements / kAccumulators;
inline constexpr int kWarps = kBlockThreads / 32;
static_assert(kBlockThreads * kThreadElements == kAccumulators, "a thread owns the accumulators of the elements it reads");

struct Tile {
  int64_t layer;
  int64_t index;  // in the layer
  int64_t first;  // element of the layer
  int count;      // elements
};

__device__ __forceinline__ Tile tile_of_layer(const DevicePlan& plan, int64_t layer, int64_t index) {
  const int64_t first = index * kTileElements, left = plan.layers[layer].extent.size - first;
  return {layer, index, first, left < kTileElements ? static_cast<int>(left) : kTileElements};
}

// A tile by its number in the plan.
__device__ __forceinline__ Tile tile_at(const DevicePlan& plan, int64_t tile) {
  const int64_t layer = plan.tile_layer[tile];
  return tile_of_layer(plan, layer, tile - plan.layers[layer].extent.first_tile);
}

template <class T>
__device__ __forceinline__ T* tile_address(const DevicePlan& plan, const Tile& tile, void* buffer) {
  return static_cast<T*>(layer_address(buffer, plan.scattered, tile.layer,
                                       plan.layers[tile.layer].extent.offset + tile.first, sizeof(T)));
}

// Four neighbouring elements as they lie in memory: one 16-byte access of float32, one 8-byte access of 16-bit dtypes.
template <class T>
struct alignas(kThreadElements * sizeof(T)) Quad {
  T element[kThreadElements];
};
struct FloatQuad {
  float element[kThreadElements];
};

template <class T>
__device__ __forceinline__ bool is_aligned(const T* address) {
  return reinterpret_cast<uintptr_t>(address) % sizeof(Quad<T>) == 0;
}

template <class T>
struct QuadBits;
template <>
struct QuadBits<float> {
  using Type = float4;
};
template <>
struct QuadBits<bfloat16> {
  using Type = uint2;
};
template <>
struct QuadBits<float16> {
  using Type = uint2;
};
template <>
struct QuadBits<remainder16> {
  using Type = uint2;
};

// Read by a later launch again: kept in L2. Last use: the first to leave it.
struct KeepInCache {
  template <class Bits>
  static __device__ __forceinline__ Bits load(const Bits* address) {
    return __ldcg(address);
  }
};
struct LastUse {
  template <class Bits>
  static __device__ __forceinline__ Bits load(const Bits* address) {
    return __ldcs(address);
  }
};

template <class T>
__device__ __forceinline__ FloatQuad unpack(const Quad<T>& quad) {
  return {load(quad.element[0]), load(quad.element[1]), load(quad.element[2]), load(quad.element[3])};
}

template <class T>
__device__ __forceinline__ Quad<T> pack(const FloatQuad& values) {
  Quad<T> quad;
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i) store(quad.element[i], values.element[i]);
  return quad;
}

template <class Policy, class T>
__device__ __forceinline__ Quad<T> load_stored(const T* address) {
  using Bits = typename QuadBits<T>::Type;
  return bit_cast<Quad<T>>(Policy::load(reinterpret_cast<const Bits*>(address)));
}
template <class T>
__device__ __forceinline__ void store_stored(T* address, const Quad<T>& quad) {
  using Bits = typename QuadBits<T>::Type;
  __stcs(reinterpret_cast<Bits*>(address), bit_cast<Bits>(quad));
}

template <class Policy, class T>
__device__ __forceinline__ FloatQuad load_quad(const T* address) {
  return unpack(load_stored<Policy>(address));
}
template <class T>
__device__ __forceinline__ void store_quad(T* address, const FloatQuad& values) {
  store_stored(address, pack<T>(values));
}

// The same where the tile ends inside the quad or its address is not aligned; absent elements are 0.
template <class T>
__device__ __forceinline__ FloatQuad load_elements(const T* address, int first, int count) {
  FloatQuad quad;
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i) quad.element[i] = first + i < count ? load(address[first + i]) : 0.0f;
  return quad;
}

template <class T>
__device__ __forceinline__ void store_elements(T* address, int first, int count, const FloatQuad& values) {
#pragma unroll
  for (int i = 0; i < kThreadElements; ++i)
    if (first + i < count) store(address[first + i], values.element[i]);
}

// By the last launch of a step, after every read of the counter.
__device__ __forceinline__ void advance_step(const StepBuffers& buffers) {
  if (buffers.advanced_step && blockIdx.x == 0 && threadIdx.x == 0) ++*buffers.advanced_step;
}

// The first element of a row that this thread owns.
__device__ __forceinline__ int row_element(int row) {
  return row * kAccumulators + static_cast<int>(threadIdx.x) * kThreadElements;
}

// Loads kernels onto the current device; the first error.
template <class... Kernels>
cudaError_t load_kernels(Kernels*... kernels) {
  cudaFuncAttributes attributes;
  cudaError_t status = cudaSuccess;
  ((status = status != cudaSuccess ? status : cudaFuncGetAttributes(&attributes, kernels)),
   ...);
  return status;
}

// A launch of at most blocks_per_multiprocessor blocks a multiprocessor, one block a tile where there are fewer.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), const DevicePlan& plan, int blocks_per_multiprocessor,
                   const DeviceLimits& device, cudaStream_t stream, const Arguments&... arguments) {
  const int64_t most = static_cast<int64_t>(device.multiprocessors) * blocks_per_multiprocessor;
  const int64_t blocks = plan.tiles < 1 ? 1 : plan.tiles < most ? plan.tiles : most;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(kBlockThreads);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, plan, arguments...);
}

}  // namespace layerwise
