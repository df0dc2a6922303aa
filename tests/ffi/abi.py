"""abi.py LIBRARY [--check FILE]

Prints the library's description of its ABI, one item a line, or holds FILE against it: bindings/abi.json, which is
generated from the header with the layout that ctypes gives its structs.
"""
import ctypes
import difflib
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../src/package/bindings"))
from text import json_lines  # noqa: E402


def described(library):
    loaded = ctypes.CDLL(library)
    loaded.layerwise_abi_description.restype = ctypes.c_char_p
    return json_lines(json.loads(loaded.layerwise_abi_description())) + "\n"


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
