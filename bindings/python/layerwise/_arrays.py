"""Arrays as the library sees them: an address, a dtype and a length, checked against what an argument must be."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple, Protocol, Union

import numpy as np

from . import _errors
from ._errors import refusal


class SupportsCudaArrayInterface(Protocol):
    """CuPy, PyTorch, Numba, JAX: anything in CUDA memory that says so."""

    @property
    def __cuda_array_interface__(self) -> Any: ...


class Bfloat16:
    """A uint16 array declared to hold bfloat16 values; made by `layerwise.bfloat16`."""

    def __init__(self, bits: Any) -> None:
        self.bits = bits

    def __repr__(self) -> str:
        return f"layerwise.bfloat16({self.bits!r})"


Array = Union["np.ndarray[Any, Any]", SupportsCudaArrayInterface, Bfloat16]


def bfloat16(bits: np.ndarray[Any, Any] | SupportsCudaArrayInterface) -> Bfloat16:
    """Declares a uint16 array to hold bfloat16 values, bit for bit; nothing is copied or converted.

    NumPy has no bfloat16 of its own. Arrays of ml_dtypes.bfloat16 need no such declaration; a bare uint16 array is
    refused where bfloat16 is due, since integers passed by mistake look just the same. Raises DtypeError.
    """
    view = Bfloat16(bits)
    seen = look_at(bits, "bits")
    if seen.dtype not in ("uint16", "bfloat16"):
        raise refusal(_errors.UNSUPPORTED_DTYPE, f"bits has dtype {seen.dtype}: bfloat16() takes a uint16 array")
    return view


class Seen(NamedTuple):
    """What an array says of itself."""

    address: int
    dtype: str
    length: int
    contiguous: bool
    writable: bool
    on_cuda: bool
    ordinal: int | None = None  # CUDA device, where the array tells
    stream: int | None = None  # CUDA stream the array was made on, where it tells


class Rule(NamedTuple):
    """What an argument must be."""

    name: str
    dtypes: tuple[str, ...]
    length: int  # elements, at least; exactly with `exact`
    device: int  # -1 for the host, else the CUDA ordinal
    writable: bool = False
    exact: bool = False
    why: str = ""


def look_at(array: Any, name: str) -> Seen:
    """Reads an array's own description. Raises TypeError for what is no array, DtypeError for foreign byte order."""
    if isinstance(array, Bfloat16):
        return look_at(array.bits, name)._replace(dtype="bfloat16")
    if isinstance(array, np.ndarray):
        return _look_at_numpy(array, name)
    interface = getattr(array, "__cuda_array_interface__", None)
    if interface is None:
        raise TypeError(f"{name} is a {type(array).__module__}.{type(array).__qualname__}: it must be a numpy.ndarray, "
                        "for CUDA plans an object with __cuda_array_interface__, or layerwise.bfloat16 of either")
    return _look_at_cuda(array, interface, name)


def _look_at_numpy(array: np.ndarray[Any, Any], name: str) -> Seen:
    if not array.dtype.isnative:
        raise refusal(_errors.UNSUPPORTED_DTYPE,
                      f"{name} has dtype {array.dtype.str}: the machine's own byte order is needed")
    flags = array.flags
    return Seen(array.__array_interface__["data"][0], _name(array.dtype), array.size, flags.c_contiguous,
                flags.writeable, on_cuda=False)


@functools.lru_cache(maxsize=64)
def _name(dtype: np.dtype[Any]) -> str:
    return dtype.name  # NumPy computes it anew each time, which would be most of the cost of a check


def _look_at_cuda(array: Any, interface: Any, name: str) -> Seen:
    if interface.get("mask") is not None:
        raise refusal(_errors.INVALID_VALUE, f"{name} is a masked array: masks are not supported")
    shape, typestr = tuple(interface["shape"]), interface["typestr"]
    address, read_only = interface["data"]
    dtype = str(getattr(array, "dtype", "")).rpartition(".")[2]
    if dtype != "bfloat16":  # the interface cannot name it, and NumPy does not know it
        dtype = np.dtype(typestr).name
    device = getattr(array, "device", None)
    ordinal = getattr(device, "id", getattr(device, "index", None))
    return Seen(int(address or 0), dtype, math.prod(shape), _is_contiguous(shape, interface), not read_only,
                on_cuda=True, ordinal=ordinal if isinstance(ordinal, int) else None, stream=interface.get("stream"))


def _is_contiguous(shape: tuple[int, ...], interface: Any) -> bool:
    strides = interface.get("strides")
    if strides is None or 0 in shape:
        return True
    expected = np.dtype(interface["typestr"]).itemsize
    for length, stride in zip(reversed(shape), reversed(tuple(strides)), strict=False):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def check_array(array: Any, rule: Rule) -> Seen:
    """An array that follows the rule, or an exception that names the argument, what was received and the rule."""
    name = rule.name
    if array is None:
        raise refusal(_errors.NULL_ARGUMENT, f"{name} is None: an array is needed here")
    seen = look_at(array, name)
    _check_place(seen, rule)
    if seen.dtype not in rule.dtypes:
        hint = " (layerwise.bfloat16 declares a uint16 array as such)" if (
            seen.dtype == "uint16" and "bfloat16" in rule.dtypes) else ""
        raise refusal(_errors.UNSUPPORTED_DTYPE,
                      f"{name} has dtype {seen.dtype}: it must be {' or '.join(rule.dtypes)}{hint}")
    if not seen.contiguous:
        raise refusal(_errors.INVALID_VALUE, f"{name} is not C-contiguous: its elements must lie one after the other")
    if seen.length != rule.length if rule.exact else seen.length < rule.length:
        at_least = "exactly" if rule.exact else "at least"
        raise refusal(_errors.INVALID_VALUE,
                      f"{name} has {seen.length} elements: it must have {at_least} {rule.length}{rule.why}")
    if rule.writable and not seen.writable:
        raise refusal(_errors.INVALID_VALUE, f"{name} is read-only: this call writes it")
    return seen


def _check_place(seen: Seen, rule: Rule) -> None:
    if rule.device < 0 and seen.on_cuda:
        raise refusal(_errors.INVALID_VALUE, f"{rule.name} lies in CUDA memory: this plan runs on the CPU and needs "
                                             "numpy arrays (or a plan with device=\"cuda\")")
    if rule.device >= 0 and not seen.on_cuda:
        raise refusal(_errors.INVALID_VALUE, f"{rule.name} lies in host memory: this plan runs on CUDA device "
                                             f"{rule.device} and needs arrays there")
    if seen.ordinal is not None and seen.ordinal != rule.device:
        raise refusal(_errors.INVALID_VALUE, f"{rule.name} lies on CUDA device {seen.ordinal}: this plan runs on "
                                             f"CUDA device {rule.device}")
