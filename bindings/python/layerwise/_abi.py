"""The C ABI of layerwise.h in ctypes: structs, signatures, selectors; and how they are held against the library."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Mapping
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_void_p
from enum import IntEnum
from typing import Any, ClassVar

from . import _errors
from ._errors import AbiMismatchError

ABI_VERSION = 0

DTYPES = {"none": 0, "float32": 1, "bfloat16": 2, "float16": 3, "float64": 4, "remainder16": 5}
LAYOUTS = {"packed": 0, "scattered": 1}
ISAS = {"auto": 0, "baseline": 1, "avx2": 2, "avx512": 3, "neon": 4}
NORMS = {"l2": 0, "inf": 1}
LARC_MODES = {"clip": 0, "scale": 1}
ZERO_NORMS = {"keep": 0, "freeze": 1, "floor": 2, "untouched": 3}
ROUNDINGS = {"nearest": 0, "stochastic": 1}
SUMS = {"layers": 0}
PATHS = {"cpu": 0, "two_pass": 1, "one_pass": 2}
PATH_CHOICES = {"auto": 0, "two_pass": 1, "one_pass": 2}
QUERIES = {"layers": 1, "elements": 2, "tiles": 3, "extent": 4, "device": 5, "threads": 6, "isa": 7, "workspace": 8,
           "fingerprint": 9, "path": 10, "held_grads": 11, "held_weights": 12}
DEVICE_CPU = -1


class Stat(IntEnum):
    """Columns of `layer_stats`, a float64 array of shape (layers, 6): `stats[:, layerwise.Stat.FACTOR]`.

    NaN where a step has no such value; rows of layers that take no part keep their bits.
    """

    WEIGHT_NORM = 0  #: |w| (LARC)
    GRAD_NORM = 1  #: |g / grad_scale|; the largest |g / grad_scale| with the infinity norm
    SECOND_MOMENT = 2  #: v as stored (NovoGrad)
    FACTOR = 3  #: LARC's r; NovoGrad's 1/d
    EFFECTIVE_LR = 4  #: LARC: lr * lr_mult * r; NovoGrad: lr * lr_mult, bias-corrected where asked for
    CLIPPED = 5  #: LARC clip: 1 where the factor was cut to 1, else 0


STAT_COUNT = 6

_PREFIXED_CONSTANTS: dict[str, Mapping[str, int]] = {
    "LAYERWISE_DTYPE_": DTYPES,
    "LAYERWISE_LAYOUT_": LAYOUTS,
    "LAYERWISE_ISA_": ISAS,
    "LAYERWISE_NORM_": NORMS,
    "LAYERWISE_LARC_": LARC_MODES,
    "LAYERWISE_ZERO_NORM_": ZERO_NORMS,
    "LAYERWISE_ROUNDING_": ROUNDINGS,
    "LAYERWISE_SUMS_": SUMS,
    "LAYERWISE_QUERY_": QUERIES,
    "LAYERWISE_PATH_": PATHS,
    "LAYERWISE_STAT_": {stat.name: stat.value for stat in Stat},
}


def expected_constants() -> dict[str, int]:
    """Every constant that this package relies on, by its name in layerwise.h."""
    constants = {prefix + name.upper(): number
                 for prefix, table in _PREFIXED_CONSTANTS.items() for name, number in table.items()}
    constants.update({name: status for status, name in _errors.STATUS_NAMES.items()})
    constants.update(LAYERWISE_ABI_VERSION=ABI_VERSION, LAYERWISE_OK=0, LAYERWISE_DEVICE_CPU=DEVICE_CPU,
                     LAYERWISE_STAT_COUNT=STAT_COUNT)
    return constants


class Struct(ctypes.Structure):
    """A struct of layerwise.h."""

    c_name: ClassVar[str]


class PlanOptions(Struct):
    c_name = "layerwise_plan_options"
    _fields_ = [
        ("struct_size", c_int64), ("layer_count", c_int64), ("sizes", c_void_p), ("offsets", c_void_p),
        ("device", c_int32), ("layout", c_int32), ("weights_dtype", c_int32), ("grads_dtype", c_int32),
        ("first_moment_dtype", c_int32), ("second_moment_dtype", c_int32), ("weights_extra_dtype", c_int32),
        ("threads", c_int32), ("isa", c_int32), ("path", c_int32), ("workspace", c_void_p),
        ("workspace_bytes", c_int64), ("multiprocessors", c_int64), ("reserved2", c_int64),
    ]


class LayerOptions(Struct):
    c_name = "layerwise_layer_options"
    _fields_ = [
        ("struct_size", c_int64), ("lr_mult", c_void_p), ("wd_mult", c_void_p), ("skip_larc", c_void_p),
        ("reserved", c_int64 * 2),
    ]


class NovogradOptions(Struct):
    c_name = "layerwise_novograd_options"
    _fields_ = [
        ("struct_size", c_int64), ("lr", c_double), ("beta1", c_double), ("beta2", c_double), ("eps", c_double),
        ("eps_root", c_double), ("weight_decay", c_double), ("grad_scale", c_double), ("step", c_int64),
        ("lr_ptr", c_void_p), ("grad_scale_ptr", c_void_p), ("step_ptr", c_void_p), ("found_inf", c_void_p),
        ("nonfinite_layers", c_void_p), ("advance_step", c_int32), ("norm", c_int32), ("grad_averaging", c_int32),
        ("average_first_step", c_int32), ("amsgrad", c_int32), ("bias_correction", c_int32),
        ("seed_second_moment", c_int32), ("decoupled_weight_decay", c_int32), ("lr_in_momentum", c_int32),
        ("maximize", c_int32), ("rounding", c_int32), ("reserved", c_int32), ("seed", c_int64),
        ("reserved2", c_int64 * 2),
    ]


class LarcOptions(Struct):
    c_name = "layerwise_larc_options"
    _fields_ = [
        ("struct_size", c_int64), ("lr", c_double), ("eta", c_double), ("eps", c_double), ("min_update", c_double),
        ("weight_decay", c_double), ("grad_scale", c_double), ("lr_ptr", c_void_p), ("grad_scale_ptr", c_void_p),
        ("found_inf", c_void_p), ("nonfinite_layers", c_void_p), ("mode", c_int32), ("zero_norm", c_int32),
        ("fold_weight_decay", c_int32), ("maximize", c_int32), ("rounding", c_int32), ("reserved", c_int32),
        ("seed", c_int64), ("reserved2", c_int64 * 2),
    ]


class SgdOptions(Struct):
    c_name = "layerwise_sgd_options"
    _fields_ = [
        ("struct_size", c_int64), ("momentum", c_double), ("dampening", c_double), ("step", c_int64),
        ("step_ptr", c_void_p), ("advance_step", c_int32), ("nesterov", c_int32), ("reserved", c_int64 * 2),
    ]


STRUCTS: list[type[Struct]] = [PlanOptions, LayerOptions, NovogradOptions, LarcOptions, SgdOptions]

_PLAN = c_void_p
_BUFFER = c_void_p

# name: (result, arguments), in the order of layerwise.h
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "layerwise_plan_options_init": (c_int32, [POINTER(PlanOptions), c_int64]),
    "layerwise_plan_workspace_size": (c_int32, [POINTER(PlanOptions), POINTER(c_int64)]),
    "layerwise_plan_create": (c_int32, [POINTER(PlanOptions), POINTER(c_void_p)]),
    "layerwise_plan_destroy": (c_int32, [_PLAN]),
    "layerwise_plan_reset": (c_int32, [_PLAN]),
    "layerwise_plan_query": (c_int32, [_PLAN, c_int32, POINTER(c_int64)]),
    "layerwise_layer_options_init": (c_int32, [POINTER(LayerOptions), c_int64]),
    "layerwise_plan_set_layers": (c_int32, [_PLAN, POINTER(LayerOptions)]),
    "layerwise_novograd_options_init": (c_int32, [POINTER(NovogradOptions), c_int64]),
    "novograd_step": (c_int32, [_PLAN] + [_BUFFER] * 8 + [POINTER(NovogradOptions), c_void_p]),
    "layerwise_larc_options_init": (c_int32, [POINTER(LarcOptions), c_int64]),
    "larc_scale": (c_int32, [_PLAN] + [_BUFFER] * 4 + [POINTER(LarcOptions), c_void_p]),
    "layerwise_sgd_options_init": (c_int32, [POINTER(SgdOptions), c_int64]),
    "larc_sgd_step": (c_int32, [_PLAN] + [_BUFFER] * 6 + [POINTER(LarcOptions), POINTER(SgdOptions), c_void_p]),
    "layerwise_larc_novograd_step": (c_int32, [_PLAN] + [_BUFFER] * 8 + [POINTER(LarcOptions), POINTER(NovogradOptions),
                                                                         c_void_p]),
    "layerwise_partial_norms": (c_int32, [_PLAN] + [_BUFFER] * 6 + [c_int32, c_int32, c_void_p]),
    "layerwise_novograd_apply": (c_int32, [_PLAN] + [_BUFFER] * 9 + [c_int32, POINTER(NovogradOptions), c_void_p]),
    "layerwise_larc_apply": (c_int32, [_PLAN] + [_BUFFER] * 8 + [c_int32, POINTER(LarcOptions), POINTER(SgdOptions),
                                                                 c_void_p]),
    "layerwise_version": (c_int32, []),
    "layerwise_numerics_version": (c_int32, []),
    "layerwise_build_info": (c_char_p, []),
    "layerwise_abi_description": (c_char_p, []),
    "layerwise_status_name": (c_char_p, [c_int32]),
    "layerwise_last_error": (c_char_p, []),
}


def bind(library: ctypes.CDLL) -> None:
    """Gives every function its argument and result types."""
    for name, (result, arguments) in SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise AbiMismatchError(f"{library._name} does not export {name}: it is not a layerwise library of this "
                                   f"ABI version ({ABI_VERSION})", name) from None
        function.restype = result
        function.argtypes = arguments


def check_description(description: str, path: str) -> None:
    """Holds the library's own account of its ABI against this module. Raises AbiMismatchError naming the field.

    Structs may be longer in a newer library, and what is reserved here may have a name there: struct_size and the
    rule that reserved fields are 0 make both safe. Everything else must be the same.
    """
    def fail(field: str, here: object, there: object) -> None:
        raise AbiMismatchError(f"{path} does not match this package: {field} is {there} in the library and {here} in "
                               "the package. Install the package and the library of the same version.", field)

    try:
        account = json.loads(description)
        constants, structs = account["constants"], account["structs"]
    except (ValueError, KeyError, TypeError) as problem:
        raise AbiMismatchError(f"{path} does not describe its ABI: {problem!r}", "layerwise_abi_description") from None
    for name, number in expected_constants().items():
        if constants.get(name) != number:
            fail(name, number, constants.get(name, "missing"))
    for struct in STRUCTS:
        _check_struct(struct, structs.get(struct.c_name), fail)


def _check_struct(struct: type[Struct], account: Any, fail: Callable[[str, object, object], None]) -> None:
    c_name = struct.c_name
    if account is None:
        return fail(c_name, "there", "missing")
    if account["size"] < ctypes.sizeof(struct):
        fail(f"{c_name} (size)", f"{ctypes.sizeof(struct)} bytes", f"{account['size']} bytes")
    fields = {field["name"]: field for field in account["fields"]}
    for name, c_type in _fields(struct):
        if name.startswith("reserved"):
            continue
        member, there = getattr(struct, name), fields.get(name)
        here = _words(member.offset, member.size, _TYPE_NAMES[c_type])
        received = "missing" if there is None else _words(there["offset"], there["size"], there["type"])
        if received != here:
            fail(f"{c_name}.{name}", here, received)


_TYPE_NAMES: dict[Any, str] = {c_double: "float64", c_int32: "int32", c_int64: "int64", c_void_p: "pointer"}


def _fields(struct: type[Struct]) -> list[tuple[str, Any]]:
    return [(str(field[0]), field[1]) for field in struct._fields_]


def _words(offset: int, size: int, kind: str) -> str:
    return f"{kind} of {size} bytes at offset {offset}"
