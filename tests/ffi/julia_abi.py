"""julia_abi.py DESCRIPTION ABI_JL CALLS_JL [--self-test]

The Julia package's constants, structs and @ccall signatures against the description of the ABI. Julia need not be there:
both files keep one form, which is read here. With --self-test, planted differences must be found.
"""
import json
import re
import sys

SIZES = {"Int32": (4, "int32"), "Int64": (8, "int64"), "Float64": (8, "float64")}
C_TYPES = {
    "Int32": {"int32_t"}, "Int64": {"int64_t"}, "Cstring": {"const char *"}, "Ref{Int64}": {"int64_t *"},
    "Ptr{UInt8}": {"const uint8_t *"}, "Ptr{Float64}": {"double *", "const double *"}, "Ref{Ptr{Cvoid}}": {"layerwise_plan **"},
    "Ptr{Cvoid}": {"void *", "const void *", "layerwise_plan *", "const layerwise_plan *"},
}


def constants_of(text):
    return {name: int(value) for name, value in re.findall(r"^const (LAYERWISE_\w+) = Int32\((-?\d+)\)$", text, re.M)}


def layout_of(body):
    """Size and members of a struct by the C rules that Julia follows: every member at a multiple of its alignment."""
    fields, end, widest = [], 0, 1
    for name, kind in re.findall(r"^    (\w+)::(\S+)$", body, re.M):
        count, element = re.fullmatch(r"(?:NTuple\{(\d+),)?(.*?)\}?", kind).groups() if "NTuple" in kind else ("1", kind)
        size, word = (8, "pointer") if element.startswith("Ptr{") else SIZES[element]
        end = -(-end // size) * size
        # A trailing underscore keeps a name apart from an operator of Julia's.
        fields.append({"name": name.rstrip("_"), "offset": end, "size": size * int(count), "type": word})
        end += size * int(count)
        widest = max(widest, size)
    return {"size": -(-end // widest) * widest, "fields": fields}


def structs_of(text):
    """{C name: (Julia name, layout)}"""
    form = r"^# (layerwise_\w+)\nmutable struct (\w+)\n(.*?)\n\n    \2\(\) = new\(\)\nend$"
    return {c_name: (name, layout_of(body)) for c_name, name, body in re.findall(form, text, re.M | re.S)}


def functions_of(text):
    """{name: (Julia's result, [(argument, Julia's type)])}; a definition that passes its arguments on in another order,
    or calls another function, is left out and so reported as missing."""
    form = r"^function (\w+)\(([^)]*)\)\n    address = symbol\(:(\w+)\)\n    @ccall \$address\((.*?)\)::(\w+)\nend$"
    functions = {}
    for name, arguments, called, passed, result in re.findall(form, text, re.M | re.S):
        typed = re.findall(r"(\w+)::([\w{}]+)", passed)
        if name == called and re.findall(r"\w+", arguments) == [argument for argument, _ in typed]:
            functions[name] = (result, typed)
    return functions


def signature_matches(there, result, arguments, structs):
    allowed = dict(C_TYPES)
    for c_name, (name, _) in structs.items():
        allowed[f"Ref{{{name}}}"] = {f"{c_name} *", f"const {c_name} *"}
    pairs = [(result, there["returns"]), *((kind, argument["type"]) for (_, kind), argument in
                                           zip(arguments, there["arguments"]))]
    return ([argument for argument, _ in arguments] == [argument["name"] for argument in there["arguments"]] and
            all(c_type in allowed.get(kind, ()) for kind, c_type in pairs))


def problems(description, abi, calls):
    constants, structs, functions = constants_of(abi), structs_of(abi), functions_of(calls)
    for what, ours in (("constants", constants), ("structs", structs), ("functions", functions)):
        for name in sorted(set(ours) ^ set(description[what])):
            yield f"{name}: in the {'package' if name in ours else 'library'} alone"
    for name, value in constants.items():
        if description["constants"].get(name, value) != value:
            yield f"{name}: {value}, the library has {description['constants'][name]}"
    for name, (_, layout) in structs.items():
        if description["structs"].get(name, layout) != layout:
            yield f"{name}: {layout}, the library has {description['structs'][name]}"
    for name, (result, arguments) in functions.items():
        there = description["functions"].get(name)
        if there and not signature_matches(there, result, arguments, structs):
            yield f"{name}: {arguments} -> {result}, the library has {there}"


def self_test(description, abi, calls):
    for find, plant in (("LAYERWISE_QUERY_PATH = Int32(10)", "LAYERWISE_QUERY_PATH = Int32(11)"),
                        ("const LAYERWISE_OK = Int32(0)\n", ""), ("    lr::Float64", "    lr::Int64"),
                        ("    eta::Float64\n", ""), ("key::Int32", "key::Int64"), ("grads::Ptr{Cvoid}, ", ""),
                        ("symbol(:larc_scale)", "symbol(:larc_sgd_step)"), ("status::Int32)::Cstring", "status::Int32)::Int32")):
        assert find in abi + calls, find
        assert list(problems(description, abi.replace(find, plant), calls.replace(find, plant))), f"not found: {plant}"


def main():
    with open(sys.argv[1]) as description, open(sys.argv[2]) as abi, open(sys.argv[3]) as calls:
        given = json.load(description), abi.read(), calls.read()
    if sys.argv[4:] == ["--self-test"]:
        return self_test(*given)
    found = list(problems(*given))
    print("\n".join(found))
    sys.exit(bool(found))


main()
