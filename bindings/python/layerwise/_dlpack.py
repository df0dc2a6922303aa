"""DLPack: what an array says of itself in the capsule that it exports (dmlc/dlpack, dlpack.h, versions 0.8 and 1.x)."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any, NamedTuple

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13  # DLDeviceType; pinned host memory counts as the host's
LEGACY_DEFAULT_STREAM = 1  # as __dlpack__ numbers CUDA's streams; 0 is not allowed there

_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}  # DLDataTypeCode
_READ_ONLY, _COPIED = 1, 2  # flags of a versioned capsule


class _Tensor(Structure):
    _fields_ = [("data", c_void_p), ("device_type", c_int32), ("device_id", c_int32), ("ndim", c_int32),
                ("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16), ("shape", POINTER(c_int64)),
                ("strides", POINTER(c_int64)), ("byte_offset", c_uint64)]


class _Managed(Structure):
    _fields_ = [("tensor", _Tensor)]


class _ManagedVersioned(Structure):
    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("context", c_void_p), ("deleter", c_void_p),
                ("flags", c_uint64), ("tensor", _Tensor)]


class Exported(NamedTuple):
    """What a capsule says. The capsule keeps the memory alive and is never consumed: dropping it releases it."""

    capsule: Any
    address: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None  # in elements; None: C-contiguous
    writable: bool
    device_type: int
    device_id: int


def export(array: Any, stream: int | None) -> Exported:
    """Asks the array for its capsule and reads it; whatever the array raises passes through.

    stream  the CUDA stream that the memory will be used on, None or 0 for the legacy default stream: the array's
            library makes that stream wait for its own work. Host memory has no stream.
    """
    options: dict[str, Any] = {}
    if array.__dlpack_device__()[0] in (CUDA, CUDA_MANAGED):
        options["stream"] = stream or LEGACY_DEFAULT_STREAM
    try:
        capsule = array.__dlpack__(max_version=(1, 0), **options)
    except TypeError:  # from before versions
        capsule = array.__dlpack__(**options)
    versioned = bool(_is_valid(capsule, b"dltensor_versioned"))
    if versioned:
        managed: Any = _ManagedVersioned.from_address(_pointer(capsule, b"dltensor_versioned"))
        if managed.major != 1:
            raise BufferError(f"its DLPack version is {managed.major}.{managed.minor}")
        if managed.flags & _COPIED:
            raise BufferError("it comes as a copy")
    else:
        managed = _Managed.from_address(_pointer(capsule, b"dltensor"))
    tensor: _Tensor = managed.tensor
    return Exported(
        capsule, (tensor.data or 0) + tensor.byte_offset, _dtype(tensor), tuple(tensor.shape[:tensor.ndim]),
        tuple(tensor.strides[:tensor.ndim]) if tensor.strides else None,
        not (versioned and managed.flags & _READ_ONLY), tensor.device_type, tensor.device_id)


def _dtype(tensor: _Tensor) -> str:
    kind = _KINDS.get(tensor.code, f"DLPack type {tensor.code} of bits ")
    name = kind if kind == "bool" else f"{kind}{tensor.bits}"
    return name if tensor.lanes == 1 else f"{name}x{tensor.lanes}"


_is_valid: Any = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi))
_pointer: Any = ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi))
