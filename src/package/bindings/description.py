"""bindings/abi.json: the description that the library prints of itself, laid out by ctypes, which follows C's rules."""
from __future__ import annotations

import ctypes
from typing import Any

from model import Header, Member
from text import json_lines

SCALARS = {"int32_t": (ctypes.c_int32, "int32"), "int64_t": (ctypes.c_int64, "int64"),
           "double": (ctypes.c_double, "float64")}


def files(header: Header) -> dict[str, str]:
    return {"bindings/abi.json": json_lines(describe(header)) + "\n"}


def describe(header: Header) -> dict[str, Any]:
    structs = {}
    for struct in header.structs:
        layout = type(struct.name, (ctypes.Structure,), {
            "_fields_": [(member.name, _ctype(member)) for member in struct.members]})
        structs[struct.name] = {"size": ctypes.sizeof(layout), "fields": [
            {"name": member.name, "offset": getattr(layout, member.name).offset,
             "size": getattr(layout, member.name).size,
             "type": "pointer" if member.type.pointers else SCALARS[member.type.name][1]}
            for member in struct.members]}
    return {"constants": {constant.name: constant.value for constant in header.constants}, "structs": structs,
            "functions": {function.name: {"returns": str(function.result), "arguments": [
                {"name": name, "type": str(type_)} for name, type_ in function.arguments]}
                for function in header.functions}}


def _ctype(member: Member) -> Any:
    scalar = ctypes.c_void_p if member.type.pointers else SCALARS[member.type.name][0]
    return scalar * member.count if member.count else scalar
