// Other ways to the norms and to a whole NovoGrad step, written plainly: what this library is measured beside. Each
// function launches on a stream and allocates nothing; layers are packed without gaps, weights, gradients and moments
// float32, bfloat16, or float32 beside bfloat16 gradients.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>

#include "step.h"

namespace bench {

// NovoGrad as the library's defaults have it.
struct PlainNovograd {
  float lr, beta1 = 0.95f, beta2 = 0.98f, eps = 1e-8f, weight_decay = 1e-3f;
};

// What the gradient is multiplied by, from its squared norm; the layer's second moment goes along.
LAYERWISE_INLINE float plain_scale(const PlainNovograd& of, float sum, float& second_moment) {
  second_moment = second_moment == 0 ? sum : of.beta2 * second_moment + (1 - of.beta2) * sum;
  return 1 / (sqrtf(second_moment) + of.eps);
}
LAYERWISE_INLINE void plain_update(const PlainNovograd& of, float scale, float grad, float& weight, float& moment) {
  moment = of.beta1 * moment + (grad * scale + of.weight_decay * weight);
  weight -= of.lr * moment;
}

// ---- By the toolkit's reduction ----

// Element begins[l] is a layer's first, ends[l] the one behind its last; device memory.
struct Segments {
  int64_t count;
  const int64_t *begins, *ends;
};

// The squared norm of every layer's gradients by cub::DeviceSegmentedReduce, summed in float32. Without scratch only
// says how much it needs, in scratch_bytes.
cudaError_t segmented_norms(void* scratch, size_t& scratch_bytes, const void* grads, int32_t grads_dtype,
                            const Segments& segments, double* norms, cudaStream_t stream);

// The rest of a step by one thread an element, from those norms. scales: scratch, a number a layer.
cudaError_t plain_apply(const PlainNovograd& of, const StepBuffers& buffers, const BufferDtypes& dtypes,
                        const Segments& segments, int64_t elements, const double* norms, float* scales,
                        cudaStream_t stream);

// ---- By chunks ----

inline constexpr int kChunk = 2048 * 32;  // elements that a block takes

struct ChunkedLayers {
  int64_t count;
  const int64_t *sizes, *offsets;  // host memory
  const int64_t* first_chunks;     // device memory, count + 1 of them: where a layer's chunks stand among all
  float *chunk_sums, *scales;      // scratch, a number a chunk and a layer
};

// The pattern in which PyTorch's and apex's multi-tensor optimizers launch: the addresses of up to 110 tensors, and
// which chunk of which tensor each of up to 320 blocks takes, are the kernel's arguments, made anew in every call. As
// many launches as that takes for the sums, one that finishes every layer, and as many again for the update.
cudaError_t chunked_novograd(const PlainNovograd& of, const StepBuffers& buffers, const BufferDtypes& dtypes,
                             const ChunkedLayers& layers, cudaStream_t stream);

}  // namespace bench
