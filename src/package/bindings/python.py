"""The Python package's _abi.py: constants, structs in ctypes with what their options take, signatures."""
from __future__ import annotations

import re
import textwrap

from model import Family, Header, Member, Struct, Type
from text import GENERATED, WIDTH, camel, commented, flag_words

SCALARS = {"int32_t": "c_int32", "int64_t": "c_int64", "double": "c_double"}
MEMORY = {"float": "float32", "int64_t": "int64"}  # what is behind a pointer to one number

HEAD = '''"""The C ABI of layerwise.h in ctypes: constants, structs and their options, signatures."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_void_p
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypedDict

if TYPE_CHECKING:
    from ._arrays import Array, Integer, Scalar
'''

OPTION = '''

class Option(NamedTuple):
    """What an option takes.

    kind     "number", "integer", "flag", "selector" or "pointer"
    comment  what layerwise.h says of it, in this package's words
    choices  of a selector: its names and their numbers
    memory   the dtype of an array of one element that the step reads when it runs: in place of a number, or behind a
             pointer; None where there is none
    written  whether a pointer's memory is written
    """

    kind: str
    comment: str
    choices: Mapping[str, int] = {}
    memory: str | None = None
    written: bool = False


class Struct(ctypes.Structure):
    """A struct of layerwise.h. options: of a step's, those of its members that a caller chooses, by name."""

    c_name: ClassVar[str]
    options: ClassVar[dict[str, Option]] = {}'''


def files(header: Header) -> dict[str, str]:
    parts = [f"# {GENERATED}", HEAD, *_constants(header), *_stat(header.family("STAT")), OPTION]
    for struct in header.structs:
        parts += _struct(struct, header)
    parts += ["", "", "STRUCTS: list[type[Struct]] = ["
              + ", ".join(camel(struct.name) for struct in header.structs) + "]"]
    for struct in header.step_structs:
        parts += _values(struct, header)
    parts += ["", "", *_signatures(header), ""]
    return {"bindings/python/layerwise/_abi.py": "\n".join(parts)}


def _constants(header: Header) -> list[str]:
    lines = ["CONSTANTS = {"]
    lines += [f"    {_quoted(constant.name)}: {constant.value}," for constant in header.constants]
    lines += ["}"]
    for family in header.families:
        if family.name == "STAT":
            continue
        lines += ["", f"{family.name} = {{"]
        for constant in family.constants:
            line = f"    {_quoted(family.short(constant))}: {constant.value},"
            lines += _explained(line, constant.comment, "#", "    ")
        lines.append("}")
    lines.append("")
    in_families = {constant.name for family in header.families for constant in family.constants
                   if not constant.name.endswith("_COUNT")}
    said = ""
    for constant in header.constants:
        if constant.name not in in_families:
            line = f"{constant.name.removeprefix('LAYERWISE_')} = {constant.value}"
            lines += [line] if constant.comment == said else _explained(line, constant.comment, "#")
            said = constant.comment
    return lines


def _stat(family: Family) -> list[str]:
    """The columns of the statistics, an enumeration."""
    comment = textwrap.wrap(" ".join(family.comment).replace("LAYERWISE_STAT_COUNT", "STAT_COUNT"), WIDTH - 7)
    lines = ["", "", "class Stat(IntEnum):", f'    """{comment[0]}',
             *(f"    {line}" for line in comment[1:]), "",
             "    `stats[:, layerwise.Stat.FACTOR]` is one of them.", '    """', ""]
    for constant in family.constants:
        if not constant.name.endswith("_COUNT"):
            lines += _explained(f"    {constant.name.removeprefix(family.prefix)} = {constant.value}", constant.comment,
                                "#:", "    ")
    return lines


def _struct(struct: Struct, header: Header) -> list[str]:
    lines = ["", "", f"class {camel(struct.name)}(Struct):", f'    """{" ".join(struct.comment)}"""', "",
             f"    c_name = {_quoted(struct.name)}", "    _fields_ = ["]
    lines += [f"        ({_quoted(member.name)}, {_member(member)})," for member in struct.members]
    lines.append("    ]")
    if struct in header.step_structs:
        lines.append("    options = {")
        for member in struct.options:
            lines += _option(member, struct, header)
        lines.append("    }")
    return lines


def _member(member: Member) -> str:
    scalar = "c_void_p" if member.type.pointers else SCALARS[member.type.name]
    return f"{scalar} * {member.count}" if member.count else scalar


def _option(member: Member, struct: Struct, header: Header) -> list[str]:
    arguments = [_quoted(member.kind)]
    memory = member if member.kind == "pointer" else struct.member(member.name + "_ptr")
    comment = words(member, header)
    tail = [f"choices={member.family}"] if member.kind == "selector" else []
    if memory and memory.type.name in MEMORY:
        tail.append(f"memory={_quoted(MEMORY[memory.type.name])}")
    if memory and not memory.type.const and member.kind == "pointer":
        tail.append("written=True")
    line = f"        {_quoted(member.name)}: Option({', '.join([*arguments, _quoted(comment), *tail])}),"
    if len(line) <= WIDTH:
        return [line]
    # Adjacent strings, as many as the lines need.
    indent, pieces = " " * 12, textwrap.wrap(comment, WIDTH - 17, break_on_hyphens=False)
    strings = [_quoted(piece + " ") for piece in pieces[:-1]] + [_quoted(pieces[-1]) + ("," if tail else "),")]
    lines = [f"        {_quoted(member.name)}: Option({arguments[0]},", *(indent + text for text in strings)]
    return [*lines, indent + ", ".join(tail) + "),"] if tail else lines


def words(member: Member, header: Header) -> str:
    """The comment, with this language's names: True for 1, "l2" for L2, None for NULL."""
    text = re.sub(r"\bNULL\b", "None", member.comment)
    text = re.sub(r"\b(\w+) or \1_ptr\b|\*(\w+)_ptr\b", r"\1\2", text)
    if member.kind == "flag":
        return flag_words(text, "True", "False")
    if member.kind != "selector":
        return text
    family = header.family(member.family or "")
    names = [f'"{family.short(constant)}"' for constant in family.constants]
    text = text.replace(family.prefix, " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0])
    for constant in family.constants:
        text = re.sub(rf"\b{constant.name.removeprefix(family.prefix)}\b", f'"{family.short(constant)}"', text)
    return text


def _values(struct: Struct, header: Header) -> list[str]:
    """A TypedDict of the options, for type checkers: a step's keywords, those aside that have no default."""
    lines = ["", "", f"class {camel(struct.name).replace('Options', 'Values')}(TypedDict, total=False):",
             f'    """{camel(struct.name)} as keywords."""', ""]
    for member in struct.options:
        if not member.needed:
            lines.append(f"    {member.name}: {_value_type(member, struct, header)} | None")
    return lines


def _value_type(member: Member, struct: Struct, header: Header) -> str:
    in_memory = struct.member(member.name + "_ptr") is not None
    if member.kind == "selector":
        family = header.family(member.family or "")
        return "Literal[" + ", ".join(f'"{family.short(constant)}"' for constant in family.constants) + "]"
    return {"number": "Scalar" if in_memory else "float", "integer": "Integer" if in_memory else "int", "flag": "bool",
            "pointer": "Array"}[member.kind]


def _signatures(header: Header) -> list[str]:
    lines = ["# name: (result, arguments), in the order of layerwise.h",
             "SIGNATURES: dict[str, tuple[Any, list[Any]]] = {"]
    for function in header.functions:
        arguments = [_argument(type_, header) for _, type_ in function.arguments]
        opening = f"    {_quoted(function.name)}: ({_argument(function.result, header)}, ["
        if len(opening + ", ".join(arguments)) + 3 <= WIDTH:
            lines.append(f"{opening}{', '.join(arguments)}]),")
        else:
            lines += [opening, *textwrap.wrap(", ".join(arguments), WIDTH, initial_indent=" " * 8,
                                              subsequent_indent=" " * 8), "    ]),"]
    return [*lines, "}"]


def _argument(type_: Type, header: Header) -> str:
    """A buffer is an address: only what this package fills itself has a type behind its pointer."""
    if type_ == Type("char", 1, const=True):
        return "c_char_p"
    if type_.pointers == 0:
        return SCALARS[type_.name]
    if type_.pointers == 2:
        return "POINTER(c_void_p)"
    if type_.name in [struct.name for struct in header.structs]:
        return f"POINTER({camel(type_.name)})"
    return "POINTER(c_int64)" if type_.name == "int64_t" else "c_void_p"


def _explained(line: str, comment: str, mark: str, indent: str = "") -> list[str]:
    whole = f"{line}  {mark} {comment}"
    return [whole] if len(whole) <= WIDTH else [*commented(comment, mark, indent), line]


def _quoted(text: str) -> str:
    if '"' in text:
        return f"'{text}'" if "'" not in text else '"' + text.replace('"', '\\"') + '"'
    return f'"{text}"'
