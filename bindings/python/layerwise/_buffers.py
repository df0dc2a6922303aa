"""The buffers of one step call: each checked against the plan, then the address that the library gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _abi, _errors
from ._arrays import Rule, Seen, check_array, look_at, plain_address
from ._errors import refusal


class Shape:
    """What a plan says about the buffers it takes."""

    def __init__(self, sizes: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any] | None, extent: int, scattered: bool,
                 device: int) -> None:
        self.layers = len(sizes)
        self.sizes: list[int] = sizes.tolist()
        self.ends: list[int] = (sizes if offsets is None else sizes + offsets).tolist()
        self.may_be_longer = offsets is not None  # a longer buffer without offsets is another model's
        self.extent = extent
        self.scattered = scattered
        self.device = device


class Buffers:
    """Collects the addresses of one call, keeps what they point to alive until it is dropped, and finds the stream."""

    def __init__(self, shape: Shape, stream: Any = None) -> None:
        self._shape = shape
        self._stream = None if stream is None else stream_address(stream)
        self._alive: list[Any] = []
        self._streams: set[int] = set()
        self._exported: list[tuple[Any, str]] = []  # arrays that make themselves ready for a stream on demand

    def elements(self, array: Any, name: str, dtype: str, writable: bool) -> int | None:
        """A buffer of one value an element: an array, or in a scattered plan one array a layer or a pointer table."""
        shape = self._shape
        if not shape.scattered:
            if isinstance(array, (list, tuple)):
                raise TypeError(f"{name} is a {type(array).__name__}: this plan takes one array of all layers; for one "
                                "array a layer make it with layout=\"scattered\"")
            return self._one(array, name, _accepted(dtype), shape.extent, writable, not shape.may_be_longer,
                             why=" (the sum of sizes)" if not shape.may_be_longer else " (the largest offset + size)")
        if isinstance(array, (list, tuple)):
            if shape.device >= 0:
                raise refusal(_errors.INVALID_VALUE, f"{name} is a list: a scattered CUDA plan reads its table of "
                              "addresses on the device; make it with plan.pointer_table and copy it there")
            array = pointer_table(shape, array, name, dtype, writable)
        elif not _is_a_table(array, name):
            raise refusal(_errors.UNSUPPORTED_DTYPE, f"{name} is one array: this plan has layout=\"scattered\" and takes "
                          "a list of one array a layer, or a table of addresses (uint64); for one array of all layers "
                          "make it with layout=\"packed\"")
        return self._one(array, f"{name} (a table of addresses)", ("uint64",), shape.layers, exact=True,
                         why=" (layers)")

    def per_layer(self, array: Any, name: str, dtypes: tuple[str, ...], writable: bool, width: int = 1) -> int | None:
        """A buffer of `width` values a layer."""
        rule = " (layers)" if width == 1 else f" (layers * {width})"
        return self._one(array, name, dtypes, self._shape.layers * width, writable, exact=True, why=rule)

    def scalar(self, array: Any, name: str, dtype: str, writable: bool) -> int | None:
        """A number in memory, read when the step runs."""
        return self._one(array, name, (dtype,), 1, writable, exact=True)

    def stream(self) -> int | None:
        """The stream to run on: the caller's, else the one that the arrays were made on where they agree."""
        if self._stream is not None:
            return self._stream
        if len(self._streams) > 1:
            raise refusal(_errors.COMBINATION, f"the arrays belong to {len(self._streams)} CUDA streams: pass stream=")
        found = next(iter(self._streams), None)
        if found is not None:  # those that were made ready for the default stream before it was known
            self._alive += [look_at(array, name, found).keeper for array, name in self._exported]
        return found

    def _one(self, array: Any, name: str, dtypes: tuple[str, ...], length: int, writable: bool = False,
             exact: bool = False, why: str = "") -> int | None:
        self._alive.append(array)
        address = plain_address(array, dtypes, length, exact) if self._shape.device < 0 else None
        if address is not None:
            return address
        rule = Rule(name, dtypes, length, self._shape.device, writable, exact, why)
        seen: Seen = check_array(array, rule, self._stream)
        if seen.stream is not None:
            self._streams.add(int(seen.stream))
        if seen.on_cuda and seen.keeper is not None:
            self._exported.append((array, name))
        self._alive.append(seen.keeper)
        return seen.address or None


def _is_a_table(array: Any, name: str) -> bool:
    return array is None or look_at(array, name).dtype == "uint64"


def _accepted(dtype: str) -> tuple[str, ...]:
    """The array dtypes that hold a buffer's: remainders are bare bits, which no array library has a dtype for."""
    return ("int16", "uint16") if dtype == "remainder16" else (dtype,)


def pointer_table(shape: Shape, arrays: Sequence[Any], name: str, dtype: str,
                  writable: bool) -> np.ndarray[Any, Any]:
    """The addresses of one array a layer, each checked, as a uint64 array on the host; 0 for None."""
    if len(arrays) != shape.layers:
        raise refusal(_errors.INVALID_VALUE, f"{name} has {len(arrays)} arrays: it must have {shape.layers} (layers)")
    addresses = [0] * shape.layers
    owners: dict[int, int] = {}
    on_host, accepted = shape.device < 0, _accepted(dtype)
    for layer, array in enumerate(arrays):
        if array is None:
            continue
        address = plain_address(array, accepted, shape.ends[layer]) if on_host else None
        if address is None:
            address = check_array(array, Rule(f"{name}[{layer}]", accepted, shape.ends[layer], shape.device, writable,
                                              why=" (the layer's size and offset)")).address
        if writable and shape.sizes[layer] and owners.setdefault(address, layer) != layer:
            raise refusal(_errors.ALIASED, f"{name}[{layer}] is the same memory as {name}[{owners[address]}]: each "
                                           "layer must have its own")
        addresses[layer] = address
    return np.array(addresses, np.uint64)


def stream_address(stream: Any) -> int:
    """A cudaStream_t given as a number, or as CuPy's, PyTorch's, Numba's or CUDA Python's stream object."""
    protocol = getattr(stream, "__cuda_stream__", None)
    if protocol is not None:
        return int(protocol()[1])
    for attribute in ("cuda_stream", "ptr", "handle"):
        if hasattr(stream, attribute):
            value = getattr(stream, attribute)
            return int(getattr(value, "value", value) or 0)
    if isinstance(stream, (int, np.integer)) and not isinstance(stream, bool):
        return int(stream)
    raise TypeError(f"stream is {stream!r}: it must be a cudaStream_t as an integer, or a stream object with "
                    "__cuda_stream__, cuda_stream, ptr or handle")


def layer_values(values: Any, name: str, layers: int, dtype: Any) -> np.ndarray[Any, Any] | None:
    """One host value a layer, from any sequence or array of numbers."""
    if values is None:
        return None
    try:
        array = np.asarray(values)
    except ValueError:  # sequences of different lengths
        raise TypeError(f"{name} is {values!r}: it must hold one number a layer") from None
    if array.size and array.dtype.kind not in "biuf":
        raise TypeError(f"{name} holds {array.dtype}: it must hold one number a layer")
    if array.shape != (layers,):
        raise refusal(_errors.INVALID_VALUE, f"{name} has shape {array.shape}: it must be ({layers},)")
    if dtype == np.uint8 and not np.isin(array, (0, 1)).all():
        raise refusal(_errors.INVALID_VALUE, f"{name} must hold only 0 and 1 (or False and True)")
    return np.ascontiguousarray(array, dtype)


def layer_integers(values: Any, name: str) -> np.ndarray[Any, Any]:
    """Sizes or offsets as int64, from any sequence or array of integers."""
    def refused() -> TypeError:
        return TypeError(f"{name} is {values!r}: it must be a sequence of one integer a layer")

    try:
        array = np.asarray(values if isinstance(values, np.ndarray) else list(values))
    except (TypeError, ValueError):  # not a sequence, or one of sequences of different lengths
        raise refused() from None
    if array.ndim != 1:
        raise refusal(_errors.INVALID_VALUE, f"{name} has shape {array.shape}: it must be one integer a layer")
    if array.size == 0:
        return np.zeros(0, np.int64)
    if (array.dtype.kind == "u" and int(array.max()) > np.iinfo(np.int64).max) or _too_large(array):
        raise refusal(_errors.LAYER_OVERFLOW, f"{name} holds a number that does not fit 64 bits")
    if array.dtype.kind == "O":  # what sequences of different lengths become before NumPy 1.24
        raise refused()
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} holds {array.dtype}: it must hold integers")
    return np.ascontiguousarray(array, np.int64)


def _too_large(array: np.ndarray[Any, Any]) -> bool:
    """Python integers beyond 64 bits become an object array in NumPy."""
    return array.dtype.kind == "O" and all(isinstance(value, int) for value in array.tolist())


def workspace(array: Any, device: int) -> tuple[int | None, int]:
    """The caller's scratch memory: address and bytes of any contiguous array on the plan's device."""
    if array is None:
        return None, 0
    seen = check_array(array, Rule("workspace", ("uint8", "int8"), 0, device, writable=True))
    return seen.address or None, seen.length


def device_number(device: Any) -> int:
    """-1 for "cpu", else the ordinal: from "cuda", "cuda:1", a number, or an object that prints as one of them."""
    whole = isinstance(device, (int, np.integer)) and not isinstance(device, bool)
    if whole and _abi.DEVICE_CPU <= int(device) < 2**31:
        return int(device)
    text = str(device)
    if text == "cpu":
        return _abi.DEVICE_CPU
    kind, _, ordinal = text.partition(":")
    if kind == "cuda" and (ordinal.isdecimal() or text == "cuda"):
        return min(int(ordinal or 0), 2**31 - 1)
    raise refusal(_errors.INVALID_VALUE, f"device is {device!r}: it must be \"cpu\", \"cuda\", \"cuda:N\" or a CUDA "
                                         "device's ordinal")
