# Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings.
"""The C ABI of layerwise.h in ctypes: constants, structs and their options, signatures."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_void_p
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypedDict

if TYPE_CHECKING:
    from ._arrays import Array, Integer, Scalar

CONSTANTS = {
    "LAYERWISE_VERSION_MAJOR": 0,
    "LAYERWISE_VERSION_MINOR": 1,
    "LAYERWISE_VERSION_PATCH": 0,
    "LAYERWISE_ABI_VERSION": 0,
    "LAYERWISE_OK": 0,
    "LAYERWISE_ERROR_NULL_ARGUMENT": 101,
    "LAYERWISE_ERROR_INVALID_VALUE": 102,
    "LAYERWISE_ERROR_UNKNOWN_FLAG": 103,
    "LAYERWISE_ERROR_STRUCT_SIZE": 104,
    "LAYERWISE_ERROR_INVALID_PLAN": 105,
    "LAYERWISE_ERROR_COMBINATION": 106,
    "LAYERWISE_ERROR_ALIASED": 107,
    "LAYERWISE_ERROR_MISALIGNED": 108,
    "LAYERWISE_ERROR_LAYER_RANGE": 201,
    "LAYERWISE_ERROR_LAYER_OVERLAP": 202,
    "LAYERWISE_ERROR_LAYER_OVERFLOW": 203,
    "LAYERWISE_ERROR_RANKS_DISAGREE": 204,
    "LAYERWISE_ERROR_UNKNOWN_DTYPE": 301,
    "LAYERWISE_ERROR_UNSUPPORTED_DTYPE": 302,
    "LAYERWISE_ERROR_NO_CUDA": 401,
    "LAYERWISE_ERROR_UNSUPPORTED_ISA": 402,
    "LAYERWISE_ERROR_WORKSPACE": 403,
    "LAYERWISE_ERROR_OUT_OF_MEMORY": 404,
    "LAYERWISE_ERROR_PLAN_FAILED": 405,
    "LAYERWISE_ERROR_INTERNAL": 499,
    "LAYERWISE_ERROR_CUDA": 501,
    "LAYERWISE_DTYPE_NONE": 0,
    "LAYERWISE_DTYPE_FLOAT32": 1,
    "LAYERWISE_DTYPE_BFLOAT16": 2,
    "LAYERWISE_DTYPE_FLOAT16": 3,
    "LAYERWISE_DTYPE_FLOAT64": 4,
    "LAYERWISE_DTYPE_REMAINDER16": 5,
    "LAYERWISE_DEVICE_CPU": -1,
    "LAYERWISE_LAYOUT_PACKED": 0,
    "LAYERWISE_LAYOUT_SCATTERED": 1,
    "LAYERWISE_ISA_AUTO": 0,
    "LAYERWISE_ISA_BASELINE": 1,
    "LAYERWISE_ISA_AVX2": 2,
    "LAYERWISE_ISA_AVX512": 3,
    "LAYERWISE_ISA_NEON": 4,
    "LAYERWISE_NORM_L2": 0,
    "LAYERWISE_NORM_INF": 1,
    "LAYERWISE_SEED_OFF": 0,
    "LAYERWISE_SEED_WHILE_ZERO": 1,
    "LAYERWISE_SEED_FIRST_STEP": 2,
    "LAYERWISE_DECOUPLED_OFF": 0,
    "LAYERWISE_DECOUPLED_RAW": 1,
    "LAYERWISE_DECOUPLED_NORMALIZED": 2,
    "LAYERWISE_LARC_CLIP": 0,
    "LAYERWISE_LARC_SCALE": 1,
    "LAYERWISE_FOLD_OFF": 0,
    "LAYERWISE_FOLD_NORMS": 1,
    "LAYERWISE_FOLD_GRADIENT": 2,
    "LAYERWISE_FOLD_BOTH": 3,
    "LAYERWISE_FOLD_DECOUPLED": 4,
    "LAYERWISE_ZERO_NORM_KEEP": 0,
    "LAYERWISE_ZERO_NORM_FREEZE": 1,
    "LAYERWISE_ZERO_NORM_FLOOR": 2,
    "LAYERWISE_ZERO_NORM_UNTOUCHED": 3,
    "LAYERWISE_ZERO_NORM_UNIT": 4,
    "LAYERWISE_ZERO_GRAD_AS_WEIGHT": 0,
    "LAYERWISE_ZERO_GRAD_FORMULA": 1,
    "LAYERWISE_ZERO_GRAD_AT_LEAST_ONE": 2,
    "LAYERWISE_ROUNDING_NEAREST": 0,
    "LAYERWISE_ROUNDING_STOCHASTIC": 1,
    "LAYERWISE_SUMS_LAYERS": 0,
    "LAYERWISE_STAT_WEIGHT_NORM": 0,
    "LAYERWISE_STAT_GRAD_NORM": 1,
    "LAYERWISE_STAT_SECOND_MOMENT": 2,
    "LAYERWISE_STAT_FACTOR": 3,
    "LAYERWISE_STAT_EFFECTIVE_LR": 4,
    "LAYERWISE_STAT_CLIPPED": 5,
    "LAYERWISE_STAT_COUNT": 6,
    "LAYERWISE_QUERY_LAYERS": 1,
    "LAYERWISE_QUERY_ELEMENTS": 2,
    "LAYERWISE_QUERY_TILES": 3,
    "LAYERWISE_QUERY_EXTENT": 4,
    "LAYERWISE_QUERY_DEVICE": 5,
    "LAYERWISE_QUERY_THREADS": 6,
    "LAYERWISE_QUERY_ISA": 7,
    "LAYERWISE_QUERY_WORKSPACE": 8,
    "LAYERWISE_QUERY_FINGERPRINT": 9,
    "LAYERWISE_QUERY_PATH": 10,
    "LAYERWISE_QUERY_HELD_GRADS": 11,
    "LAYERWISE_QUERY_HELD_WEIGHTS": 12,
    "LAYERWISE_QUERY_GLOBAL_FINGERPRINT": 13,
    "LAYERWISE_QUERY_EXPERIMENTAL": 14,
    "LAYERWISE_PATH_CPU": 0,
    "LAYERWISE_PATH_TWO_PASS": 1,
    "LAYERWISE_PATH_ONE_PASS": 2,
    "LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH": 1,
    "LAYERWISE_EXPERIMENTAL_BULK_COPY": 2,
    "LAYERWISE_CLAIM_HEAD": 17,
}

ERROR = {
    "null_argument": 101,  # a pointer that must not be NULL is NULL
    "invalid_value": 102,  # a number outside its range, or not finite
    "unknown_flag": 103,  # a selector, flag or reserved field has an unknown value
    "struct_size": 104,  # struct_size is too small, or bytes this library does not know are set
    "invalid_plan": 105,  # not a plan, already destroyed, or a CUDA plan in a forked process
    "combination": 106,  # options that exclude each other, or a missing or superfluous buffer
    "aliased": 107,  # buffers overlap where they must not
    "misaligned": 108,  # a pointer not aligned to its element's size
    "layer_range": 201,  # a negative size, offset or layer count
    "layer_overlap": 202,  # two layers share elements
    "layer_overflow": 203,  # offset + size does not fit the address space
    "ranks_disagree": 204,  # the ranks' pieces do not make up whole layers, or the ranks disagree
    "unknown_dtype": 301,  # not one of the LAYERWISE_DTYPE_ constants
    "unsupported_dtype": 302,  # a dtype this buffer cannot have
    "no_cuda": 401,  # built without CUDA or for other devices, or no device is present
    "unsupported_isa": 402,  # this processor lacks the instruction set asked for
    "workspace": 403,  # the caller's workspace is too small or not aligned to 256 bytes
    "out_of_memory": 404,  # host or device memory could not be allocated
    "plan_failed": 405,  # an earlier step of this plan failed midway; call layerwise_plan_reset
    "internal": 499,  # a bug in this library
    "cuda": 501,  # a CUDA call failed; the message quotes CUDA's
}

DTYPE = {
    "none": 0,  # no such buffer
    "float32": 1,  # IEEE binary32
    "bfloat16": 2,  # the upper 16 bits of a float32
    "float16": 3,  # IEEE binary16
    "float64": 4,  # IEEE binary64
    "remainder16": 5,  # 16 bits: the lower half of a float32 whose upper half is a bfloat16 weight
}

LAYOUT = {
    "packed": 0,  # one buffer; layer l is at buffer + offsets[l]
    "scattered": 1,  # each buffer argument is a table of layer_count pointers, in the plan's memory
}

ISA = {
    "auto": 0,  # the best that this processor has
    "baseline": 1,  # what every processor of the architecture has
    "avx2": 2,  # AVX2 and FMA
    "avx512": 3,  # AVX-512 F, BW, VL and DQ
    "neon": 4,  # Advanced SIMD
}

NORM = {
    "l2": 0,  # the Euclidean norm
    "inf": 1,  # the largest magnitude
}

SEED = {
    "off": 0,  # NovoGrad's v is averaged from the first step on
    "while_zero": 1,  # v becomes n2 whenever it is 0: also after steps whose gradients were 0
    "first_step": 2,  # v becomes n2 at t = 1 only, even if that is 0: optax, TensorFlow Addons, apex
}

DECOUPLED = {
    "off": 0,  # weight decay is in NovoGrad's momentum
    "raw": 1,  # outside a momentum of raw gradients: apex's default
    "normalized": 2,  # outside one of normalised gradients, w *= 1 - lr*weight_decay: novogradw of timm
}

LARC = {
    "clip": 0,  # min(max(r_raw/lr, min_update), 1): the rate is capped at lr
    "scale": 1,  # max(r_raw, min_update): the factor itself
}

FOLD = {
    "off": 0,  # weight decay is neither in LARC's norm nor inside its factor
    "norms": 1,  # inside the factor, and its norm added to the gradient's: apex, timm, TensorFlow 1
    "gradient": 2,  # inside the factor, whose norm is that of the decayed gradient: optax, OpenSeq2Seq
    "both": 3,  # as GRADIENT, and weight decay's norm is added as well: fastai's decouple_wd=False
    "decoupled": 4,  # before the step, w *= 1 - lr*weight_decay; its norm is added: fastai; only with SGD
}

ZERO_NORM = {
    "keep": 0,  # r is 1 where |w| or |g| is 0: the layer trains without LARC
    "freeze": 1,  # the formula; r is 0 where |w| is 0
    "floor": 2,  # the formula; r is min_update where |w| is 0
    "untouched": 3,  # as KEEP, and not decayed: apex's rule
    "unit": 4,  # r_raw is 1 where |w| or |g| is 0: in CLIP r is then min(1/lr, 1), as in timm
}

ZERO_GRAD = {
    "as_weight": 0,  # zero_norm decides where |g| is 0, too
    "formula": 1,  # zero_norm is for |w| alone; the formula where |g| is 0: fastai, Chainer, holocron
    "at_least_one": 2,  # as FORMULA, but r_raw is 1 there where it would be less: objax
}

ROUNDING = {
    "nearest": 0,  # to the nearest, ties to even
    "stochastic": 1,  # up or down at random, correct on average
}

QUERY = {
    "layers": 1,  # number of layers
    "elements": 2,  # number of elements in all layers
    "tiles": 3,  # number of 8192-element tiles
    "extent": 4,  # packed: elements a buffer must hold, the largest offset + size
    "device": 5,  # LAYERWISE_DEVICE_CPU or the CUDA ordinal
    "threads": 6,  # CPU threads; 0 on CUDA
    "isa": 7,  # a LAYERWISE_ISA_ constant; 0 on CUDA
    "workspace": 8,  # bytes of device scratch memory; 0 on the CPU
    "fingerprint": 9,  # a hash of sizes, offsets and dtypes, the same on every backend
    "path": 10,  # a LAYERWISE_PATH_ constant: how the last step ran; before the first step, how novograd_step would run
    "held_grads": 11,  # elements whose gradient a one-pass step reads from memory only once; 0: two passes
    # elements whose gradient and weight a one-pass larc_sgd_step reads only once; 0: only gradients, HELD_GRADS of
    # them, or two passes
    "held_weights": 12,
    # a hash of whole layers' sizes, dtypes and the numerics version: the same on every rank of a sharded model, however
    # it is cut
    "global_fingerprint": 13,
    "experimental": 14,  # LAYERWISE_EXPERIMENTAL_ flags: those that the plan was given and its device has
}

PATH = {
    "cpu": 0,  # one thread for a layer that fits the cache; threads share larger layers
    "two_pass": 1,  # CUDA: norms, then the update: two launches for the whole model
    "one_pass": 2,  # CUDA: one cooperative launch; gradients stay in shared memory until their layer's norm is known
}

EXPERIMENTAL = {
    # two passes: the update's launch begins while the norms' ends (programmatic dependent launch). Until then its
    # blocks wait on the multiprocessors beside the norms'
    "dependent_launch": 1,
    # one pass: a warp of its own fetches tiles by asynchronous bulk copies, ahead of those that sum and update them
    "bulk_copy": 2,
}

VERSION_MAJOR = 0  # The version of this header. The library a program runs with may be newer: layerwise_version().
VERSION_MINOR = 1
VERSION_PATCH = 0
ABI_VERSION = 0  # Raised when programs built against an older header would break; part of the shared library's soname.
OK = 0  # success
DEVICE_CPU = -1  # any number from 0 on is a CUDA device's ordinal
SUMS_LAYERS = 0  # one sum a layer: float64 [layer_count]
STAT_COUNT = 6  # the number of columns
CLAIM_HEAD = 17  # numbers at the start of a claim, about what must agree; two for each layer follow


class Stat(IntEnum):
    """Columns of layer_stats, a float64 array of shape (layer_count, STAT_COUNT). NaN where a step has no such value.
    Rows of masked and skipped layers are left as they are.

    `stats[:, layerwise.Stat.FACTOR]` is one of them.
    """

    WEIGHT_NORM = 0  #: |w|: LARC, alone or before another optimizer
    GRAD_NORM = 1  #: |g'|, unscaled by grad_scale; the largest |g'| with the infinity norm
    SECOND_MOMENT = 2  #: v as stored: NovoGrad
    FACTOR = 3  #: LARC: r; NovoGrad: 1/d, 0 where d is 0
    EFFECTIVE_LR = 4  #: LARC: lr * lr_mult * r; NovoGrad: lr * lr_mult, over 1 - beta1^t with bias correction
    CLIPPED = 5  #: LARC clip: 1 where the factor was cut to 1, else 0; 0 for all others


class Option(NamedTuple):
    """What an option takes.

    kind     "number", "integer", "flag", "selector" or "pointer"
    comment  what layerwise.h says of it, in this package's words
    choices  of a selector: its names and their numbers
    memory   the dtype of an array of one element that the step reads when it runs: in place of a number, or behind a
             pointer; None where there is none
    written  whether a pointer's memory is written
    """

    kind: str
    comment: str
    choices: Mapping[str, int] = {}
    memory: str | None = None
    written: bool = False


class Struct(ctypes.Structure):
    """A struct of layerwise.h. options: of a step's, those of its members that a caller chooses, by name."""

    c_name: ClassVar[str]
    options: ClassVar[dict[str, Option]] = {}


class PlanOptions(Struct):
    """What a plan is made from: the layout of a model's layers, their dtypes and where they run."""

    c_name = "layerwise_plan_options"
    _fields_ = [
        ("struct_size", c_int64),
        ("layer_count", c_int64),
        ("sizes", c_void_p),
        ("offsets", c_void_p),
        ("device", c_int32),
        ("layout", c_int32),
        ("weights_dtype", c_int32),
        ("grads_dtype", c_int32),
        ("first_moment_dtype", c_int32),
        ("second_moment_dtype", c_int32),
        ("weights_extra_dtype", c_int32),
        ("threads", c_int32),
        ("isa", c_int32),
        ("path", c_int32),
        ("workspace", c_void_p),
        ("workspace_bytes", c_int64),
        ("multiprocessors", c_int64),
        ("experimental", c_int64),
    ]


class LayerOptions(Struct):
    """Options that differ from layer to layer."""

    c_name = "layerwise_layer_options"
    _fields_ = [
        ("struct_size", c_int64),
        ("lr_mult", c_void_p),
        ("wd_mult", c_void_p),
        ("skip_larc", c_void_p),
        ("reserved", c_int64 * 2),
    ]


class ShardOptions(Struct):
    """Describes the whole layers that a plan's pieces belong to."""

    c_name = "layerwise_shard_options"
    _fields_ = [
        ("struct_size", c_int64),
        ("layer_sizes", c_void_p),
        ("layer_begins", c_void_p),
        ("counted", c_void_p),
        ("reserved", c_int64 * 4),
    ]


class NovogradOptions(Struct):
    """The hyper-parameters of NovoGrad."""

    c_name = "layerwise_novograd_options"
    _fields_ = [
        ("struct_size", c_int64),
        ("lr", c_double),
        ("beta1", c_double),
        ("beta2", c_double),
        ("eps", c_double),
        ("eps_root", c_double),
        ("weight_decay", c_double),
        ("grad_scale", c_double),
        ("step", c_int64),
        ("lr_ptr", c_void_p),
        ("grad_scale_ptr", c_void_p),
        ("step_ptr", c_void_p),
        ("found_inf", c_void_p),
        ("nonfinite_layers", c_void_p),
        ("advance_step", c_int32),
        ("norm", c_int32),
        ("grad_averaging", c_int32),
        ("average_first_step", c_int32),
        ("amsgrad", c_int32),
        ("bias_correction", c_int32),
        ("seed_second_moment", c_int32),
        ("decoupled_weight_decay", c_int32),
        ("lr_in_momentum", c_int32),
        ("maximize", c_int32),
        ("rounding", c_int32),
        ("reserved", c_int32),
        ("seed", c_int64),
        ("reserved2", c_int64 * 2),
    ]
    options = {
        "lr": Option("number", "learning rate, finite, >= 0; no default: NaN is refused", memory="float32"),
        "beta1": Option("number", "[0, 1), default 0.95"),
        "beta2": Option("number", "[0, 1), default 0.98"),
        "eps": Option("number", ">= 0, default 1e-8, added to the root"),
        "eps_root": Option("number", ">= 0, default 0, added under the root; 0 with the infinity norm"),
        "weight_decay": Option("number", ">= 0, default 0.001"),
        "grad_scale": Option("number", "finite, not 0, default 1; the gradients are divided by it", memory="float32"),
        "step": Option("integer",
            "t, 1-based; 0 (default): not given, an error if the result depends on it; not together with step_ptr",
            memory="int64"),
        "found_inf": Option("pointer",
            "float32, non-zero: the whole step changes nothing; None: not looked at",
            memory="float32"),
        "nonfinite_layers": Option("pointer",
            "int64, the number of skipped layers is added to it; None: not counted",
            memory="int64", written=True),
        "advance_step": Option("flag",
            "True: the step ends by adding 1 to step, unless found_inf is set; default False"),
        "norm": Option("selector", '"l2" or "inf", default "l2"', choices=NORM),
        "grad_averaging": Option("flag",
            "True: the update is multiplied by 1 - beta1 as it enters the momentum; default False"),
        "average_first_step": Option("flag", "False: grad_averaging starts at t = 2 (TensorFlow Addons); default True"),
        "amsgrad": Option("flag", "True: divide by the running maximum of v; needs max_second_moment; default False"),
        "bias_correction": Option("flag", "True: as Adam's; default False"),
        "seed_second_moment": Option("selector",
            '"off", "while_zero" or "first_step", default "while_zero"; "first_step" needs step',
            choices=SEED),
        "decoupled_weight_decay": Option("selector", '"off", "raw" or "normalized", default "off"', choices=DECOUPLED),
        "lr_in_momentum": Option("flag", "True: lr is inside the momentum (TensorFlow, Keras); default False"),
        "maximize": Option("flag", "True: ascend; default False"),
        "rounding": Option("selector",
            '"nearest" or "stochastic" of the first moment, default "nearest"; "stochastic": bfloat16 only, needs '
            "step",
            choices=ROUNDING),
        "seed": Option("integer", "of stochastic rounding, any number; 0 (default) without"),
    }


class LarcOptions(Struct):
    """The hyper-parameters of LARC: alone, with SGD, or before NovoGrad."""

    c_name = "layerwise_larc_options"
    _fields_ = [
        ("struct_size", c_int64),
        ("lr", c_double),
        ("eta", c_double),
        ("eps", c_double),
        ("min_update", c_double),
        ("weight_decay", c_double),
        ("grad_scale", c_double),
        ("lr_ptr", c_void_p),
        ("grad_scale_ptr", c_void_p),
        ("found_inf", c_void_p),
        ("nonfinite_layers", c_void_p),
        ("mode", c_int32),
        ("zero_norm", c_int32),
        ("fold_weight_decay", c_int32),
        ("maximize", c_int32),
        ("rounding", c_int32),
        ("zero_grad_norm", c_int32),
        ("seed", c_int64),
        ("weight_norm_threshold", c_double),
        ("max_update", c_double),
    ]
    options = {
        "lr": Option("number", "learning rate, finite, >= 0; no default: NaN is refused", memory="float32"),
        "eta": Option("number", "trust coefficient, >= 0, default 0.002"),
        "eps": Option("number", ">= 0, default 1e-8"),
        "min_update": Option("number", ">= 0, default 0: a lower bound of the factor"),
        "weight_decay": Option("number", ">= 0, default 0"),
        "grad_scale": Option("number", "finite, not 0, default 1; the gradients are divided by it", memory="float32"),
        "found_inf": Option("pointer",
            "float32, non-zero: the whole step changes nothing; None: not looked at",
            memory="float32"),
        "nonfinite_layers": Option("pointer",
            "int64, the number of skipped layers is added to it; None: not counted",
            memory="int64", written=True),
        "mode": Option("selector", '"clip" or "scale", default "clip"', choices=LARC),
        "zero_norm": Option("selector",
            '"keep", "freeze", "floor", "untouched" or "unit", default "keep"',
            choices=ZERO_NORM),
        "fold_weight_decay": Option("selector",
            '"off", "norms", "gradient", "both" or "decoupled", default "off"',
            choices=FOLD),
        "maximize": Option("flag", "True: ascend; default False"),
        "rounding": Option("selector",
            '"nearest" or "stochastic" of the momentum, default "nearest"; "stochastic": in larc_sgd_step, with '
            "bfloat16 momentum only, needs sgd's step",
            choices=ROUNDING),
        "zero_grad_norm": Option("selector",
            '"as_weight", "formula" or "at_least_one", default "as_weight"',
            choices=ZERO_GRAD),
        "seed": Option("integer", "of stochastic rounding, any number; 0 (default) without"),
        "weight_norm_threshold": Option("number",
            ">= 0, default 0: zero_norm takes a |w| up to this for 0 (Chainer: 0.01)"),
        "max_update": Option("number",
            ">= 0, default 0 for none: an upper bound of the factor; SCALE only (fastai: 1)"),
    }


class SgdOptions(Struct):
    """The hyper-parameters of SGD in larc_sgd_step."""

    c_name = "layerwise_sgd_options"
    _fields_ = [
        ("struct_size", c_int64),
        ("momentum", c_double),
        ("dampening", c_double),
        ("step", c_int64),
        ("step_ptr", c_void_p),
        ("advance_step", c_int32),
        ("nesterov", c_int32),
        ("lr_in_momentum", c_int32),
        ("factor_after_momentum", c_int32),
        ("dampen_first_step", c_int32),
        ("reserved", c_int32),
        ("clip_value", c_double),
    ]
    options = {
        "momentum": Option("number", "mu, [0, 1), default 0.9"),
        "dampening": Option("number", "[0, 1], default 0"),
        "step": Option("integer",
            "t, 1-based; 0 (default): not given, an error with dampening unless dampen_first_step is 1; not together "
            "with step_ptr",
            memory="int64"),
        "advance_step": Option("flag",
            "True: the step ends by adding 1 to step, unless found_inf is set; default False"),
        "nesterov": Option("flag",
            "True: Nesterov's momentum; needs momentum, and excludes dampening, as in PyTorch, unless "
            "dampen_first_step is 1; default False"),
        "lr_in_momentum": Option("flag",
            "True: lr is inside the momentum (optax, Paddle, TensorFlow, MMPretrain); default False"),
        "factor_after_momentum": Option("flag",
            "True: LARC's factor multiplies the momentum, not what enters it (fastai, ColossalAI); excludes "
            "lr_in_momentum; default False"),
        "dampen_first_step": Option("flag",
            "True: dampening at t = 1 too, and together with nesterov (pytorch_optimizer); default False"),
        "clip_value": Option("number",
            "0 (default): none; else >= 2^-126: elements of h are cut to this size (ColossalAI: 10)"),
    }


STRUCTS: list[type[Struct]] = [PlanOptions, LayerOptions, ShardOptions, NovogradOptions, LarcOptions, SgdOptions]


class NovogradValues(TypedDict, total=False):
    """NovogradOptions as keywords."""

    beta1: float | None
    beta2: float | None
    eps: float | None
    eps_root: float | None
    weight_decay: float | None
    grad_scale: Scalar | None
    step: Integer | None
    found_inf: Array | None
    nonfinite_layers: Array | None
    advance_step: bool | None
    norm: Literal["l2", "inf"] | None
    grad_averaging: bool | None
    average_first_step: bool | None
    amsgrad: bool | None
    bias_correction: bool | None
    seed_second_moment: Literal["off", "while_zero", "first_step"] | None
    decoupled_weight_decay: Literal["off", "raw", "normalized"] | None
    lr_in_momentum: bool | None
    maximize: bool | None
    rounding: Literal["nearest", "stochastic"] | None
    seed: int | None


class LarcValues(TypedDict, total=False):
    """LarcOptions as keywords."""

    eta: float | None
    eps: float | None
    min_update: float | None
    weight_decay: float | None
    grad_scale: Scalar | None
    found_inf: Array | None
    nonfinite_layers: Array | None
    mode: Literal["clip", "scale"] | None
    zero_norm: Literal["keep", "freeze", "floor", "untouched", "unit"] | None
    fold_weight_decay: Literal["off", "norms", "gradient", "both", "decoupled"] | None
    maximize: bool | None
    rounding: Literal["nearest", "stochastic"] | None
    zero_grad_norm: Literal["as_weight", "formula", "at_least_one"] | None
    seed: int | None
    weight_norm_threshold: float | None
    max_update: float | None


class SgdValues(TypedDict, total=False):
    """SgdOptions as keywords."""

    momentum: float | None
    dampening: float | None
    step: Integer | None
    advance_step: bool | None
    nesterov: bool | None
    lr_in_momentum: bool | None
    factor_after_momentum: bool | None
    dampen_first_step: bool | None
    clip_value: float | None


# name: (result, arguments), in the order of layerwise.h
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "layerwise_plan_options_init": (c_int32, [POINTER(PlanOptions), c_int64]),
    "layerwise_plan_workspace_size": (c_int32, [POINTER(PlanOptions), POINTER(c_int64)]),
    "layerwise_plan_create": (c_int32, [POINTER(PlanOptions), POINTER(c_void_p)]),
    "layerwise_plan_destroy": (c_int32, [c_void_p]),
    "layerwise_plan_reset": (c_int32, [c_void_p]),
    "layerwise_plan_query": (c_int32, [c_void_p, c_int32, POINTER(c_int64)]),
    "layerwise_layer_options_init": (c_int32, [POINTER(LayerOptions), c_int64]),
    "layerwise_plan_set_layers": (c_int32, [c_void_p, POINTER(LayerOptions)]),
    "layerwise_shard_options_init": (c_int32, [POINTER(ShardOptions), c_int64]),
    "layerwise_plan_set_shard": (c_int32, [c_void_p, POINTER(ShardOptions)]),
    "layerwise_shard_claim": (c_int32, [c_void_p, c_void_p, c_int64, c_void_p, c_int64]),
    "layerwise_shard_verify": (c_int32, [c_void_p, c_void_p, c_void_p, c_int64]),
    "layerwise_novograd_options_init": (c_int32, [POINTER(NovogradOptions), c_int64]),
    "novograd_step": (c_int32, [
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
        POINTER(NovogradOptions), c_void_p
    ]),
    "layerwise_larc_options_init": (c_int32, [POINTER(LarcOptions), c_int64]),
    "larc_scale": (c_int32, [c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(LarcOptions), c_void_p]),
    "layerwise_sgd_options_init": (c_int32, [POINTER(SgdOptions), c_int64]),
    "larc_sgd_step": (c_int32, [
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(LarcOptions), POINTER(SgdOptions),
        c_void_p
    ]),
    "layerwise_larc_novograd_step": (c_int32, [
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(LarcOptions),
        POINTER(NovogradOptions), c_void_p
    ]),
    "layerwise_partial_norms": (c_int32, [
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int32, c_int32, c_void_p
    ]),
    "layerwise_novograd_apply": (c_int32, [
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int32,
        POINTER(NovogradOptions), c_void_p
    ]),
    "layerwise_larc_apply": (c_int32, [
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int32,
        POINTER(LarcOptions), POINTER(SgdOptions), c_void_p
    ]),
    "layerwise_larc_novograd_apply": (c_int32, [
        c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p,
        c_int32, POINTER(LarcOptions), POINTER(NovogradOptions), c_void_p
    ]),
    "layerwise_version": (c_int32, []),
    "layerwise_numerics_version": (c_int32, []),
    "layerwise_build_info": (c_char_p, []),
    "layerwise_abi_description": (c_char_p, []),
    "layerwise_status_name": (c_char_p, [c_int32]),
    "layerwise_last_error": (c_char_p, []),
}
