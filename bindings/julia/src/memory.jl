# Arrays as the library takes them: an address, a dtype, a device. The CUDA extension adds methods for CuArray.

dtype(::Type{Float32}) = LAYERWISE_DTYPE_FLOAT32
dtype(::Type{Float16}) = LAYERWISE_DTYPE_FLOAT16
dtype(::Type{Float64}) = LAYERWISE_DTYPE_FLOAT64
dtype(::Type{UInt16}) = LAYERWISE_DTYPE_REMAINDER16 # what bfloat16 weights lack of a float32 master
@static if isdefined(Core, :BFloat16) # BFloat16s.jl has arithmetic for it
    dtype(::Type{Core.BFloat16}) = LAYERWISE_DTYPE_BFLOAT16
end
dtype(::Type{T}) where {T} = refuse(LAYERWISE_ERROR_UNKNOWN_DTYPE, "the element type $T has no dtype here")

const HostArray = Union{Array,SubArray{T,1,<:Array} where {T}}

# The plan's device that an array lies on.
device_of(::HostArray) = LAYERWISE_DEVICE_CPU

# The stream that a call goes to unless told otherwise; the extension asks CUDA.jl for the task's.
default_stream(::Any) = C_NULL

address(array::HostArray) = Ptr{Cvoid}(pointer(array))

function check_contiguous(array, name)
    array isa SubArray && stride(array, 1) != 1 &&
        refuse(LAYERWISE_ERROR_INVALID_VALUE, "$name is a view with gaps; its elements must follow each other")
    return nothing
end

function check_array(array, name, device, type, needed, exact = false)
    check_contiguous(array, name)
    device_of(array) == device ||
        refuse(LAYERWISE_ERROR_COMBINATION, "$name lies on device $(device_of(array)); the plan is on $device")
    eltype(array) in type || refuse(LAYERWISE_ERROR_UNSUPPORTED_DTYPE, "$name holds $(eltype(array)), not $(type[1])")
    good = exact ? length(array) == needed : length(array) >= needed
    good || refuse(LAYERWISE_ERROR_INVALID_VALUE,
                   "$name has $(length(array)) elements; it must have $(exact ? "" : "at least ")$needed")
    return address(array)
end

"""
    pointer_table(arrays)

The addresses of one array a layer, 0 for `nothing`: what a scattered plan reads. Plans on the CPU take the arrays
themselves; for a plan on a CUDA device copy the table there, `CuArray(pointer_table(arrays))`, and keep the arrays.
"""
pointer_table(arrays) = UInt64[array === nothing ? 0 : UInt64(UInt(address(array))) for array in arrays]
