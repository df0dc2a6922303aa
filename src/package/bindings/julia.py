"""The Julia package's abi.jl, constants and structs, and calls.jl, functions."""
from __future__ import annotations

from model import Family, Header, Member, Struct, Type
from text import GENERATED, call, camel, commented, summary

FOLDER = "bindings/julia/src"
SCALARS = {"uint8_t": "UInt8", "int32_t": "Int32", "int64_t": "Int64", "float": "Float32", "double": "Float64"}
OPERATORS = ("isa",)  # a trailing underscore keeps a name apart from them


def files(header: Header) -> dict[str, str]:
    abi = [f"# {GENERATED}", "# The constants and structs of layerwise.h, which is the reference."]
    for group in header.groups:
        abi.append("")
        for constant in group:
            abi += [*commented(constant.comment, "#"), f"const {constant.name} = Int32({constant.value})"]
    for struct in header.structs:
        abi += ["", *_struct(struct)]
    abi += ["", "# The choices of the options that have names for them.", *_selectors(header), "",
            *_names(header.family("STAT"))]
    calls = [f"# {GENERATED}", "# Every function of layerwise.h, name for name."]
    for function in header.functions:
        arguments = [f"{name}::{_argument(type_, header)}" for name, type_ in function.arguments]
        calls += ["", *commented(summary(function.comment)[0], "#"),
                  *call(f"function {function.name}(", [name for name, _ in function.arguments], ")"),
                  f"    address = symbol(:{function.name})",
                  *call("    @ccall $address(", arguments, f")::{_argument(function.result, header)}"), "end"]
    return {f"{FOLDER}/abi.jl": "\n".join([*abi, ""]), f"{FOLDER}/calls.jl": "\n".join([*calls, ""])}


def _struct(struct: Struct) -> list[str]:
    name = camel(struct.name)
    lines = [*commented(" ".join(struct.comment), "#"), f"# {struct.name}", f"mutable struct {name}"]
    for member in struct.members:
        lines += [*commented(member.comment, "#", "    "), f"    {_name(member.name)}::{_member(member)}"]
    return [*lines, "", f"    {name}() = new()", "end"]


def _name(name: str) -> str:
    return name + "_" if name in OPERATORS else name


def _member(member: Member) -> str:
    if member.type.pointers:
        return f"Ptr{{{SCALARS.get(member.type.name, 'Cvoid')}}}"
    scalar = SCALARS[member.type.name]
    return f"NTuple{{{member.count},{scalar}}}" if member.count else scalar


def _argument(type_: Type, header: Header) -> str:
    if type_ == Type("char", 1, const=True):
        return "Cstring"
    if type_.pointers == 2:
        return "Ref{Ptr{Cvoid}}"
    if type_.pointers == 0:
        return SCALARS[type_.name]
    if type_.name in [struct.name for struct in header.structs]:
        return f"Ref{{{camel(type_.name)}}}"
    return "Ref{Int64}" if type_.name == "int64_t" else f"Ptr{{{SCALARS.get(type_.name, 'Cvoid')}}}"


def _selectors(header: Header) -> list[str]:
    chosen = {member.name: member.family for struct in header.step_structs for member in struct.options
              if member.kind == "selector"}
    lines = ["const SELECTORS = ("]
    for name, family in chosen.items():
        choices = [f"{header.family(family).short(constant)} = {constant.name}"
                   for constant in header.family(family).constants]
        lines += call(f"    {name} = (", choices, "),")
    return [*lines, ")"]


def _names(stats: Family) -> list[str]:
    names = [f":{stats.short(constant)}" for constant in stats.constants if stats.short(constant) != "count"]
    return ["\"Rows of `layer_stats`, a `Matrix{Float64}` of one column a layer; NaN where a step has no such value.\"",
            *call("const STATISTICS = (", names, ")")]
