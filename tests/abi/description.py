"""description.py HEADER LIBRARY

layerwise_abi_description() and layerwise_status_name() against the header. The expectation is the header's own text: its
#defines, and its structs laid out by ctypes, which follows the platform's C rules.
"""
import ctypes
import json
import re
import sys

SCALARS = {"int32_t": (ctypes.c_int32, "int32"), "int64_t": (ctypes.c_int64, "int64"), "double": (ctypes.c_double, "float64")}


def constants_of(text):
    defines = re.findall(r"^#define (LAYERWISE_\w+) \(?(-?\d+)\)?$", text, flags=re.M)
    return {name: int(value) for name, value in defines}


def field_of(declaration):
    """(name, ctypes type, type name) of a member such as "const int64_t *sizes" or "int64_t reserved[2]"."""
    kind, star, name, count = re.fullmatch(r"(?:const )?(\w+) (\*?)(\w+)(?:\[(\d+)\])?", declaration).groups()
    if star:
        return name, ctypes.c_void_p, "pointer"
    scalar, word = SCALARS.get(kind, (None, None))
    if scalar is None:
        return name, ctypes.c_void_p, "unknown " + kind
    return name, scalar * int(count) if count else scalar, word


def structs_of(text):
    structs = {}
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", text, flags=re.S):
        fields = [field_of(" ".join(declaration.split())) for declaration in body.split(";") if declaration.strip()]
        layout = type(name, (ctypes.Structure,), {"_fields_": [(field, kind) for field, kind, _ in fields]})
        structs[name] = {"size": ctypes.sizeof(layout), "fields": [
            {"name": field, "offset": getattr(layout, field).offset, "size": getattr(layout, field).size, "type": word}
            for field, _, word in fields]}
    return structs


def functions_of(text):
    functions = {}
    for result, name, arguments in re.findall(r"LAYERWISE_API\s+([^;(]*?)(\w+)\(([^;]*?)\);", text, flags=re.S):
        pieces = [] if arguments.strip() == "void" else [" ".join(piece.split()) for piece in arguments.split(",")]
        functions[name] = {"returns": " ".join(result.split()), "arguments": [
            dict(zip(("type", "name"), re.fullmatch(r"(.*?)(\w+)", piece).groups())) for piece in pieces]}
        for argument in functions[name]["arguments"]:
            argument["type"] = argument["type"].strip()
    return functions


def differences(where, found, expected):
    return [f"{where}{key}: library {found.get(key)}, header {expected.get(key)}"
            for key in sorted(set(found) | set(expected)) if found.get(key) != expected.get(key)]


header, library = sys.argv[1:]
text = re.sub(r" *//.*?$|\s*/\*.*?\*/", "", open(header).read(), flags=re.S | re.M)
constants, structs = constants_of(text), structs_of(text)

loaded = ctypes.CDLL(library)
loaded.layerwise_abi_description.restype = ctypes.c_char_p
loaded.layerwise_status_name.restype = ctypes.c_char_p
description = json.loads(loaded.layerwise_abi_description())

functions = functions_of(text)
problems = (differences("", description["constants"], constants) + differences("", description["structs"], structs) +
            differences("", description["functions"], functions))
for name, value in constants.items():
    if name == "LAYERWISE_OK" or name.startswith("LAYERWISE_ERROR_"):
        said = loaded.layerwise_status_name(value).decode()
        if said != name:
            problems.append(f"layerwise_status_name({value}) is {said}, not {name}")
if loaded.layerwise_status_name(-7) != b"unknown status":
    problems.append("layerwise_status_name(-7) is not 'unknown status'")
if len(constants) < 40 or len(structs) < 5 or len(functions) < 15:
    problems.append(f"the header was not understood: {len(constants)} constants, {len(structs)} structs, "
                    f"{len(functions)} functions")
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
