#include <cub/block/block_reduce.cuh>

#include "gpu.d/chunks.h"
#include "gpu.d/rival_kernels.cuh"

namespace bench {
namespace {

constexpr int kThreads = 512;

// Four neighbours in one access.
template <class T>
struct alignas(4 * sizeof(T)) Four {
  T of[4];
};
template <class T>
__device__ bool in_fours(const T* at, int count) {
  return count % 4 == 0 && reinterpret_cast<uintptr_t>(at) % sizeof(Four<T>) == 0;
}

__device__ float block_sum(float sum) {
  using Reduce = cub::BlockReduce<float, kThreads>;
  __shared__ typename Reduce::TempStorage storage;
  return Reduce(storage).Sum(sum);
}

template <class G>
__global__ void __launch_bounds__(kThreads)
    sum_chunks(const __grid_constant__ ChunkTable<1> table, const int64_t* first_chunks, float* chunk_sums) {
  const Chunk chunk = chunk_of(table, static_cast<int>(blockIdx.x));
  const G* const grads = static_cast<const G*>(table.addresses[0][chunk.tensor]) + chunk.first;
  float sums[4] = {};
  const auto add = [&](int of, const G& grad) { sums[of] += layerwise::load(grad) * layerwise::load(grad); };
  if (in_fours(grads, chunk.count)) {
    for (int i = threadIdx.x; i < chunk.count / 4; i += kThreads) {
      const Four<G> four = reinterpret_cast<const Four<G>*>(grads)[i];
      for (int k = 0; k < 4; ++k) add(k, four.of[k]);
    }
  } else {
    for (int i = threadIdx.x; i < chunk.count; i += kThreads) add(0, grads[i]);
  }
  const float sum = block_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
  if (threadIdx.x == 0) chunk_sums[first_chunks[chunk.layer] + chunk.number] = sum;
}

// A block a layer.
__global__ void __launch_bounds__(kThreads)
    finish_layers(PlainNovograd of, const int64_t* first_chunks, const float* chunk_sums, float* second_moments,
                  float* scales) {
  const int64_t layer = blockIdx.x;
  float sum = 0;
  for (int64_t i = first_chunks[layer] + threadIdx.x; i < first_chunks[layer + 1]; i += kThreads) sum += chunk_sums[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) scales[layer] = plain_scale(of, sum, second_moments[layer]);
}

template <class W, class G, class M>
__global__ void __launch_bounds__(kThreads)
    update_chunks(PlainNovograd of, const __grid_constant__ ChunkTable<3> table, const float* scales) {
  const Chunk chunk = chunk_of(table, static_cast<int>(blockIdx.x));
  const float scale = scales[chunk.layer];
  W* const weights = static_cast<W*>(table.addresses[0][chunk.tensor]) + chunk.first;
  const G* const grads = static_cast<const G*>(table.addresses[1][chunk.tensor]) + chunk.first;
  M* const moments = static_cast<M*>(table.addresses[2][chunk.tensor]) + chunk.first;
  const auto update = [&](W& weight, const G& grad, M& moment) {
    float w = layerwise::load(weight), m = layerwise::load(moment);
    plain_update(of, scale, layerwise::load(grad), w, m);
    layerwise::store(weight, w);
    layerwise::store(moment, m);
  };
  if (in_fours(weights, chunk.count) && in_fours(grads, chunk.count) && in_fours(moments, chunk.count)) {
    for (int i = threadIdx.x; i < chunk.count / 4; i += kThreads) {
      Four<W> w = reinterpret_cast<Four<W>*>(weights)[i];
      const Four<G> g = reinterpret_cast<const Four<G>*>(grads)[i];
      Four<M> m = reinterpret_cast<Four<M>*>(moments)[i];
      for (int k = 0; k < 4; ++k) update(w.of[k], g.of[k], m.of[k]);
      reinterpret_cast<Four<W>*>(weights)[i] = w;
      reinterpret_cast<Four<M>*>(moments)[i] = m;
    }
  } else {
    for (int i = threadIdx.x; i < chunk.count; i += kThreads) update(weights[i], grads[i], moments[i]);
  }
}

}  // namespace

cudaError_t chunked_novograd(const PlainNovograd& of, const StepBuffers& buffers, const BufferDtypes& dtypes,
                             const ChunkedLayers& layers, cudaStream_t stream) {
  const ElementBytes bytes = element_bytes(dtypes);
  return visit_rival_dtypes(dtypes, [&]<class W, class G, class M>() {
    for_each_table<1>(layers, {{buffers.grads}, {bytes.grad}}, [&](const ChunkTable<1>& table, int blocks) {
      sum_chunks<G><<<blocks, kThreads, 0, stream>>>(table, layers.first_chunks, layers.chunk_sums);
    });
    finish_layers<<<static_cast<unsigned>(layers.count), kThreads, 0, stream>>>(
        of, layers.first_chunks, layers.chunk_sums, buffers.second_moment, layers.scales);
    for_each_table<3>(layers,
                      {{buffers.weights, buffers.grads, buffers.moment}, {bytes.weight, bytes.grad, bytes.moment}},
                      [&](const ChunkTable<3>& table, int blocks) {
                        update_chunks<W, G, M><<<blocks, kThreads, 0, stream>>>(of, table, layers.scales);
                      });
    return cudaGetLastError();
  });
}

}  // namespace bench
