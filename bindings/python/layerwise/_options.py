"""From keyword arguments to the library's option structs. None always means the library's own default."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from . import _abi, _errors
from ._arrays import Bfloat16
from ._buffers import Buffers
from ._errors import refusal
from ._library import check, library

Options = TypeVar("Options", bound=_abi.Struct)

_defaults: dict[str, bytes] = {}


def defaults(kind: type[Options]) -> Options:
    """A struct as the library's initializer fills it."""
    name = kind.c_name
    if name not in _defaults:
        options = kind()
        check(getattr(library(), name + "_init")(ctypes.byref(options), ctypes.sizeof(options)))
        _defaults[name] = bytes(options)
    return kind.from_buffer_copy(_defaults[name])


def selector(value: Any, name: str, table: Mapping[str, int]) -> int:
    """The number of a named choice; where one of them is "off", False is that one and True the first of the others."""
    if isinstance(value, str) and value in table:
        return table[value]
    may_be_off = "off" in table
    if may_be_off and isinstance(value, (bool, np.bool_, int, np.integer)) and value in (0, 1):
        return int(value)
    flags = "True, False or " if may_be_off else ""
    raise refusal(_errors.UNKNOWN_FLAG, f"{name} is {value!r}: it must be {flags}one of {', '.join(map(repr, table))}")


def dtype_number(value: Any, name: str) -> int:
    """The number of a dtype given as a name, a NumPy dtype or type, or another library's (torch.float32)."""
    text = value if isinstance(value, str) else str(getattr(value, "__name__", value))
    number = _abi.DTYPE.get(text.rpartition(".")[2])
    if number is None or text == "none":
        known = ", ".join(repr(dtype) for dtype in _abi.DTYPE if dtype != "none")
        raise refusal(_errors.UNKNOWN_DTYPE, f"{name} is {value!r}: it must be one of {known}")
    return number


def integer(value: Any, name: str, bits: int = 64) -> int:
    """An integer that fits; ctypes would cut off what does not."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}: it must be an integer") from None
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise refusal(_errors.INVALID_VALUE, f"{name} is {number}: it must fit {bits} bits")
    return number


def real(value: Any, name: str) -> float:
    try:
        if not isinstance(value, (str, bytes, bool, np.bool_, np.ndarray)):
            return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    raise TypeError(f"{name} is {value!r}: it must be a number")


def flag(value: Any, name: str) -> int:
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
        return int(value)
    raise TypeError(f"{name} is {value!r}: it must be True or False")


def is_array(value: Any) -> bool:
    """Whether a scalar option was given as memory, to be read when the step runs, rather than as a number."""
    return isinstance(value, (np.ndarray, Bfloat16)) or any(
        hasattr(value, name) for name in ("__cuda_array_interface__", "__dlpack__"))


_OF_EACH_STEP = ("step", "advance_step", "grad_scale", "seed")
_PLAIN = (float, int, bool, str, type(None))
_filled: dict[tuple[Any, ...], tuple[bytes, ...]] = {}


def filled(kinds: Sequence[type[_abi.Struct]], buffers: Buffers, values: Mapping[str, Any], **lr: Any) -> list[Any]:
    """Structs of these kinds as their initializers and `fill` make them; lr goes into the first."""
    plain = {name: value for name, value in values.items() if type(value) in _PLAIN and name not in _OF_EACH_STEP}
    key = *kinds, repr(plain)
    known = _filled.get(key)
    if known is None:
        structs = list(map(defaults, kinds))
        fill(structs, buffers, plain)
        if len(_filled) >= 64:
            _filled.clear()
        known = _filled[key] = tuple(map(bytes, structs))
    structs = [kind.from_buffer_copy(content) for kind, content in zip(kinds, known, strict=True)]
    fill(structs, buffers, lr)
    if len(plain) < len(values):
        fill(structs, buffers, {name: value for name, value in values.items() if name not in plain})
    return structs


def fill(structs: Sequence[_abi.Struct], buffers: Buffers, values: Mapping[str, Any]) -> None:
    """Writes every value that is not None into the field of its name, in the struct that has one; arrays as the
    addresses they have. Raises TypeError for a name that no struct has, and as the values ask for."""
    for name, value in values.items():
        for struct in structs:
            if name in struct.options:
                break
        else:
            raise TypeError(f"got an unexpected keyword argument {name!r}: it is no option of this step")
        option = struct.options[name]
        if value is None:
            continue
        if type(value) is float and option.kind == "number":
            setattr(struct, name, value)
        elif option.kind == "pointer":
            setattr(struct, name, _scalar_address(value, name, buffers, option.memory, option.written))
        elif option.memory and is_array(value):
            written = name == "step" and bool(values.get("advance_step"))
            setattr(struct, name + "_ptr", _scalar_address(value, name, buffers, option.memory, written))
        else:
            fill_numbers(struct, {name: value})


def fill_numbers(struct: _abi.Struct, values: Mapping[str, Any]) -> None:
    """Writes every number, flag and named choice that is not None into the field of its name."""
    for name, value in values.items():
        if value is not None:
            setattr(struct, name, _number(value, name, struct.options[name]))


def _number(value: Any, name: str, option: _abi.Option) -> float:
    if option.kind == "selector":
        return selector(value, name, option.choices)
    convert: dict[str, Callable[[Any, str], float]] = {"number": real, "integer": integer, "flag": flag}
    return convert[option.kind](value, name)


def _scalar_address(value: Any, name: str, buffers: Buffers, dtype: str | None, written: bool) -> int | None:
    if not is_array(value) or dtype is None:
        raise TypeError(f"{name} is {value!r}: it must be an array of one element in the plan's memory")
    return buffers.scalar(value, name, dtype, written)
