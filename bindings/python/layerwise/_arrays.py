"""Arrays as the library sees them: an address, a dtype and a length, checked against what an argument must be."""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any, NamedTuple, Protocol, Union

import numpy as np

from . import _dlpack, _errors
from ._errors import refusal


class SupportsCudaArrayInterface(Protocol):
    """CuPy, PyTorch, Numba, JAX: anything in CUDA memory that says so."""

    @property
    def __cuda_array_interface__(self) -> Any: ...


class SupportsDlpack(Protocol):
    """PyTorch, JAX, CuPy and many others: memory of any device, described by a DLPack capsule."""

    def __dlpack__(self, *, stream: Any = None) -> Any: ...

    def __dlpack_device__(self) -> tuple[Any, Any]: ...


class Bfloat16:
    """A uint16 array declared to hold bfloat16 values; made by `layerwise.bfloat16`."""

    def __init__(self, bits: Any) -> None:
        self.bits = bits

    def __repr__(self) -> str:
        return f"layerwise.bfloat16({self.bits!r})"


Array = Union["np.ndarray[Any, Any]", SupportsCudaArrayInterface, SupportsDlpack, Bfloat16]
Scalar = Union[float, Array]
Integer = Union[int, Array]


def bfloat16(bits: np.ndarray[Any, Any] | SupportsCudaArrayInterface | SupportsDlpack) -> Bfloat16:
    """Declares a uint16 array to hold bfloat16 values, bit for bit; nothing is copied or converted.

    NumPy has no bfloat16 of its own. Arrays of ml_dtypes, PyTorch and JAX need no such declaration; a bare uint16
    array is refused where bfloat16 is due, since integers passed by mistake look just the same. Raises DtypeError.
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
    keeper: Any = None  # a DLPack capsule: what it says holds as long as it lives


class Rule(NamedTuple):
    """What an argument must be."""

    name: str
    dtypes: tuple[str, ...]
    length: int  # elements, at least; exactly with `exact`
    device: int  # -1 for the host, else the CUDA ordinal
    writable: bool = False
    exact: bool = False
    why: str = ""


def look_at(array: Any, name: str, stream: int | None = None) -> Seen:
    """Reads an array's own description; one that comes as a DLPack capsule is made ready for the stream.

    Raises TypeError for what is no array, DtypeError for foreign byte order, ArgumentError for what cannot be read.
    """
    if isinstance(array, Bfloat16):
        return look_at(array.bits, name, stream)._replace(dtype="bfloat16")
    if isinstance(array, np.ndarray):
        return _look_at_numpy(array, name)
    _refuse_lazy(array, name)
    if getattr(array, "requires_grad", False) is True:
        array = array.detach()  # the same memory: PyTorch hands out none that autograd tracks
    interface = _cuda_array_interface(array)
    if interface is not None:
        return _look_at_cuda(array, interface, name)
    if hasattr(array, "__dlpack__"):
        return _look_at_dlpack(array, name, stream)
    raise TypeError(f"{name} is a {type(array).__module__}.{type(array).__qualname__}: it must be a numpy.ndarray, an "
                    "object with __cuda_array_interface__ or __dlpack__, or layerwise.bfloat16 of one")


def _refuse_lazy(array: Any, name: str) -> None:
    """PyTorch negates and conjugates some tensors when they are read, and neither interface says so."""
    for lazy, what in (("is_neg", "negated"), ("is_conj", "conjugated")):
        if callable(getattr(array, lazy, None)) and getattr(array, lazy)() is True:
            raise refusal(_errors.INVALID_VALUE, f"{name} is lazily {what}, its memory holds other values: pass "
                                                 f"{name}.resolve_{lazy.removeprefix('is_')}(), a copy")


def _cuda_array_interface(array: Any) -> Any:
    try:
        return getattr(array, "__cuda_array_interface__", None)
    except (TypeError, ValueError, RuntimeError):  # a dtype that it cannot name: some PyTorch's bfloat16
        return None


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
    strides = interface.get("strides")
    contiguous = strides is None or _is_contiguous(shape, tuple(strides), np.dtype(typestr).itemsize)
    return Seen(int(address or 0), dtype, math.prod(shape), contiguous, not (read_only or is_immutable(array)),
                on_cuda=True, ordinal=ordinal if isinstance(ordinal, int) else None, stream=interface.get("stream"))


def _look_at_dlpack(array: Any, name: str, stream: int | None) -> Seen:
    try:
        there = _dlpack.export(array, stream)
    except Exception as problem:  # of the array's library, in its words
        hint = " (inside jax.jit use layerwise.jax)" if is_immutable(array) else ""
        raise refusal(_errors.INVALID_VALUE, f"{name} cannot be read through DLPack: {problem}{hint}") from problem
    host = there.device_type in (_dlpack.CPU, _dlpack.CUDA_HOST)
    if not host and there.device_type not in (_dlpack.CUDA, _dlpack.CUDA_MANAGED):
        raise refusal(_errors.INVALID_VALUE, f"{name} lies on a device of DLPack's type {there.device_type}: it must "
                                             "lie in host or CUDA memory")
    contiguous = there.strides is None or _is_contiguous(there.shape, there.strides, 1)
    return Seen(there.address, there.dtype, math.prod(there.shape), contiguous,
                there.writable and not is_immutable(array), on_cuda=not host,
                ordinal=there.device_id if there.device_type == _dlpack.CUDA else None, keeper=there.capsule)


def is_immutable(array: Any) -> bool:
    """JAX arrays never change, whatever their interfaces say."""
    return type(array).__module__.partition(".")[0] in ("jax", "jaxlib")


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...], unit: int) -> bool:
    """unit: the stride of neighbouring elements."""
    if 0 in shape:
        return True
    expected = unit
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


# Of arrays in the machine's byte order.
_NAMES = {np.dtype(name): name for name in (
    "float32", "float16", "float64", "uint8", "bool", "int16", "uint16", "int64", "uint64")}


def plain_address(array: Any, dtypes: tuple[str, ...], length: int, exact: bool = False) -> int | None:
    """The address of a NumPy array that can be written and that a rule with these allows; None for whatever else there
    is, an array that breaks the rule included: `check_array` looks closer, and takes ten times as long."""
    if type(array) is not np.ndarray or _NAMES.get(array.dtype) not in dtypes:
        return None
    size = array.size
    if size < length or (exact and size != length):
        return None
    buffer: Any = array
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))  # refuses what is not contiguous, or read-only
    except (TypeError, ValueError, BufferError):
        return None


def check_array(array: Any, rule: Rule, stream: int | None = None) -> Seen:
    """An array that follows the rule, or an exception that names the argument, what was received and the rule."""
    name = rule.name
    if array is None:
        raise refusal(_errors.NULL_ARGUMENT, f"{name} is None: an array is needed here")
    seen = look_at(array, name, stream)
    _check_place(seen, rule)
    if seen.dtype not in rule.dtypes:
        raise refusal(_errors.UNSUPPORTED_DTYPE, f"{name} has dtype {seen.dtype}: it must be "
                                                 f"{' or '.join(rule.dtypes)}{_dtype_remedy(array, seen, rule)}")
    if not seen.contiguous:
        raise refusal(_errors.INVALID_VALUE, f"{name} is not C-contiguous: its elements must lie one after the other")
    if seen.length != rule.length if rule.exact else seen.length < rule.length:
        at_least = "exactly" if rule.exact else "at least"
        raise refusal(_errors.INVALID_VALUE,
                      f"{name} has {seen.length} elements: it must have {at_least} {rule.length}{rule.why}")
    if rule.writable and not seen.writable:
        hint = "; JAX arrays are immutable, layerwise.jax returns new ones" if is_immutable(array) else ""
        raise refusal(_errors.INVALID_VALUE, f"{name} is read-only: this call writes it{hint}")
    return seen


# Of the buffers that a plan may have in more than one dtype.
_CHOICES = {"weights": ("float32", "bfloat16", "float16"), "grads": ("float32", "bfloat16", "float16"),
            "first_moment": ("float32", "bfloat16"), "second_moment": ("float32", "float64")}
_AS_A_PLAN_SAYS = {"momentum_buffer": "first_moment", "max_second_moment": "second_moment"}


def _dtype_remedy(array: Any, seen: Seen, rule: Rule) -> str:
    """What to write instead, in the words of the array's own library."""
    if seen.dtype == "uint16" and "bfloat16" in rule.dtypes:
        return " (layerwise.bfloat16 declares a uint16 array as such)"
    wanted, home = rule.dtypes[0], type(array).__module__.partition(".")[0]
    buffer = rule.name.partition("[")[0]
    buffer = _AS_A_PLAN_SAYS.get(buffer, buffer)
    modules = {"numpy": "np" if wanted != "bfloat16" else "ml_dtypes", "cupy": "cupy", "jax": "jnp", "jaxlib": "jnp"}
    remedies = []
    if home == "torch":
        remedies.append(f"convert it, {rule.name} = {rule.name}.to(torch.{wanted})")
    elif home in modules:
        remedies.append(f"convert it, {rule.name} = {rule.name}.astype({modules[home]}.{wanted})")
    if seen.dtype in _CHOICES.get(buffer, ()):
        remedies.append(f'make the plan with {buffer}_dtype="{seen.dtype}"')
    return "; " + ", or ".join(remedies) if remedies else ""


def _check_place(seen: Seen, rule: Rule) -> None:
    if rule.device < 0 and seen.on_cuda:
        raise refusal(_errors.INVALID_VALUE, f"{rule.name} lies in CUDA memory: this plan runs on the CPU and needs "
                                             "arrays in host memory (or a plan with device=\"cuda\")")
    if rule.device >= 0 and not seen.on_cuda:
        raise refusal(_errors.INVALID_VALUE, f"{rule.name} lies in host memory: this plan runs on CUDA device "
                                             f"{rule.device} and needs arrays there")
    if seen.ordinal is not None and seen.ordinal != rule.device:
        raise refusal(_errors.INVALID_VALUE, f"{rule.name} lies on CUDA device {seen.ordinal}: this plan runs on "
                                             f"CUDA device {rule.device}")
