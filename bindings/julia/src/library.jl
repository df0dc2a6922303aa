# The shared library and its errors.

const LIBRARY = Ref{Ptr{Cvoid}}(C_NULL)

# LAYERWISE_LIBRARY names a file; else the system's loader looks for the library of this ABI version.
function library()
    if LIBRARY[] == C_NULL
        name = get(ENV, "LAYERWISE_LIBRARY", Sys.isapple() ? "liblayerwise.$(LAYERWISE_ABI_VERSION).dylib" :
                                             "liblayerwise.so.$(LAYERWISE_ABI_VERSION)")
        LIBRARY[] = Libdl.dlopen(name)
    end
    return LIBRARY[]
end

symbol(name::Symbol) = Libdl.dlsym(library(), name)

"""
A call was refused or failed; what was refused has changed nothing. `status` is one of the `LAYERWISE_ERROR_` constants,
`name` its name; `message` names the argument, the value received and the rule.
"""
abstract type LayerwiseError <: Exception end

"A [`LayerwiseError`](@ref) that has no type of its own."
struct CallError <: LayerwiseError
    status::Int32
    name::String
    message::String
end

"Ranks that share layers disagree, or their pieces do not make up whole layers. Every rank gets this error."
struct RanksDisagreeError <: LayerwiseError
    status::Int32
    name::String
    message::String
end

Base.showerror(io::IO, error::LayerwiseError) = print(io, error.message, " [", error.name, ", ", error.status, "]")

function refuse(status, message)
    kind = status == LAYERWISE_ERROR_RANKS_DISAGREE ? RanksDisagreeError : CallError
    throw(kind(status, unsafe_string(layerwise_status_name(status)), message))
end

function check(status)
    status == LAYERWISE_OK && return nothing
    return refuse(status, unsafe_string(layerwise_last_error()))
end

"The version as major*10000 + minor*100 + patch."
version() = layerwise_version()

"The number of the bit contract: two libraries that return the same number give the same bits."
numerics_version() = layerwise_numerics_version()

"What the library was built with and what it would run on here, one `key: value` a line."
build_info() = unsafe_string(layerwise_build_info())

"Every constant, struct layout and function of the C header as JSON."
abi_description() = unsafe_string(layerwise_abi_description())
