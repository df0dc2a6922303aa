"""abi.py LIBRARY [--check FILE]

Prints the library's description of its ABI, one item a line, or holds FILE against it. A change of the ABI so shows in
bindings/abi.json:  python3 tests/ffi/abi.py build/liblayerwise.so > bindings/abi.json
"""
import ctypes
import difflib
import json
import sys


def lines(value, indent=""):
    """JSON with a line for each constant, struct, member, function and argument."""
    flat = isinstance(value, dict) and not any(isinstance(member, (dict, list)) for member in value.values())
    if not isinstance(value, (dict, list)) or not value or (flat and len(value) <= 4):
        return json.dumps(value)
    deeper = indent + " "
    if isinstance(value, list):
        return "[\n" + ",\n".join(deeper + lines(item, deeper) for item in value) + "]"
    return "{\n" + ",\n".join(f"{deeper}{json.dumps(key)}: {lines(item, deeper)}" for key, item in value.items()) + "}"


def described(library):
    loaded = ctypes.CDLL(library)
    loaded.layerwise_abi_description.restype = ctypes.c_char_p
    return lines(json.loads(loaded.layerwise_abi_description())) + "\n"


def main():
    library, *check = sys.argv[1:]
    text = described(library)
    if not check:
        sys.stdout.write(text)
        return
    with open(check[1]) as file:
        kept = file.read()
    difference = difflib.unified_diff(kept.splitlines(), text.splitlines(), check[1], "the library", lineterm="")
    print("\n".join(difference))
    sys.exit(kept != text)


main()
