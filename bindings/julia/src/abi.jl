# The constants and structs of layerwise.h. A test holds them against the library's description of its ABI.

const LAYERWISE_VERSION_MAJOR = Int32(0)
const LAYERWISE_VERSION_MINOR = Int32(1)
const LAYERWISE_VERSION_PATCH = Int32(0)

const LAYERWISE_ABI_VERSION = Int32(0)

const LAYERWISE_OK = Int32(0)

const LAYERWISE_ERROR_NULL_ARGUMENT = Int32(101)
const LAYERWISE_ERROR_INVALID_VALUE = Int32(102)
const LAYERWISE_ERROR_UNKNOWN_FLAG = Int32(103)
const LAYERWISE_ERROR_STRUCT_SIZE = Int32(104)
const LAYERWISE_ERROR_INVALID_PLAN = Int32(105)
const LAYERWISE_ERROR_COMBINATION = Int32(106)
const LAYERWISE_ERROR_ALIASED = Int32(107)
const LAYERWISE_ERROR_MISALIGNED = Int32(108)
const LAYERWISE_ERROR_LAYER_RANGE = Int32(201)
const LAYERWISE_ERROR_LAYER_OVERLAP = Int32(202)
const LAYERWISE_ERROR_LAYER_OVERFLOW = Int32(203)
const LAYERWISE_ERROR_UNKNOWN_DTYPE = Int32(301)
const LAYERWISE_ERROR_UNSUPPORTED_DTYPE = Int32(302)
const LAYERWISE_ERROR_NO_CUDA = Int32(401)
const LAYERWISE_ERROR_UNSUPPORTED_ISA = Int32(402)
const LAYERWISE_ERROR_WORKSPACE = Int32(403)
const LAYERWISE_ERROR_OUT_OF_MEMORY = Int32(404)
const LAYERWISE_ERROR_PLAN_FAILED = Int32(405)
const LAYERWISE_ERROR_INTERNAL = Int32(499)
const LAYERWISE_ERROR_CUDA = Int32(501)

const LAYERWISE_DTYPE_NONE = Int32(0)
const LAYERWISE_DTYPE_FLOAT32 = Int32(1)
const LAYERWISE_DTYPE_BFLOAT16 = Int32(2)
const LAYERWISE_DTYPE_FLOAT16 = Int32(3)
const LAYERWISE_DTYPE_FLOAT64 = Int32(4)
const LAYERWISE_DTYPE_REMAINDER16 = Int32(5)

const LAYERWISE_DEVICE_CPU = Int32(-1)

const LAYERWISE_LAYOUT_PACKED = Int32(0)
const LAYERWISE_LAYOUT_SCATTERED = Int32(1)

const LAYERWISE_ISA_AUTO = Int32(0)
const LAYERWISE_ISA_BASELINE = Int32(1)
const LAYERWISE_ISA_AVX2 = Int32(2)
const LAYERWISE_ISA_AVX512 = Int32(3)
const LAYERWISE_ISA_NEON = Int32(4)

const LAYERWISE_NORM_L2 = Int32(0)
const LAYERWISE_NORM_INF = Int32(1)

const LAYERWISE_LARC_CLIP = Int32(0)
const LAYERWISE_LARC_SCALE = Int32(1)

const LAYERWISE_ZERO_NORM_KEEP = Int32(0)
const LAYERWISE_ZERO_NORM_FREEZE = Int32(1)
const LAYERWISE_ZERO_NORM_FLOOR = Int32(2)
const LAYERWISE_ZERO_NORM_UNTOUCHED = Int32(3)

const LAYERWISE_ROUNDING_NEAREST = Int32(0)
const LAYERWISE_ROUNDING_STOCHASTIC = Int32(1)

const LAYERWISE_SUMS_LAYERS = Int32(0)

const LAYERWISE_STAT_WEIGHT_NORM = Int32(0)
const LAYERWISE_STAT_GRAD_NORM = Int32(1)
const LAYERWISE_STAT_SECOND_MOMENT = Int32(2)
const LAYERWISE_STAT_FACTOR = Int32(3)
const LAYERWISE_STAT_EFFECTIVE_LR = Int32(4)
const LAYERWISE_STAT_CLIPPED = Int32(5)
const LAYERWISE_STAT_COUNT = Int32(6)

const LAYERWISE_QUERY_LAYERS = Int32(1)
const LAYERWISE_QUERY_ELEMENTS = Int32(2)
const LAYERWISE_QUERY_TILES = Int32(3)
const LAYERWISE_QUERY_EXTENT = Int32(4)
const LAYERWISE_QUERY_DEVICE = Int32(5)
const LAYERWISE_QUERY_THREADS = Int32(6)
const LAYERWISE_QUERY_ISA = Int32(7)
const LAYERWISE_QUERY_WORKSPACE = Int32(8)
const LAYERWISE_QUERY_FINGERPRINT = Int32(9)
const LAYERWISE_QUERY_PATH = Int32(10)
const LAYERWISE_QUERY_HELD_GRADS = Int32(11)
const LAYERWISE_QUERY_HELD_WEIGHTS = Int32(12)

const LAYERWISE_PATH_CPU = Int32(0)
const LAYERWISE_PATH_TWO_PASS = Int32(1)
const LAYERWISE_PATH_ONE_PASS = Int32(2)

# layerwise_plan_options
mutable struct PlanOptions
    struct_size::Int64
    layer_count::Int64
    sizes::Ptr{Int64}
    offsets::Ptr{Int64}
    device::Int32
    layout::Int32
    weights_dtype::Int32
    grads_dtype::Int32
    first_moment_dtype::Int32
    second_moment_dtype::Int32
    weights_extra_dtype::Int32
    threads::Int32
    isa_::Int32
    path::Int32
    workspace::Ptr{Cvoid}
    workspace_bytes::Int64
    multiprocessors::Int64
    reserved2::Int64

    PlanOptions() = new()
end

# layerwise_layer_options
mutable struct LayerOptions
    struct_size::Int64
    lr_mult::Ptr{Float64}
    wd_mult::Ptr{Float64}
    skip_larc::Ptr{UInt8}
    reserved::NTuple{2,Int64}

    LayerOptions() = new()
end

# layerwise_novograd_options
mutable struct NovogradOptions
    struct_size::Int64
    lr::Float64
    beta1::Float64
    beta2::Float64
    eps::Float64
    eps_root::Float64
    weight_decay::Float64
    grad_scale::Float64
    step::Int64
    lr_ptr::Ptr{Float32}
    grad_scale_ptr::Ptr{Float32}
    step_ptr::Ptr{Int64}
    found_inf::Ptr{Float32}
    nonfinite_layers::Ptr{Int64}
    advance_step::Int32
    norm::Int32
    grad_averaging::Int32
    average_first_step::Int32
    amsgrad::Int32
    bias_correction::Int32
    seed_second_moment::Int32
    decoupled_weight_decay::Int32
    lr_in_momentum::Int32
    maximize::Int32
    rounding::Int32
    reserved::Int32
    seed::Int64
    reserved2::NTuple{2,Int64}

    NovogradOptions() = new()
end

# layerwise_larc_options
mutable struct LarcOptions
    struct_size::Int64
    lr::Float64
    eta::Float64
    eps::Float64
    min_update::Float64
    weight_decay::Float64
    grad_scale::Float64
    lr_ptr::Ptr{Float32}
    grad_scale_ptr::Ptr{Float32}
    found_inf::Ptr{Float32}
    nonfinite_layers::Ptr{Int64}
    mode::Int32
    zero_norm::Int32
    fold_weight_decay::Int32
    maximize::Int32
    rounding::Int32
    reserved::Int32
    seed::Int64
    reserved2::NTuple{2,Int64}

    LarcOptions() = new()
end

# layerwise_sgd_options
mutable struct SgdOptions
    struct_size::Int64
    momentum::Float64
    dampening::Float64
    step::Int64
    step_ptr::Ptr{Int64}
    advance_step::Int32
    nesterov::Int32
    reserved::NTuple{2,Int64}

    SgdOptions() = new()
end
