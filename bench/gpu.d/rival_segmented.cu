#include <thrust/iterator/transform_iterator.h>
#include <cub/device/device_segmented_reduce.cuh>
#include <cuda/functional>

#include "gpu.d/rival_kernels.cuh"

namespace bench {
namespace {

struct Square {
  template <class T>
  __host__ __device__ float operator()(const T& x) const {
    const float value = layerwise::load(x);
    return value * value;
  }
};

template <class T>
cudaError_t reduce(void* scratch, size_t& scratch_bytes, const T* grads, const Segments& segments, double* norms,
                   cudaStream_t stream) {
  const thrust::transform_iterator<Square, const T*> squares(grads, Square());
  return cub::DeviceSegmentedReduce::Reduce(scratch, scratch_bytes, squares, norms, segments.count, segments.begins,
                                            segments.ends, cuda::std::plus<>(), 0.0f, stream);
}

__global__ void scale_layers(PlainNovograd of, const double* sums, int64_t count, float* second_moments,
                             float* scales) {
  const int64_t layer = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (layer < count) scales[layer] = plain_scale(of, static_cast<float>(sums[layer]), second_moments[layer]);
}

// The first layer that ends behind the element.
__device__ int64_t layer_of(const Segments& segments, int64_t element) {
  int64_t low = 0, high = segments.count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (segments.ends[middle] > element)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

template <class W, class G, class M>
__global__ void __launch_bounds__(kPlainThreads)
    update_elements(PlainNovograd of, W* weights, const G* grads, M* moments, const float* scales, Segments segments,
                    int64_t elements) {
  __shared__ int64_t first_layer;
  const int64_t first = int64_t{blockIdx.x} * blockDim.x, i = first + threadIdx.x;
  if (threadIdx.x == 0) first_layer = layer_of(segments, first);
  __syncthreads();
  if (i >= elements) return;
  int64_t layer = first_layer;
  while (i >= segments.ends[layer]) ++layer;
  float weight = layerwise::load(weights[i]), moment = layerwise::load(moments[i]);
  plain_update(of, scales[layer], layerwise::load(grads[i]), weight, moment);
  layerwise::store(weights[i], weight);
  layerwise::store(moments[i], moment);
}

unsigned blocks_for(int64_t threads) { return static_cast<unsigned>((threads + kPlainThreads - 1) / kPlainThreads); }

}  // namespace

cudaError_t segmented_norms(void* scratch, size_t& scratch_bytes, const void* grads, int32_t grads_dtype,
                            const Segments& segments, double* norms, cudaStream_t stream) {
  if (grads_dtype == kBf16)
    return reduce(scratch, scratch_bytes, static_cast<const layerwise::bfloat16*>(grads), segments, norms, stream);
  return reduce(scratch, scratch_bytes, static_cast<const float*>(grads), segments, norms, stream);
}

cudaError_t plain_apply(const PlainNovograd& of, const StepBuffers& buffers, const BufferDtypes& dtypes,
                        const Segments& segments, int64_t elements, const double* norms, float* scales,
                        cudaStream_t stream) {
  scale_layers<<<blocks_for(segments.count), kPlainThreads, 0, stream>>>(of, norms, segments.count,
                                                                         buffers.second_moment, scales);
  return visit_rival_dtypes(dtypes, [&]<class W, class G, class M>() {
    update_elements<<<blocks_for(elements), kPlainThreads, 0, stream>>>(
        of, static_cast<W*>(buffers.weights), static_cast<const G*>(buffers.grads), static_cast<M*>(buffers.moment),
        scales, segments, elements);
    return cudaGetLastError();
  });
}

}  // namespace bench
