"""julia_syntax.py PATH... | --self-test

Parses Julia sources, and the julia blocks of Markdown files, with tree-sitter's grammar: what it cannot parse is named.
"""
import re
import sys

import tree_sitter
import tree_sitter_julia


def problems(text):
    """The lines where the grammar has no way on."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_julia.language()))
    waiting, found = [parser.parse(text.encode()).root_node], []
    while waiting:
        node = waiting.pop()
        if node.is_error or node.is_missing:
            found.append(node.start_point[0] + 1)
        elif node.has_error:
            waiting.extend(node.children)
    return sorted(found)


def sources(path):
    with open(path) as file:
        text = file.read()
    if not path.endswith(".md"):
        return [text]
    return re.findall(r"^```julia\n(.*?)^```$", text, flags=re.S | re.M)


def self_test():
    for good in ("f(x) = x + 1\n", "y = @ccall $p(a::Ref{T}, b::Int64)::Int32\n"):
        assert not problems(good), good
    for bad in ("f(x = \n", "function f(x)\n    x +\n", "struct A\n    x::\n"):
        assert problems(bad), bad


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    parsed = [(path, text) for path in sys.argv[1:] for text in sources(path)]
    wrong = [f"{path}: line {line} (of its block, in Markdown) does not parse"
             for path, text in parsed for line in problems(text)]
    print("\n".join([f"{len(parsed)} sources", *wrong]))
    sys.exit(bool(wrong) or not parsed)


main()
