//! Every constant of layerwise.h.

constants! {
    /// The version of the header that this crate follows: major
    LAYERWISE_VERSION_MAJOR = 0;
    /// Minor
    LAYERWISE_VERSION_MINOR = 1;
    /// Patch
    LAYERWISE_VERSION_PATCH = 0;

    /// Changes when a caller built against an older header would break
    LAYERWISE_ABI_VERSION = 0;

    /// Success
    LAYERWISE_OK = 0;

    /// A pointer that must not be NULL is NULL
    LAYERWISE_ERROR_NULL_ARGUMENT = 101;
    /// A number outside its range, or not finite
    LAYERWISE_ERROR_INVALID_VALUE = 102;
    /// A selector, flag or reserved field with a value this library lacks
    LAYERWISE_ERROR_UNKNOWN_FLAG = 103;
    /// struct_size is too small, or bytes this library does not know are set
    LAYERWISE_ERROR_STRUCT_SIZE = 104;
    /// Not a plan, or one already destroyed
    LAYERWISE_ERROR_INVALID_PLAN = 105;
    /// Options that exclude each other, or a buffer an option needs or excludes
    LAYERWISE_ERROR_COMBINATION = 106;
    /// Buffers overlap where they must not
    LAYERWISE_ERROR_ALIASED = 107;
    /// A pointer not aligned to its element's size
    LAYERWISE_ERROR_MISALIGNED = 108;
    /// A negative size, offset or layer count
    LAYERWISE_ERROR_LAYER_RANGE = 201;
    /// Two layers share elements
    LAYERWISE_ERROR_LAYER_OVERLAP = 202;
    /// offset + size does not fit the address space
    LAYERWISE_ERROR_LAYER_OVERFLOW = 203;
    /// Not one of the LAYERWISE_DTYPE_ constants
    LAYERWISE_ERROR_UNKNOWN_DTYPE = 301;
    /// A dtype this buffer cannot have
    LAYERWISE_ERROR_UNSUPPORTED_DTYPE = 302;
    /// The library was built without CUDA or for other devices, or no device is there
    LAYERWISE_ERROR_NO_CUDA = 401;
    /// This processor lacks the instruction set asked for
    LAYERWISE_ERROR_UNSUPPORTED_ISA = 402;
    /// The caller's workspace is too small or not aligned to 256 bytes
    LAYERWISE_ERROR_WORKSPACE = 403;
    /// Host or device memory could not be had
    LAYERWISE_ERROR_OUT_OF_MEMORY = 404;
    /// An earlier step of this plan failed on its way; layerwise_plan_reset
    LAYERWISE_ERROR_PLAN_FAILED = 405;
    /// A defect in this library
    LAYERWISE_ERROR_INTERNAL = 499;
    /// A CUDA call failed; the message carries CUDA's own words
    LAYERWISE_ERROR_CUDA = 501;

    /// No such buffer
    LAYERWISE_DTYPE_NONE = 0;
    /// The dtype float32
    LAYERWISE_DTYPE_FLOAT32 = 1;
    /// The dtype bfloat16
    LAYERWISE_DTYPE_BFLOAT16 = 2;
    /// The dtype float16
    LAYERWISE_DTYPE_FLOAT16 = 3;
    /// The dtype float64
    LAYERWISE_DTYPE_FLOAT64 = 4;
    /// 16 bits: what bfloat16 weights lack of the float32 they were rounded from
    LAYERWISE_DTYPE_REMAINDER16 = 5;

    /// Any number from 0 on is a CUDA device's ordinal
    LAYERWISE_DEVICE_CPU = -1;

    /// One buffer; layer l is at buffer + offsets\[l]
    LAYERWISE_LAYOUT_PACKED = 0;
    /// Each buffer argument is a table of layer_count pointers, in the plan's memory
    LAYERWISE_LAYOUT_SCATTERED = 1;

    /// The best this processor has
    LAYERWISE_ISA_AUTO = 0;
    /// What every processor of its kind has
    LAYERWISE_ISA_BASELINE = 1;
    /// The instruction set AVX2
    LAYERWISE_ISA_AVX2 = 2;
    /// The instruction set AVX512
    LAYERWISE_ISA_AVX512 = 3;
    /// The instruction set NEON
    LAYERWISE_ISA_NEON = 4;

    /// The Euclidean norm
    LAYERWISE_NORM_L2 = 0;
    /// The largest magnitude
    LAYERWISE_NORM_INF = 1;

    /// The factor is relative to lr, and at most 1
    LAYERWISE_LARC_CLIP = 0;
    /// The factor itself, without division by lr
    LAYERWISE_LARC_SCALE = 1;

    /// R = 1 where |w| or |g| is 0
    LAYERWISE_ZERO_NORM_KEEP = 0;
    /// R = 0 where |w| is 0
    LAYERWISE_ZERO_NORM_FREEZE = 1;
    /// R = min_update where |w| is 0
    LAYERWISE_ZERO_NORM_FLOOR = 2;
    /// As KEEP, and not decayed (apex)
    LAYERWISE_ZERO_NORM_UNTOUCHED = 3;

    /// To the nearest, ties to even
    LAYERWISE_ROUNDING_NEAREST = 0;
    /// Up or down at random, right in the mean
    LAYERWISE_ROUNDING_STOCHASTIC = 1;

    /// One sum a layer: float64 \[layer_count]
    LAYERWISE_SUMS_LAYERS = 0;

    /// |w|: LARC
    LAYERWISE_STAT_WEIGHT_NORM = 0;
    /// |g'|, unscaled by grad_scale; the largest |g'| with the infinity norm
    LAYERWISE_STAT_GRAD_NORM = 1;
    /// v as stored: NovoGrad
    LAYERWISE_STAT_SECOND_MOMENT = 2;
    /// LARC: r; NovoGrad: 1/d, 0 where d is 0
    LAYERWISE_STAT_FACTOR = 3;
    /// LARC: lr * lr_mult * r; NovoGrad: lr * lr_mult, over 1 - beta1^t with bias correction
    LAYERWISE_STAT_EFFECTIVE_LR = 4;
    /// LARC clip: 1 where the factor was cut to 1, else 0
    LAYERWISE_STAT_CLIPPED = 5;
    /// Number of columns of layer_stats
    LAYERWISE_STAT_COUNT = 6;

    /// Number of layers
    LAYERWISE_QUERY_LAYERS = 1;
    /// Number of elements in all layers
    LAYERWISE_QUERY_ELEMENTS = 2;
    /// Number of 8192-element tiles
    LAYERWISE_QUERY_TILES = 3;
    /// Packed: elements a buffer must hold, the largest offset + size
    LAYERWISE_QUERY_EXTENT = 4;
    /// LAYERWISE_DEVICE_CPU or the CUDA ordinal
    LAYERWISE_QUERY_DEVICE = 5;
    /// CPU threads; 0 on CUDA
    LAYERWISE_QUERY_THREADS = 6;
    /// A LAYERWISE_ISA_ constant; 0 on CUDA
    LAYERWISE_QUERY_ISA = 7;
    /// Bytes of device scratch memory; 0 on the CPU
    LAYERWISE_QUERY_WORKSPACE = 8;
    /// A hash of sizes, offsets and dtypes, the same on every backend
    LAYERWISE_QUERY_FINGERPRINT = 9;
    /// A LAYERWISE_PATH_ constant: how the plan's last step ran; before the first, how novograd_step would
    LAYERWISE_QUERY_PATH = 10;
    /// Elements whose gradient a one-pass step reads from memory once; 0: two passes
    LAYERWISE_QUERY_HELD_GRADS = 11;
    /// Elements of which a one-pass larc_sgd_step reads gradient and weight once; 0: it holds gradients alone, as
    /// many as HELD_GRADS, or runs in two passes
    LAYERWISE_QUERY_HELD_WEIGHTS = 12;

    /// Layers that fit the cache whole, one thread each; larger ones tile by tile, shared
    LAYERWISE_PATH_CPU = 0;
    /// CUDA: norms, then the update: two launches for the whole model
    LAYERWISE_PATH_TWO_PASS = 1;
    /// CUDA: one cooperative launch; gradients wait on the chip for their layer's norm
    LAYERWISE_PATH_ONE_PASS = 2;
}
