# Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings.
# The constants and structs of layerwise.h, which is the reference.

# The version of this header. The library a program runs with may be newer: layerwise_version().
const LAYERWISE_VERSION_MAJOR = Int32(0)
# The version of this header. The library a program runs with may be newer: layerwise_version().
const LAYERWISE_VERSION_MINOR = Int32(1)
# The version of this header. The library a program runs with may be newer: layerwise_version().
const LAYERWISE_VERSION_PATCH = Int32(0)
# Raised when programs built against an older header would break; part of the shared library's soname.
const LAYERWISE_ABI_VERSION = Int32(0)

# success
const LAYERWISE_OK = Int32(0)

# a pointer that must not be NULL is NULL
const LAYERWISE_ERROR_NULL_ARGUMENT = Int32(101)
# a number outside its range, or not finite
const LAYERWISE_ERROR_INVALID_VALUE = Int32(102)
# a selector, flag or reserved field has an unknown value
const LAYERWISE_ERROR_UNKNOWN_FLAG = Int32(103)
# struct_size is too small, or bytes this library does not know are set
const LAYERWISE_ERROR_STRUCT_SIZE = Int32(104)
# not a plan, already destroyed, or a CUDA plan in a forked process
const LAYERWISE_ERROR_INVALID_PLAN = Int32(105)
# options that exclude each other, or a missing or superfluous buffer
const LAYERWISE_ERROR_COMBINATION = Int32(106)
# buffers overlap where they must not
const LAYERWISE_ERROR_ALIASED = Int32(107)
# a pointer not aligned to its element's size
const LAYERWISE_ERROR_MISALIGNED = Int32(108)
# a negative size, offset or layer count
const LAYERWISE_ERROR_LAYER_RANGE = Int32(201)
# two layers share elements
const LAYERWISE_ERROR_LAYER_OVERLAP = Int32(202)
# offset + size does not fit the address space
const LAYERWISE_ERROR_LAYER_OVERFLOW = Int32(203)
# the ranks' pieces do not make up whole layers, or the ranks disagree
const LAYERWISE_ERROR_RANKS_DISAGREE = Int32(204)
# not one of the LAYERWISE_DTYPE_ constants
const LAYERWISE_ERROR_UNKNOWN_DTYPE = Int32(301)
# a dtype this buffer cannot have
const LAYERWISE_ERROR_UNSUPPORTED_DTYPE = Int32(302)
# built without CUDA or for other devices, or no device is present
const LAYERWISE_ERROR_NO_CUDA = Int32(401)
# this processor lacks the instruction set asked for
const LAYERWISE_ERROR_UNSUPPORTED_ISA = Int32(402)
# the caller's workspace is too small or not aligned to 256 bytes
const LAYERWISE_ERROR_WORKSPACE = Int32(403)
# host or device memory could not be allocated
const LAYERWISE_ERROR_OUT_OF_MEMORY = Int32(404)
# an earlier step of this plan failed midway; call layerwise_plan_reset
const LAYERWISE_ERROR_PLAN_FAILED = Int32(405)
# a bug in this library
const LAYERWISE_ERROR_INTERNAL = Int32(499)
# a CUDA call failed; the message quotes CUDA's
const LAYERWISE_ERROR_CUDA = Int32(501)

# no such buffer
const LAYERWISE_DTYPE_NONE = Int32(0)
# IEEE binary32
const LAYERWISE_DTYPE_FLOAT32 = Int32(1)
# the upper 16 bits of a float32
const LAYERWISE_DTYPE_BFLOAT16 = Int32(2)
# IEEE binary16
const LAYERWISE_DTYPE_FLOAT16 = Int32(3)
# IEEE binary64
const LAYERWISE_DTYPE_FLOAT64 = Int32(4)
# 16 bits: the lower half of a float32 whose upper half is a bfloat16 weight
const LAYERWISE_DTYPE_REMAINDER16 = Int32(5)

# any number from 0 on is a CUDA device's ordinal
const LAYERWISE_DEVICE_CPU = Int32(-1)

# one buffer; layer l is at buffer + offsets[l]
const LAYERWISE_LAYOUT_PACKED = Int32(0)
# each buffer argument is a table of layer_count pointers, in the plan's memory
const LAYERWISE_LAYOUT_SCATTERED = Int32(1)

# the best that this processor has
const LAYERWISE_ISA_AUTO = Int32(0)
# what every processor of the architecture has
const LAYERWISE_ISA_BASELINE = Int32(1)
# AVX2 and FMA
const LAYERWISE_ISA_AVX2 = Int32(2)
# AVX-512 F, BW, VL and DQ
const LAYERWISE_ISA_AVX512 = Int32(3)
# Advanced SIMD
const LAYERWISE_ISA_NEON = Int32(4)

# the Euclidean norm
const LAYERWISE_NORM_L2 = Int32(0)
# the largest magnitude
const LAYERWISE_NORM_INF = Int32(1)

# NovoGrad's v is averaged from the first step on
const LAYERWISE_SEED_OFF = Int32(0)
# v becomes n2 whenever it is 0: also after steps whose gradients were 0
const LAYERWISE_SEED_WHILE_ZERO = Int32(1)
# v becomes n2 at t = 1 only, even if that is 0: optax, TensorFlow Addons, apex
const LAYERWISE_SEED_FIRST_STEP = Int32(2)

# weight decay is in NovoGrad's momentum
const LAYERWISE_DECOUPLED_OFF = Int32(0)
# outside a momentum of raw gradients: apex's default
const LAYERWISE_DECOUPLED_RAW = Int32(1)
# outside one of normalised gradients, w *= 1 - lr*weight_decay: novogradw of timm
const LAYERWISE_DECOUPLED_NORMALIZED = Int32(2)

# min(max(r_raw/lr, min_update), 1): the rate is capped at lr
const LAYERWISE_LARC_CLIP = Int32(0)
# max(r_raw, min_update): the factor itself
const LAYERWISE_LARC_SCALE = Int32(1)

# weight decay is neither in LARC's norm nor inside its factor
const LAYERWISE_FOLD_OFF = Int32(0)
# inside the factor, and its norm added to the gradient's: apex, timm, TensorFlow 1
const LAYERWISE_FOLD_NORMS = Int32(1)
# inside the factor, whose norm is that of the decayed gradient: optax, OpenSeq2Seq
const LAYERWISE_FOLD_GRADIENT = Int32(2)
# as GRADIENT, and weight decay's norm is added as well: fastai's decouple_wd=False
const LAYERWISE_FOLD_BOTH = Int32(3)
# before the step, w *= 1 - lr*weight_decay; its norm is added: fastai; only with SGD
const LAYERWISE_FOLD_DECOUPLED = Int32(4)

# r is 1 where |w| or |g| is 0: the layer trains without LARC
const LAYERWISE_ZERO_NORM_KEEP = Int32(0)
# the formula; r is 0 where |w| is 0
const LAYERWISE_ZERO_NORM_FREEZE = Int32(1)
# the formula; r is min_update where |w| is 0
const LAYERWISE_ZERO_NORM_FLOOR = Int32(2)
# as KEEP, and not decayed: apex's rule
const LAYERWISE_ZERO_NORM_UNTOUCHED = Int32(3)
# r_raw is 1 where |w| or |g| is 0: in CLIP r is then min(1/lr, 1), as in timm
const LAYERWISE_ZERO_NORM_UNIT = Int32(4)

# zero_norm decides where |g| is 0, too
const LAYERWISE_ZERO_GRAD_AS_WEIGHT = Int32(0)
# zero_norm is for |w| alone; the formula where |g| is 0: fastai, Chainer, holocron
const LAYERWISE_ZERO_GRAD_FORMULA = Int32(1)
# as FORMULA, but r_raw is 1 there where it would be less: objax
const LAYERWISE_ZERO_GRAD_AT_LEAST_ONE = Int32(2)

# to the nearest, ties to even
const LAYERWISE_ROUNDING_NEAREST = Int32(0)
# up or down at random, correct on average
const LAYERWISE_ROUNDING_STOCHASTIC = Int32(1)

# one sum a layer: float64 [layer_count]
const LAYERWISE_SUMS_LAYERS = Int32(0)

# |w|: LARC, alone or before another optimizer
const LAYERWISE_STAT_WEIGHT_NORM = Int32(0)
# |g'|, unscaled by grad_scale; the largest |g'| with the infinity norm
const LAYERWISE_STAT_GRAD_NORM = Int32(1)
# v as stored: NovoGrad
const LAYERWISE_STAT_SECOND_MOMENT = Int32(2)
# LARC: r; NovoGrad: 1/d, 0 where d is 0
const LAYERWISE_STAT_FACTOR = Int32(3)
# LARC: lr * lr_mult * r; NovoGrad: lr * lr_mult, over 1 - beta1^t with bias correction
const LAYERWISE_STAT_EFFECTIVE_LR = Int32(4)
# LARC clip: 1 where the factor was cut to 1, else 0; 0 for all others
const LAYERWISE_STAT_CLIPPED = Int32(5)
# the number of columns
const LAYERWISE_STAT_COUNT = Int32(6)

# number of layers
const LAYERWISE_QUERY_LAYERS = Int32(1)
# number of elements in all layers
const LAYERWISE_QUERY_ELEMENTS = Int32(2)
# number of 8192-element tiles
const LAYERWISE_QUERY_TILES = Int32(3)
# packed: elements a buffer must hold, the largest offset + size
const LAYERWISE_QUERY_EXTENT = Int32(4)
# LAYERWISE_DEVICE_CPU or the CUDA ordinal
const LAYERWISE_QUERY_DEVICE = Int32(5)
# CPU threads; 0 on CUDA
const LAYERWISE_QUERY_THREADS = Int32(6)
# a LAYERWISE_ISA_ constant; 0 on CUDA
const LAYERWISE_QUERY_ISA = Int32(7)
# bytes of device scratch memory; 0 on the CPU
const LAYERWISE_QUERY_WORKSPACE = Int32(8)
# a hash of sizes, offsets and dtypes, the same on every backend
const LAYERWISE_QUERY_FINGERPRINT = Int32(9)
# a LAYERWISE_PATH_ constant: how the last step ran; before the first step, how novograd_step would run
const LAYERWISE_QUERY_PATH = Int32(10)
# elements whose gradient a one-pass step reads from memory only once; 0: two passes
const LAYERWISE_QUERY_HELD_GRADS = Int32(11)
# elements whose gradient and weight a one-pass larc_sgd_step reads only once; 0: only gradients, HELD_GRADS of them, or
# two passes
const LAYERWISE_QUERY_HELD_WEIGHTS = Int32(12)
# a hash of whole layers' sizes, dtypes and the numerics version: the same on every rank of a sharded model, however it
# is cut
const LAYERWISE_QUERY_GLOBAL_FINGERPRINT = Int32(13)
# LAYERWISE_EXPERIMENTAL_ flags: those that the plan was given and its device has
const LAYERWISE_QUERY_EXPERIMENTAL = Int32(14)

# one thread for a layer that fits the cache; threads share larger layers
const LAYERWISE_PATH_CPU = Int32(0)
# CUDA: norms, then the update: two launches for the whole model
const LAYERWISE_PATH_TWO_PASS = Int32(1)
# CUDA: one cooperative launch; gradients stay in shared memory until their layer's norm is known
const LAYERWISE_PATH_ONE_PASS = Int32(2)

# two passes: the update's launch begins while the norms' ends (programmatic dependent launch). Until then its blocks
# wait on the multiprocessors beside the norms'
const LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH = Int32(1)
# one pass: a warp of its own fetches tiles by asynchronous bulk copies, ahead of those that sum and update them
const LAYERWISE_EXPERIMENTAL_BULK_COPY = Int32(2)

# numbers at the start of a claim, about what must agree; two for each layer follow
const LAYERWISE_CLAIM_HEAD = Int32(17)

# What a plan is made from: the layout of a model's layers, their dtypes and where they run.
# layerwise_plan_options
mutable struct PlanOptions
    # bytes of this struct as the caller knows it
    struct_size::Int64
    # >= 0
    layer_count::Int64
    # [layer_count], elements, >= 0; host memory; copied. NULL only when layer_count is 0
    sizes::Ptr{Int64}
    # [layer_count], elements from the start of every packed buffer, in any order, gaps allowed, no overlap; host
    # memory; copied. NULL: one layer after the other. Scattered plans add it to each layer's pointer; NULL there means
    # 0
    offsets::Ptr{Int64}
    # LAYERWISE_DEVICE_CPU (default) or a CUDA ordinal
    device::Int32
    # LAYERWISE_LAYOUT_, default PACKED
    layout::Int32
    # LAYERWISE_DTYPE_: FLOAT32 (default), BFLOAT16, FLOAT16
    weights_dtype::Int32
    # LAYERWISE_DTYPE_: FLOAT32 (default), BFLOAT16, FLOAT16; any mix with the weights
    grads_dtype::Int32
    # LAYERWISE_DTYPE_: FLOAT32 (default), BFLOAT16: NovoGrad's m and SGD's momentum
    first_moment_dtype::Int32
    # LAYERWISE_DTYPE_: FLOAT32 (default), FLOAT64: one value a layer
    second_moment_dtype::Int32
    # LAYERWISE_DTYPE_: NONE (default); BFLOAT16, FLOAT16 beside FLOAT32 weights: the low-precision copy; REMAINDER16
    # beside BFLOAT16 weights: split weights
    weights_extra_dtype::Int32
    # CPU: number of threads, the caller's included; 0 (default): the least of the cores in this thread's affinity, the
    # first number in OMP_NUM_THREADS, and the CPU quota of its control groups (Linux, version 1 or 2), rounded up; at
    # least 1
    threads::Int32
    # CPU: LAYERWISE_ISA_, default AUTO; every choice gives the same bits
    isa_::Int32
    # CUDA: the number 0 (default): one pass if the device supports it, two fifths or more of the model fits on the
    # chip, and tiles of 8192 elements are at least half full on average; LAYERWISE_PATH_TWO_PASS;
    # LAYERWISE_PATH_ONE_PASS: one pass whenever the device supports it. A step whose blocks cannot all be resident in
    # its context runs in two passes in any case
    path::Int32
    # CUDA: the caller's scratch memory on that device, aligned to 256 bytes, in use until the plan is destroyed; NULL
    # (default): the plan allocates and owns it
    workspace::Ptr{Cvoid}
    # its size; 0 with NULL
    workspace_bytes::Int64
    # CUDA: a step launches no more blocks than this many multiprocessors hold; 0 (default): than all hold. The hardware
    # spreads them over all multiprocessors, so that each has room left for a communication kernel beside the step, and
    # none is left out
    multiprocessors::Int64
    # CUDA: a sum of LAYERWISE_EXPERIMENTAL_ flags; 0 (default): none. What the device and the library's code do not
    # have (both of compute capability 9.0 or newer) is left out. The bits are the same with each
    experimental::Int64

    PlanOptions() = new()
end

# Options that differ from layer to layer.
# layerwise_layer_options
mutable struct LayerOptions
    # bytes of this struct as the caller knows it
    struct_size::Int64
    # [layer_count], finite, >= 0, multiplies lr; host; copied; NULL: 1 for every layer
    lr_mult::Ptr{Float64}
    # [layer_count], finite, >= 0, multiplies weight_decay; host; copied; NULL: 1
    wd_mult::Ptr{Float64}
    # [layer_count], 1: LARC's factor is 1 for this layer, else 0; host; copied; NULL: 0
    skip_larc::Ptr{UInt8}
    # 0
    reserved::NTuple{2,Int64}

    LayerOptions() = new()
end

# Describes the whole layers that a plan's pieces belong to.
# layerwise_shard_options
mutable struct ShardOptions
    # bytes of this struct as the caller knows it
    struct_size::Int64
    # [layer_count], elements of the whole layers, at least the plan's sizes; host; copied. NULL only when layer_count
    # is 0
    layer_sizes::Ptr{Int64}
    # [layer_count], elements from the start of the whole layer to that of the piece, any number >= 0 if it is empty;
    # -1, on every rank: the layer's pieces are not contiguous; host; copied. NULL: -1 for every layer
    layer_begins::Ptr{Int64}
    # [layer_count], 1: this rank's elements enter the sums; 0: another rank counts a replica of them; host; copied.
    # NULL: 1
    counted::Ptr{UInt8}
    # 0
    reserved::NTuple{4,Int64}

    ShardOptions() = new()
end

# The hyper-parameters of NovoGrad.
# layerwise_novograd_options
mutable struct NovogradOptions
    # bytes of this struct as the caller knows it
    struct_size::Int64
    # learning rate, finite, >= 0; no default: NaN is refused
    lr::Float64
    # [0, 1), default 0.95
    beta1::Float64
    # [0, 1), default 0.98
    beta2::Float64
    # >= 0, default 1e-8, added to the root
    eps::Float64
    # >= 0, default 0, added under the root; 0 with the infinity norm
    eps_root::Float64
    # >= 0, default 0.001
    weight_decay::Float64
    # finite, not 0, default 1; the gradients are divided by it
    grad_scale::Float64
    # t, 1-based; 0 (default): not given, an error if the result depends on it; not together with step_ptr
    step::Int64
    # float32, in place of lr; NULL: lr
    lr_ptr::Ptr{Float32}
    # float32, in place of grad_scale; NULL: grad_scale
    grad_scale_ptr::Ptr{Float32}
    # int64, completed steps: t = *step_ptr + 1; NULL: step
    step_ptr::Ptr{Int64}
    # float32, non-zero: the whole step changes nothing; NULL: not looked at
    found_inf::Ptr{Float32}
    # int64, the number of skipped layers is added to it; NULL: not counted
    nonfinite_layers::Ptr{Int64}
    # 1: the step ends by adding 1 to *step_ptr, unless found_inf is set; default 0
    advance_step::Int32
    # LAYERWISE_NORM_, default L2
    norm::Int32
    # 1: the update is multiplied by 1 - beta1 as it enters the momentum; default 0
    grad_averaging::Int32
    # 0: grad_averaging starts at t = 2 (TensorFlow Addons); default 1
    average_first_step::Int32
    # 1: divide by the running maximum of v; needs max_second_moment; default 0
    amsgrad::Int32
    # 1: as Adam's; default 0
    bias_correction::Int32
    # LAYERWISE_SEED_, default WHILE_ZERO; FIRST_STEP needs step or step_ptr
    seed_second_moment::Int32
    # LAYERWISE_DECOUPLED_, default OFF
    decoupled_weight_decay::Int32
    # 1: lr is inside the momentum (TensorFlow, Keras); default 0
    lr_in_momentum::Int32
    # 1: ascend; default 0
    maximize::Int32
    # LAYERWISE_ROUNDING_ of the first moment, default NEAREST; STOCHASTIC: bfloat16 only, needs step or step_ptr
    rounding::Int32
    # 0
    reserved::Int32
    # of stochastic rounding, any number; 0 (default) without
    seed::Int64
    # 0
    reserved2::NTuple{2,Int64}

    NovogradOptions() = new()
end

# The hyper-parameters of LARC: alone, with SGD, or before NovoGrad.
# layerwise_larc_options
mutable struct LarcOptions
    # bytes of this struct as the caller knows it
    struct_size::Int64
    # learning rate, finite, >= 0; no default: NaN is refused
    lr::Float64
    # trust coefficient, >= 0, default 0.002
    eta::Float64
    # >= 0, default 1e-8
    eps::Float64
    # >= 0, default 0: a lower bound of the factor
    min_update::Float64
    # >= 0, default 0
    weight_decay::Float64
    # finite, not 0, default 1; the gradients are divided by it
    grad_scale::Float64
    # float32, in place of lr; NULL: lr
    lr_ptr::Ptr{Float32}
    # float32, in place of grad_scale; NULL: grad_scale
    grad_scale_ptr::Ptr{Float32}
    # float32, non-zero: the whole step changes nothing; NULL: not looked at
    found_inf::Ptr{Float32}
    # int64, the number of skipped layers is added to it; NULL: not counted
    nonfinite_layers::Ptr{Int64}
    # LAYERWISE_LARC_, default CLIP
    mode::Int32
    # LAYERWISE_ZERO_NORM_, default KEEP
    zero_norm::Int32
    # LAYERWISE_FOLD_, default OFF
    fold_weight_decay::Int32
    # 1: ascend; default 0
    maximize::Int32
    # LAYERWISE_ROUNDING_ of the momentum, default NEAREST; STOCHASTIC: in larc_sgd_step, with bfloat16 momentum only,
    # needs sgd's step or step_ptr
    rounding::Int32
    # LAYERWISE_ZERO_GRAD_, default AS_WEIGHT
    zero_grad_norm::Int32
    # of stochastic rounding, any number; 0 (default) without
    seed::Int64
    # >= 0, default 0: zero_norm takes a |w| up to this for 0 (Chainer: 0.01)
    weight_norm_threshold::Float64
    # >= 0, default 0 for none: an upper bound of the factor; SCALE only (fastai: 1)
    max_update::Float64

    LarcOptions() = new()
end

# The hyper-parameters of SGD in larc_sgd_step.
# layerwise_sgd_options
mutable struct SgdOptions
    # bytes of this struct as the caller knows it
    struct_size::Int64
    # mu, [0, 1), default 0.9
    momentum::Float64
    # [0, 1], default 0
    dampening::Float64
    # t, 1-based; 0 (default): not given, an error with dampening unless dampen_first_step is 1; not together with
    # step_ptr
    step::Int64
    # int64, completed steps: t = *step_ptr + 1; NULL: step
    step_ptr::Ptr{Int64}
    # 1: the step ends by adding 1 to *step_ptr, unless found_inf is set; default 0
    advance_step::Int32
    # 1: Nesterov's momentum; needs momentum, and excludes dampening, as in PyTorch, unless dampen_first_step is 1;
    # default 0
    nesterov::Int32
    # 1: lr is inside the momentum (optax, Paddle, TensorFlow, MMPretrain); default 0
    lr_in_momentum::Int32
    # 1: LARC's factor multiplies the momentum, not what enters it (fastai, ColossalAI); excludes lr_in_momentum;
    # default 0
    factor_after_momentum::Int32
    # 1: dampening at t = 1 too, and together with nesterov (pytorch_optimizer); default 0
    dampen_first_step::Int32
    # 0
    reserved::Int32
    # 0 (default): none; else >= 2^-126: elements of h are cut to this size (ColossalAI: 10)
    clip_value::Float64

    SgdOptions() = new()
end

# The choices of the options that have names for them.
const SELECTORS = (
    norm = (l2 = LAYERWISE_NORM_L2, inf = LAYERWISE_NORM_INF),
    seed_second_moment = (off = LAYERWISE_SEED_OFF, while_zero = LAYERWISE_SEED_WHILE_ZERO,
                          first_step = LAYERWISE_SEED_FIRST_STEP),
    decoupled_weight_decay = (off = LAYERWISE_DECOUPLED_OFF, raw = LAYERWISE_DECOUPLED_RAW,
                              normalized = LAYERWISE_DECOUPLED_NORMALIZED),
    rounding = (nearest = LAYERWISE_ROUNDING_NEAREST, stochastic = LAYERWISE_ROUNDING_STOCHASTIC),
    mode = (clip = LAYERWISE_LARC_CLIP, scale = LAYERWISE_LARC_SCALE),
    zero_norm = (keep = LAYERWISE_ZERO_NORM_KEEP, freeze = LAYERWISE_ZERO_NORM_FREEZE,
                 floor = LAYERWISE_ZERO_NORM_FLOOR, untouched = LAYERWISE_ZERO_NORM_UNTOUCHED,
                 unit = LAYERWISE_ZERO_NORM_UNIT),
    fold_weight_decay = (off = LAYERWISE_FOLD_OFF, norms = LAYERWISE_FOLD_NORMS, gradient = LAYERWISE_FOLD_GRADIENT,
                         both = LAYERWISE_FOLD_BOTH, decoupled = LAYERWISE_FOLD_DECOUPLED),
    zero_grad_norm = (as_weight = LAYERWISE_ZERO_GRAD_AS_WEIGHT, formula = LAYERWISE_ZERO_GRAD_FORMULA,
                      at_least_one = LAYERWISE_ZERO_GRAD_AT_LEAST_ONE),
)

"Rows of `layer_stats`, a `Matrix{Float64}` of one column a layer; NaN where a step has no such value."
const STATISTICS = (:weight_norm, :grad_norm, :second_moment, :factor, :effective_lr, :clipped)
