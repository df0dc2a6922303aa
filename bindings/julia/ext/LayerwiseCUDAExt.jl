# Arrays of CUDA.jl.
module LayerwiseCUDAExt

using CUDA: CUDA, CuArray, CuPtr
using Layerwise: Layerwise

Layerwise.device_of(array::CuArray) = Int32(CUDA.deviceid(CUDA.device(array)))

# The library takes the addresses of either memory as C pointers.
bare(pointer::CuPtr) = Ptr{Cvoid}(UInt(pointer))
Layerwise.address(array::CuArray) = bare(pointer(array))

Layerwise.default_stream(::CuArray) = Ptr{Cvoid}(Base.unsafe_convert(CUDA.CUstream, CUDA.stream()))

end
