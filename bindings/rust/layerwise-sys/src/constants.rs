// Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings.
//! Every constant of layerwise.h.

constants! {
    /// The version of this header. The library a program runs with may be newer: layerwise_version().
    LAYERWISE_VERSION_MAJOR = 0;
    /// The version of this header. The library a program runs with may be newer: layerwise_version().
    LAYERWISE_VERSION_MINOR = 1;
    /// The version of this header. The library a program runs with may be newer: layerwise_version().
    LAYERWISE_VERSION_PATCH = 0;
    /// Raised when programs built against an older header would break; part of the shared library's soname.
    LAYERWISE_ABI_VERSION = 0;

    /// success
    LAYERWISE_OK = 0;

    /// a pointer that must not be NULL is NULL
    LAYERWISE_ERROR_NULL_ARGUMENT = 101;
    /// a number outside its range, or not finite
    LAYERWISE_ERROR_INVALID_VALUE = 102;
    /// a selector, flag or reserved field has an unknown value
    LAYERWISE_ERROR_UNKNOWN_FLAG = 103;
    /// struct_size is too small, or bytes this library does not know are set
    LAYERWISE_ERROR_STRUCT_SIZE = 104;
    /// not a plan, already destroyed, or a CUDA plan in a forked process
    LAYERWISE_ERROR_INVALID_PLAN = 105;
    /// options that exclude each other, or a missing or superfluous buffer
    LAYERWISE_ERROR_COMBINATION = 106;
    /// buffers overlap where they must not
    LAYERWISE_ERROR_ALIASED = 107;
    /// a pointer not aligned to its element's size
    LAYERWISE_ERROR_MISALIGNED = 108;
    /// a negative size, offset or layer count
    LAYERWISE_ERROR_LAYER_RANGE = 201;
    /// two layers share elements
    LAYERWISE_ERROR_LAYER_OVERLAP = 202;
    /// offset + size does not fit the address space
    LAYERWISE_ERROR_LAYER_OVERFLOW = 203;
    /// the ranks' pieces do not make up whole layers, or the ranks disagree
    LAYERWISE_ERROR_RANKS_DISAGREE = 204;
    /// not one of the LAYERWISE_DTYPE_ constants
    LAYERWISE_ERROR_UNKNOWN_DTYPE = 301;
    /// a dtype this buffer cannot have
    LAYERWISE_ERROR_UNSUPPORTED_DTYPE = 302;
    /// built without CUDA or for other devices, or no device is present
    LAYERWISE_ERROR_NO_CUDA = 401;
    /// this processor lacks the instruction set asked for
    LAYERWISE_ERROR_UNSUPPORTED_ISA = 402;
    /// the caller's workspace is too small or not aligned to 256 bytes
    LAYERWISE_ERROR_WORKSPACE = 403;
    /// host or device memory could not be allocated
    LAYERWISE_ERROR_OUT_OF_MEMORY = 404;
    /// an earlier step of this plan failed midway; call layerwise_plan_reset
    LAYERWISE_ERROR_PLAN_FAILED = 405;
    /// a bug in this library
    LAYERWISE_ERROR_INTERNAL = 499;
    /// a CUDA call failed; the message quotes CUDA's
    LAYERWISE_ERROR_CUDA = 501;

    /// no such buffer
    LAYERWISE_DTYPE_NONE = 0;
    /// IEEE binary32
    LAYERWISE_DTYPE_FLOAT32 = 1;
    /// the upper 16 bits of a float32
    LAYERWISE_DTYPE_BFLOAT16 = 2;
    /// IEEE binary16
    LAYERWISE_DTYPE_FLOAT16 = 3;
    /// IEEE binary64
    LAYERWISE_DTYPE_FLOAT64 = 4;
    /// 16 bits: the lower half of a float32 whose upper half is a bfloat16 weight
    LAYERWISE_DTYPE_REMAINDER16 = 5;

    /// any number from 0 on is a CUDA device's ordinal
    LAYERWISE_DEVICE_CPU = -1;

    /// one buffer; layer l is at buffer + offsets\[l]
    LAYERWISE_LAYOUT_PACKED = 0;
    /// each buffer argument is a table of layer_count pointers, in the plan's memory
    LAYERWISE_LAYOUT_SCATTERED = 1;

    /// the best that this processor has
    LAYERWISE_ISA_AUTO = 0;
    /// what every processor of the architecture has
    LAYERWISE_ISA_BASELINE = 1;
    /// AVX2 and FMA
    LAYERWISE_ISA_AVX2 = 2;
    /// AVX-512 F, BW, VL and DQ
    LAYERWISE_ISA_AVX512 = 3;
    /// Advanced SIMD
    LAYERWISE_ISA_NEON = 4;

    /// the Euclidean norm
    LAYERWISE_NORM_L2 = 0;
    /// the largest magnitude
    LAYERWISE_NORM_INF = 1;

    /// NovoGrad's v is averaged from the first step on
    LAYERWISE_SEED_OFF = 0;
    /// v becomes n2 whenever it is 0: also after steps whose gradients were 0
    LAYERWISE_SEED_WHILE_ZERO = 1;
    /// v becomes n2 at t = 1 only, even if that is 0: optax, TensorFlow Addons, apex
    LAYERWISE_SEED_FIRST_STEP = 2;

    /// weight decay is in NovoGrad's momentum
    LAYERWISE_DECOUPLED_OFF = 0;
    /// outside a momentum of raw gradients: apex's default
    LAYERWISE_DECOUPLED_RAW = 1;
    /// outside one of normalised gradients, w *= 1 - lr*weight_decay: novogradw of timm
    LAYERWISE_DECOUPLED_NORMALIZED = 2;

    /// min(max(r_raw/lr, min_update), 1): the rate is capped at lr
    LAYERWISE_LARC_CLIP = 0;
    /// max(r_raw, min_update): the factor itself
    LAYERWISE_LARC_SCALE = 1;

    /// weight decay is neither in LARC's norm nor inside its factor
    LAYERWISE_FOLD_OFF = 0;
    /// inside the factor, and its norm added to the gradient's: apex, timm, TensorFlow 1
    LAYERWISE_FOLD_NORMS = 1;
    /// inside the factor, whose norm is that of the decayed gradient: optax, OpenSeq2Seq
    LAYERWISE_FOLD_GRADIENT = 2;
    /// as GRADIENT, and weight decay's norm is added as well: fastai's decouple_wd=False
    LAYERWISE_FOLD_BOTH = 3;
    /// before the step, w *= 1 - lr*weight_decay; its norm is added: fastai; only with SGD
    LAYERWISE_FOLD_DECOUPLED = 4;

    /// r is 1 where |w| or |g| is 0: the layer trains without LARC
    LAYERWISE_ZERO_NORM_KEEP = 0;
    /// the formula; r is 0 where |w| is 0
    LAYERWISE_ZERO_NORM_FREEZE = 1;
    /// the formula; r is min_update where |w| is 0
    LAYERWISE_ZERO_NORM_FLOOR = 2;
    /// as KEEP, and not decayed: apex's rule
    LAYERWISE_ZERO_NORM_UNTOUCHED = 3;
    /// r_raw is 1 where |w| or |g| is 0: in CLIP r is then min(1/lr, 1), as in timm
    LAYERWISE_ZERO_NORM_UNIT = 4;

    /// zero_norm decides where |g| is 0, too
    LAYERWISE_ZERO_GRAD_AS_WEIGHT = 0;
    /// zero_norm is for |w| alone; the formula where |g| is 0: fastai, Chainer, holocron
    LAYERWISE_ZERO_GRAD_FORMULA = 1;
    /// as FORMULA, but r_raw is 1 there where it would be less: objax
    LAYERWISE_ZERO_GRAD_AT_LEAST_ONE = 2;

    /// to the nearest, ties to even
    LAYERWISE_ROUNDING_NEAREST = 0;
    /// up or down at random, correct on average
    LAYERWISE_ROUNDING_STOCHASTIC = 1;

    /// one sum a layer: float64 \[layer_count]
    LAYERWISE_SUMS_LAYERS = 0;

    /// |w|: LARC, alone or before another optimizer
    LAYERWISE_STAT_WEIGHT_NORM = 0;
    /// |g'|, unscaled by grad_scale; the largest |g'| with the infinity norm
    LAYERWISE_STAT_GRAD_NORM = 1;
    /// v as stored: NovoGrad
    LAYERWISE_STAT_SECOND_MOMENT = 2;
    /// LARC: r; NovoGrad: 1/d, 0 where d is 0
    LAYERWISE_STAT_FACTOR = 3;
    /// LARC: lr * lr_mult * r; NovoGrad: lr * lr_mult, over 1 - beta1^t with bias correction
    LAYERWISE_STAT_EFFECTIVE_LR = 4;
    /// LARC clip: 1 where the factor was cut to 1, else 0; 0 for all others
    LAYERWISE_STAT_CLIPPED = 5;
    /// the number of columns
    LAYERWISE_STAT_COUNT = 6;

    /// number of layers
    LAYERWISE_QUERY_LAYERS = 1;
    /// number of elements in all layers
    LAYERWISE_QUERY_ELEMENTS = 2;
    /// number of 8192-element tiles
    LAYERWISE_QUERY_TILES = 3;
    /// packed: elements a buffer must hold, the largest offset + size
    LAYERWISE_QUERY_EXTENT = 4;
    /// LAYERWISE_DEVICE_CPU or the CUDA ordinal
    LAYERWISE_QUERY_DEVICE = 5;
    /// CPU threads; 0 on CUDA
    LAYERWISE_QUERY_THREADS = 6;
    /// a LAYERWISE_ISA_ constant; 0 on CUDA
    LAYERWISE_QUERY_ISA = 7;
    /// bytes of device scratch memory; 0 on the CPU
    LAYERWISE_QUERY_WORKSPACE = 8;
    /// a hash of sizes, offsets and dtypes, the same on every backend
    LAYERWISE_QUERY_FINGERPRINT = 9;
    /// a LAYERWISE_PATH_ constant: how the last step ran; before the first step, how novograd_step would run
    LAYERWISE_QUERY_PATH = 10;
    /// elements whose gradient a one-pass step reads from memory only once; 0: two passes
    LAYERWISE_QUERY_HELD_GRADS = 11;
    /// elements whose gradient and weight a one-pass larc_sgd_step reads only once; 0: only gradients, HELD_GRADS of
    /// them, or two passes
    LAYERWISE_QUERY_HELD_WEIGHTS = 12;
    /// a hash of whole layers' sizes, dtypes and the numerics version: the same on every rank of a sharded model,
    /// however it is cut
    LAYERWISE_QUERY_GLOBAL_FINGERPRINT = 13;
    /// LAYERWISE_EXPERIMENTAL_ flags: those that the plan was given and its device has
    LAYERWISE_QUERY_EXPERIMENTAL = 14;

    /// one thread for a layer that fits the cache; threads share larger layers
    LAYERWISE_PATH_CPU = 0;
    /// CUDA: norms, then the update: two launches for the whole model
    LAYERWISE_PATH_TWO_PASS = 1;
    /// CUDA: one cooperative launch; gradients stay in shared memory until their layer's norm is known
    LAYERWISE_PATH_ONE_PASS = 2;

    /// two passes: the update's launch begins while the norms' ends (programmatic dependent launch). Until then its
    /// blocks wait on the multiprocessors beside the norms'
    LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH = 1;
    /// one pass: a warp of its own fetches tiles by asynchronous bulk copies, ahead of those that sum and update them
    LAYERWISE_EXPERIMENTAL_BULK_COPY = 2;

    /// numbers at the start of a claim, about what must agree; two for each layer follow
    LAYERWISE_CLAIM_HEAD = 17;
}
