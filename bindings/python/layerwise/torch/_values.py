"""The values of options: brought to plain Python, which every pickle and torch.load takes, or refused by name.

They come from configuration files as strings, NumPy scalars and lists of other libraries' own types.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _abi
from .._library import check, library
from .._options import defaults, flag, integer, real, selector
from ._order import DTYPES

DTYPES_BY_NAME = {name: dtype for dtype, name in DTYPES.items()}
_PLAIN = (bool, int, float, str, type(None))


def number(value: Any, name: str) -> float:
    found = real(value, name)
    if not math.isfinite(found):
        raise ValueError(f"{name} is {found}: it must be finite")
    return found


def learning_rate(value: Any, name: str) -> float | Tensor:
    """A number, or a tensor of one element."""
    if value is None:
        raise TypeError(f"{name} is None: it must be a number, given to the optimizer or to every group. A tool that "
                        "makes the optimizer may pass none of its own: to Transformers' Trainer it is given as "
                        'optimizer_cls_and_kwargs=(NovoGrad, {"lr": 0.01})')
    if not isinstance(value, Tensor):
        return number(value, name)
    if value.numel() != 1:
        raise ValueError(f"{name} is a tensor of {value.numel()} elements: it must have one")
    if not value.dtype.is_floating_point or value.is_meta:
        raise TypeError(f"{name} is a tensor of {value.dtype} on {value.device}: it must hold a floating-point number")
    return value


def is_rate(value: Any) -> bool:
    """Whether a step can take it as it is; what lies on a GPU is not read."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.dtype.is_floating_point and (
            value.device.type != "cpu" or 0 <= float(value) < math.inf)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max


def same_values(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    """Whether all are the same values of the same types: True is not 1, an array is nothing that compares."""
    return len(first) == len(second) and all(
        type(one) is type(other) and (same_values(one, other) if type(one) is tuple else (
            isinstance(one, _PLAIN) and one == other))
        for one, other in zip(first, second, strict=True))


def switch(value: Any, name: str) -> bool:
    return bool(flag(value, name))


def pair(value: Any, name: str) -> tuple[float, float]:
    """Two numbers, from any sequence."""
    try:
        first, second = (value[index] for index in range(len(value)))
    except (TypeError, ValueError, KeyError):
        raise TypeError(f"{name} is {value!r}: it must be two numbers") from None
    return number(first, name), number(second, name)


def text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}: it must be a string")
    return str.__str__(value)


def choice(value: Any, name: str) -> bool | str:
    """A choice by its name. One that may be off is kept as False, and the first of the others as True: such an option
    was a flag, and is one in checkpoints."""
    table = _CHOICES[name]
    if "off" not in table:
        return text(value, name)
    number = selector(value, name, table)
    return bool(number) if number < 2 else str(value)


def dtype_name(value: Any, _: str) -> str:
    """A dtype's name, from torch's or NumPy's own too."""
    found = str.__str__(value) if isinstance(value, str) else str(getattr(value, "__name__", value))
    return found.removeprefix("torch.")


def owner(value: Any, name: str) -> str:
    if not isinstance(value, str) or value not in ("refuse", "apply", "ignore"):
        raise ValueError(f"{name} is {value!r}: it must be 'refuse', 'apply' or 'ignore'")
    return str.__str__(value)


def threads(value: Any, name: str) -> int:
    options = defaults(_abi.PlanOptions)
    options.threads = integer(value, name, bits=32)
    check(library().layerwise_plan_workspace_size(ctypes.byref(options), ctypes.byref(ctypes.c_int64())))
    return int(options.threads)


def multiplier(value: Any, name: str, count: int) -> Any:
    """One number for the whole group, or a tuple with one for each parameter."""
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf" and array.size:
        raise TypeError(f"{name} is {value!r}: it must be one number, or one for each parameter")
    if array.ndim == 0:
        return _one(array[()], name)
    if array.shape != (count,):
        raise ValueError(f"{name} has shape {array.shape}: it must be one number, or one for each of the group's "
                         f"{count} parameters")
    return tuple(_one(entry, name) for entry in array)


def _one(value: Any, name: str) -> float | bool:
    return switch(value, name) if name == "skip_larc" else float(value)


# Options of the library that have another name in a group, or are the optimizer's to fill.
_NOT_IN_A_GROUP = ("lr", "beta1", "beta2", "eta", "mode", "grad_scale", "step", "advance_step", "found_inf",
                   "nonfinite_layers", "rounding", "seed")


def options_of(struct: type[_abi.Struct]) -> tuple[str, ...]:
    """The options of a step that a group has under the library's name."""
    return tuple(name for name in struct.options if name not in _NOT_IN_A_GROUP)


_OF_THE_LIBRARY: dict[str, Callable[[Any, str], Any]] = {"number": number, "flag": switch, "selector": choice}
_CHOICES = {name: option.choices for struct in (_abi.NovogradOptions, _abi.LarcOptions, _abi.SgdOptions)
            for name, option in struct.options.items() if option.kind == "selector"}
_KINDS: dict[Callable[[Any, str], Any], tuple[str, ...]] = {
    learning_rate: ("lr",),
    pair: ("betas",),
    number: ("trust_coefficient",),
    switch: ("clip", "always_adapt", "capturable", "flatten"),
    owner: ("group_multipliers",),
    dtype_name: ("first_moment_dtype", "second_moment_dtype"),
    threads: ("threads",),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names} | {
    name: _OF_THE_LIBRARY[struct.options[name].kind]
    for struct in (_abi.NovogradOptions, _abi.LarcOptions, _abi.SgdOptions) for name in options_of(struct)}
KNOWN = frozenset(_KIND_OF)


def make_plain(options: dict[str, Any]) -> None:
    """Brings the options that are known here to plain values, in place. Raises TypeError, ValueError."""
    options.update({name: _KIND_OF[name](value, name) for name, value in options.items() if name in _KIND_OF})


def dtype_of(name: str, option: str, allowed: tuple[str, ...]) -> torch.dtype:
    """The dtype that an option names."""
    if name not in allowed:
        raise ValueError(f"{option} is {name!r}: it must be {' or '.join(map(repr, allowed))}")
    return DTYPES_BY_NAME[name]
