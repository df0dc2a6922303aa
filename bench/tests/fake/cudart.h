// A pretended CUDA runtime: device memory is host memory, streams do their work at once, a captured stream records it.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace fake {

// Work launched on a stream: done now, or recorded where the stream is being captured.
void launch(cudaStream_t stream, std::function<void()> work);

}  // namespace fake
