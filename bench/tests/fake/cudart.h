// A pretended CUDA runtime: device memory is host memory, streams do their work at once, a captured stream records it.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "kernels/tuning.h"

namespace fake {

// The device: few multiprocessors, so that small layers are larger than what they hold.
inline constexpr int kMultiprocessors = 4;
inline constexpr layerwise::SharedMemory kSharedMemory{100 << 10, 99 << 10, 1 << 10};

// Work launched on a stream: done now, or recorded where the stream is being captured.
void launch(cudaStream_t stream, std::function<void()> work);

}  // namespace fake
