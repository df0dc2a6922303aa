// Kernel launches. The runtime's C functions take a kernel as const void*; to call it with its real
// parameters the harness must know their types. So each of the runtime's C++ fronts is overloaded here:
// it tells the harness the kernel's type, then calls the C function, as the toolkit's own front does.
// A kernel that only ever reaches the runtime as const void* is refused with a message.
#pragma once

#include "location.h"

#include <cstddef>
#include <type_traits>
#include <utility>

namespace simt {

using Invoke = void (*)(const void* kernel, void** arguments);
void register_kernel(const void* kernel, Invoke);

template <class... P>
const void* known(void (*kernel)(P...)) {
  const auto address = reinterpret_cast<const void*>(kernel);
  register_kernel(address, [](const void* kernel, void** arguments) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      reinterpret_cast<void (*)(P...)>(const_cast<void*>(kernel))(
          *static_cast<std::remove_reference_t<P>*>(arguments[I])...);
    }(std::index_sequence_for<P...>{});
    (void)arguments;
  });
  return address;
}

template <class... T>
concept Anything = true;  // a constraint that holds: makes ours the better match than the toolkit's

}  // namespace simt

template <class... P, class... A>
  requires simt::Anything<P...>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
  return [&](P... converted) {
    void* addresses[] = {const_cast<void*>(static_cast<const void*>(&converted))..., nullptr};
    return cudaLaunchKernelExC(config, simt::known(kernel), addresses);
  }(std::forward<A>(arguments)...);
}

template <class... P>
cudaError_t cudaLaunchKernel(void (*kernel)(P...), dim3 grid, dim3 block, void** arguments,
                             std::size_t dynamic_shared = 0, cudaStream_t stream = nullptr) {
  return cudaLaunchKernel(simt::known(kernel), grid, block, arguments, dynamic_shared, stream);
}

template <class... P>
cudaError_t cudaLaunchCooperativeKernel(void (*kernel)(P...), dim3 grid, dim3 block, void** arguments,
                                        std::size_t dynamic_shared = 0, cudaStream_t stream = nullptr) {
  return cudaLaunchCooperativeKernel(simt::known(kernel), grid, block, arguments, dynamic_shared, stream);
}

template <class... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(simt::known(kernel), attribute, value);
}

template <class... P>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*kernel)(P...)) {
  return cudaFuncGetAttributes(attributes, simt::known(kernel));
}

template <class... P>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*kernel)(P...), int block_size,
                                                          std::size_t dynamic_shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, simt::known(kernel), block_size, dynamic_shared);
}

template <class... P>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void (*kernel)(P...), int block_size,
                                                                   std::size_t dynamic_shared, unsigned flags) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, simt::known(kernel), block_size, dynamic_shared,
                                                                flags);
}
