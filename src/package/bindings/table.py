"""src/abi_table.h: the header's names as macros, for layerwise_abi_description, for the checks of flags and choices, and
for the hyper-parameters that the numerics take as they are, whose structs are src/numerics/hyper.h. Types and sizes are
the compiler's to say."""
from __future__ import annotations

from model import Header, HeaderError, Member, Struct
from text import GENERATED, WIDTH, camel


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
        *_macro("LAYERWISE_ABI_FUNCTIONS(FUNCTION)", functions),
        *(line for struct in header.step_structs for line in _options(struct, header)), ""]),
        "src/numerics/hyper.h": "\n".join([
            f"// {GENERATED}", "// The options of each step that are plain numbers and flags, by the header's names.",
            "// clang-format off", "#pragma once", "", "namespace layerwise {",
            *(line for struct in header.step_structs for line in _plain_struct(struct)), "",
            "}  // namespace layerwise", ""])}


def _options(struct: Struct, header: Header) -> list[str]:
    """The flags and choices of a step's options, each with the least and the most of its values; and what is plain."""
    name = struct.name.upper().removesuffix("_OPTIONS")
    choices = [f"CHOICE({member.name}, {_range(member, header)})" for member in struct.options
               if member.kind in ("flag", "selector")]
    return ["", f"// {struct.name}", *_macro(f"{name}_CHOICES(CHOICE)", choices), "",
            *_macro(f"{name}_PLAIN(OPTION)", [f"OPTION({member.name})" for member in _plain(struct)])]


def _plain(struct: Struct) -> list[Member]:
    """Numbers that have no place in memory, and the flags that are of the rule: advance_step is of the call."""
    return [member for member in struct.options if member.kind in ("number", "flag") and member.name != "advance_step"
            and not struct.member(member.name + "_ptr")]


def _plain_struct(struct: Struct) -> list[str]:
    return ["", f"struct {camel(struct.name).removesuffix('Options')}Plain {{",
            *(f"  {'double' if member.kind == 'number' else 'bool'} {member.name};" for member in _plain(struct)), "};"]


def _range(member: Member, header: Header) -> str:
    if member.kind == "flag":
        return "0, 1"
    constants = sorted(header.family(member.family or "").constants, key=lambda constant: constant.value)
    if [constant.value - constants[0].value for constant in constants] != list(range(len(constants))):
        raise HeaderError(f"{member.name}: the values of its constants are not one after the other")
    return f"{constants[0].name}, {constants[-1].name}"


def _macro(name: str, items: list[str]) -> list[str]:
    lines = [f"#define {name}"]
    for item in items:
        while len(item) + 4 > WIDTH:  # a long list of arguments
            cut = item.rindex(", ", 0, WIDTH - 4) + 1
            lines.append("  " + item[:cut])
            item = "  " + item[cut + 1:]
        lines.append("  " + item)
    return [line + " \\" for line in lines[:-1]] + lines[-1:]
