"""src/abi_table.h: what src/abi.cpp makes layerwise_abi_description from. Types and sizes are the compiler's to say."""
from __future__ import annotations

from model import Header
from text import GENERATED, WIDTH


def files(header: Header) -> dict[str, str]:
    constants = [f"CONSTANT({constant.name})" for constant in header.constants]
    structs = []
    for struct in header.structs:
        structs += [f"STRUCT({struct.name})", *(f"FIELD({struct.name}, {member.name})" for member in struct.members),
                    f"END_STRUCT({struct.name})"]
    functions = ["FUNCTION(" + ", ".join([function.name, *(f'"{name}"' for name, _ in function.arguments)]) + ")"
                 for function in header.functions]
    named = [f"TYPE({name})" for name in [*header.opaque, *(struct.name for struct in header.structs)]]
    return {"src/abi_table.h": "\n".join([
        f"// {GENERATED}", "// clang-format off", "#pragma once", "",
        *_macro("LAYERWISE_ABI_TYPES(TYPE)", named), "",
        *_macro("LAYERWISE_ABI_CONSTANTS(CONSTANT)", constants), "",
        *_macro("LAYERWISE_ABI_STRUCTS(STRUCT, FIELD, END_STRUCT)", structs), "",
        *_macro("LAYERWISE_ABI_FUNCTIONS(FUNCTION)", functions), ""])}


def _macro(name: str, items: list[str]) -> list[str]:
    lines = [f"#define {name}"]
    for item in items:
        while len(item) + 4 > WIDTH:  # a long list of arguments
            cut = item.rindex(", ", 0, WIDTH - 4) + 1
            lines.append("  " + item[:cut])
            item = "  " + item[cut + 1:]
        lines.append("  " + item)
    return [line + " \\" for line in lines[:-1]] + lines[-1:]
