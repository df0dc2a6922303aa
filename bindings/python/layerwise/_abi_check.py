"""Holds what _abi.py says of the ABI against the library that was loaded."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from ctypes import c_double, c_int32, c_int64, c_void_p
from typing import Any

from . import _abi
from ._errors import AbiMismatchError


def bind(library: ctypes.CDLL) -> None:
    """Gives every function its argument and result types."""
    for name, (result, arguments) in _abi.SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise AbiMismatchError(f"{library._name} does not export {name}: it is not a layerwise library of this "
                                   f"ABI version ({_abi.ABI_VERSION})", name) from None
        function.restype = result
        function.argtypes = arguments


def check_description(description: str, path: str) -> None:
    """Holds the library's own account of its ABI against this package. Raises AbiMismatchError naming the field.

    The library may have another version, structs may be longer in a newer one, and what is reserved here may have a
    name there: struct_size and the rule that reserved fields are 0 make it safe. Everything else must be the same.
    """
    def fail(field: str, here: object, there: object) -> None:
        raise AbiMismatchError(f"{path} does not match this package: {field} is {there} in the library and {here} in "
                               "the package. Install the package and the library of the same version.", field)

    try:
        account = json.loads(description)
        constants, structs = account["constants"], account["structs"]
    except (ValueError, KeyError, TypeError) as problem:
        raise AbiMismatchError(f"{path} does not describe its ABI: {problem!r}", "layerwise_abi_description") from None
    for name, number in _abi.CONSTANTS.items():
        if constants.get(name) != number and not name.startswith("LAYERWISE_VERSION_"):
            fail(name, number, constants.get(name, "missing"))
    for struct in _abi.STRUCTS:
        _check_struct(struct, structs.get(struct.c_name), fail)


def _check_struct(struct: type[_abi.Struct], account: Any, fail: Callable[[str, object, object], None]) -> None:
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


def _fields(struct: type[_abi.Struct]) -> list[tuple[str, Any]]:
    return [(str(field[0]), field[1]) for field in struct._fields_]


def _words(offset: int, size: int, kind: str) -> str:
    return f"{kind} of {size} bytes at offset {offset}"
