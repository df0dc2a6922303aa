"""c_page.py HEADER PAGE: include/layerwise.h as a page for Sphinx, in the header's order. Comments are shown as they
are written there: formulas and columns stand as in the header."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ITEM = re.compile(r"(?:/\*((?:[^*]|\*(?!/))*)\*/\n)?"  # the comment right above
                  r"((?:#define LAYERWISE_[A-Z].*\n(?: {20,}.*\n)*)+"  # a comment may go on below a constant
                  r"|typedef struct (\w+) \{\n(?:.*\n)*?\} \w+;\n"
                  r"|typedef struct \w+ \w+;\n"
                  r"|LAYERWISE_API [^;]+;\n)"
                  r"|/\* ---- (.+?) -{3,}(?: \*/|((?:[^*]|\*(?!/))*)\*/)\n")


def page(header: str) -> str:
    opening, _, rest = header.partition(" */\n#ifndef LAYERWISE_H")
    lines = ["layerwise.h", "===========", "", *literal(opening.removeprefix("/* "))]
    for comment, code, struct, section, about in ITEM.findall(rest):
        if section:
            lines += [section, "-" * len(section), "", *literal(about)]
        elif code.startswith("LAYERWISE_API"):
            declaration = " ".join(code.removeprefix("LAYERWISE_API ").split())[:-1]
            lines += [*titled(re.search(r"(\w+)\(", code)[1]), f".. c:function:: {declaration}", "", *literal(comment)]
        elif struct:
            lines += [*titled(struct), f".. c:struct:: {struct}", "", *literal(comment), *literal(code, "c")]
        elif code.startswith("typedef"):
            name = code.split()[-1][:-1]
            lines += [*titled(name), f".. c:struct:: {name}", "", *literal(comment)]
        elif not code.startswith("#define LAYERWISE_API"):
            lines += [*literal(comment), *literal(code, "c")]
    return "\n".join(lines) + "\n"


def titled(name: str) -> list[str]:
    return [name, "~" * len(name), ""]


def literal(text: str, language: str = "none") -> list[str]:
    """A comment, or code, line by line."""
    lines = text.strip("\n").splitlines()
    if language != "c":
        lines = [re.sub(r"^ \*? ?", "", line).rstrip() for line in lines]
    lines = [line for line in lines if not re.fullmatch(r"//\[/?example\]", line)]
    if not any(lines):
        return []
    return [f".. code-block:: {language}", "", *(f"   {line}" for line in lines), ""]


if __name__ == "__main__":
    header, target = map(Path, sys.argv[1:])
    target.write_text(page(header.read_text()))
