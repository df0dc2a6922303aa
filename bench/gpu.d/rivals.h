// What the toolkit offers for a part of the same work.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace bench {

// The squared norm of every layer of float32 gradients by cub::DeviceSegmentedReduce: begins[l] to ends[l], device
// memory. Without scratch only says how much it needs, in scratch_bytes.
cudaError_t segmented_norms(void* scratch, size_t& scratch_bytes, const float* grads, double* norms, int64_t layers,
                            const int64_t* begins, const int64_t* ends, cudaStream_t stream);

}  // namespace bench
