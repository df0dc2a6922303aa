"""python_abi.py DESCRIPTION PACKAGE

The Python package's constants, structs and signatures against the description of the ABI. Only the modules with them are
loaded, so NumPy need not be there. The package itself compares the library that it loads in the same way.
"""
import ctypes
import importlib.util
import json
import sys
import types

SCALARS = {"int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64}


def load_abi(folder):
    package = types.ModuleType("layerwise")
    package.__path__ = [folder]
    sys.modules["layerwise"] = package
    return importlib.import_module("layerwise._abi"), importlib.import_module("layerwise._abi_check")


def type_problem(kind, ours, structs):
    """What is wrong with a ctypes type where the library has this C type; None if nothing."""
    if kind in SCALARS:
        return None if ours is SCALARS[kind] else f"{ours} for {kind}"
    if kind == "const char *":
        return None if ours is ctypes.c_char_p else f"{ours} for {kind}"
    target = kind.replace("const ", "").rstrip("* ")
    if target in structs and kind.count("*") == 1:
        return None if ours is ctypes.POINTER(structs[target]) else f"{ours} for {kind}"
    is_pointer = ours is ctypes.c_void_p or issubclass(ours, ctypes._Pointer)
    return None if is_pointer and kind.endswith("*") else f"{ours} for {kind}"


def signature_problems(functions, signatures, structs):
    for name in sorted(set(functions) ^ set(signatures)):
        yield f"{name}: in the {'library' if name in functions else 'package'} alone"
    for name in sorted(set(functions) & set(signatures)):
        result, arguments = signatures[name]
        kinds = [argument["type"] for argument in functions[name]["arguments"]]
        if len(kinds) != len(arguments):
            yield f"{name}: {len(arguments)} arguments, the library has {len(kinds)}"
            continue
        for kind, ours in zip([functions[name]["returns"], *kinds], [result, *arguments]):
            problem = type_problem(kind, ours, structs)
            if problem:
                yield f"{name}: {problem}"


def struct_problems(described, structs):
    for name in sorted(set(described) ^ set(structs)):
        yield f"{name}: in the {'library' if name in described else 'package'} alone"
    for name in sorted(set(described) & set(structs)):
        fields = [field["name"] for field in described[name]["fields"]]
        ours = [field[0] for field in structs[name]._fields_]
        if fields != ours or ctypes.sizeof(structs[name]) != described[name]["size"]:
            yield f"{name}: {ours}, {ctypes.sizeof(structs[name])} bytes; the library: {described[name]}"


def main():
    path, folder = sys.argv[1:]
    with open(path) as file:
        text = file.read()
    description, (abi, abi_check) = json.loads(text), load_abi(folder)
    structs = {struct.c_name: struct for struct in abi.STRUCTS}
    problems = [*struct_problems(description["structs"], structs),
                *signature_problems(description["functions"], abi.SIGNATURES, structs)]
    try:
        abi_check.check_description(text, path)
    except Exception as problem:
        problems.append(str(problem))
    print("\n".join(problems))
    sys.exit(bool(problems))


main()
