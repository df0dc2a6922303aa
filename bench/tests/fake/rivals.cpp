// The rivals for the pretended runtime: the same launches, each done by the CPU.
//   FAKE_CUDA_FLAW_RIVAL=1  all of them leave out the weights' decay
#include "gpu.d/rivals.h"

#include <cstdlib>

#include "cudart.h"
#include "gpu.d/chunks.h"

namespace bench {
namespace {

// Calls visitor(weights, grads, moment) with typed addresses.
template <class Visitor>
void visit_buffers(const BufferDtypes& dtypes, void* weights, const void* grads, void* moment, Visitor&& visitor) {
  layerwise::visit_element_dtype(static_cast<layerwise::Dtype>(dtypes.weights), [&]<class W>() {
    layerwise::visit_element_dtype(static_cast<layerwise::Dtype>(dtypes.grads), [&]<class G>() {
      layerwise::visit_moment_dtype(static_cast<layerwise::Dtype>(dtypes.moment), [&]<class M>() {
        visitor(static_cast<W*>(weights), static_cast<const G*>(grads), static_cast<M*>(moment));
      });
    });
  });
}

double sum_of_squares(int32_t dtype, const void* grads, int64_t first, int64_t end) {
  double sum = 0;
  layerwise::visit_element_dtype(static_cast<layerwise::Dtype>(dtype), [&]<class G>() {
    for (int64_t i = first; i < end; ++i) {
      const double value = layerwise::load(static_cast<const G*>(grads)[i]);
      sum += value * value;
    }
  });
  return sum;
}

void update(PlainNovograd of, const BufferDtypes& dtypes, void* weights, const void* grads, void* moment, float scale,
            int64_t first, int64_t end) {
  if (std::getenv("FAKE_CUDA_FLAW_RIVAL")) of.weight_decay = 0;
  visit_buffers(dtypes, weights, grads, moment, [&](auto* w, const auto* g, auto* m) {
    for (int64_t i = first; i < end; ++i) {
      float weight = layerwise::load(w[i]), value = layerwise::load(m[i]);
      plain_update(of, scale, layerwise::load(g[i]), weight, value);
      layerwise::store(w[i], weight);
      layerwise::store(m[i], value);
    }
  });
}

}  // namespace

cudaError_t segmented_norms(void* scratch, size_t& scratch_bytes, const void* grads, int32_t grads_dtype,
                            const Segments& segments, double* norms, cudaStream_t stream) {
  if (!scratch) {
    scratch_bytes = 8;
    return cudaSuccess;
  }
  fake::launch(stream, [=] {
    for (int64_t l = 0; l < segments.count; ++l)
      norms[l] = sum_of_squares(grads_dtype, grads, segments.begins[l], segments.ends[l]);
  });
  return cudaSuccess;
}

cudaError_t plain_apply(const PlainNovograd& of, const StepBuffers& at, const BufferDtypes& dtypes,
                        const Segments& segments, int64_t, const double* norms, float* scales, cudaStream_t stream) {
  fake::launch(stream, [=] {
    for (int64_t l = 0; l < segments.count; ++l)
      scales[l] = plain_scale(of, static_cast<float>(norms[l]), at.second_moment[l]);
  });
  fake::launch(stream, [=] {
    for (int64_t l = 0; l < segments.count; ++l)
      update(of, dtypes, at.weights, at.grads, at.moment, scales[l], segments.begins[l], segments.ends[l]);
  });
  return cudaSuccess;
}

cudaError_t chunked_novograd(const PlainNovograd& of, const StepBuffers& at, const BufferDtypes& dtypes,
                             const ChunkedLayers& layers, cudaStream_t stream) {
  const ElementBytes bytes = element_bytes(dtypes);
  for_each_table<1>(layers, {{at.grads}, {bytes.grad}}, [&](const ChunkTable<1>& table, int blocks) {
    fake::launch(stream, [=] {
      for (int block = 0; block < blocks; ++block) {
        const Chunk chunk = chunk_of(table, block);
        layers.chunk_sums[layers.first_chunks[chunk.layer] + chunk.number] = static_cast<float>(
            sum_of_squares(dtypes.grads, table.addresses[0][chunk.tensor], chunk.first, chunk.first + chunk.count));
      }
    });
  });
  fake::launch(stream, [=] {
    for (int64_t l = 0; l < layers.count; ++l) {
      float sum = 0;
      for (int64_t i = layers.first_chunks[l]; i < layers.first_chunks[l + 1]; ++i) sum += layers.chunk_sums[i];
      layers.scales[l] = plain_scale(of, sum, at.second_moment[l]);
    }
  });
  for_each_table<3>(layers, {{at.weights, at.grads, at.moment}, {bytes.weight, bytes.grad, bytes.moment}},
                    [&](const ChunkTable<3>& table, int blocks) {
                      fake::launch(stream, [=] {
                        for (int block = 0; block < blocks; ++block) {
                          const Chunk chunk = chunk_of(table, block);
                          update(of, dtypes, table.addresses[0][chunk.tensor], table.addresses[1][chunk.tensor],
                                 table.addresses[2][chunk.tensor], layers.scales[chunk.layer], chunk.first,
                                 chunk.first + chunk.count);
                        }
                      });
                    });
  return cudaSuccess;
}

}  // namespace bench
