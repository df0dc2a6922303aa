"""What the writers of several languages need: the first line, line breaks, names."""
from __future__ import annotations

import json
import re
import textwrap
from typing import Any

WIDTH = 120
GENERATED = "Generated from include/layerwise.h by src/package/bindings: cmake --build BUILD --target bindings."


def camel(name: str) -> str:
    """layerwise_larc_options: LarcOptions; ZERO_NORM: ZeroNorm"""
    return "".join(word.capitalize() for word in name.removeprefix("layerwise_").lower().split("_"))


def commented(text: str, mark: str, indent: str = "") -> list[str]:
    """The text as lines of comment, each with the mark before it."""
    return textwrap.wrap(text, WIDTH, initial_indent=f"{indent}{mark} ", subsequent_indent=f"{indent}{mark} ",
                         break_long_words=False, break_on_hyphens=False)


def call(opening: str, items: list[str], closing: str) -> list[str]:
    """`opening` and `closing` around items parted by commas, broken where a line is full, aligned with the first."""
    lines, indent = [opening], " " * (opening.rindex("(") + 1)
    for number, item in enumerate(items):
        piece = item + (closing if number == len(items) - 1 else ",")
        if len(lines[-1]) + len(piece) + 1 > WIDTH:
            lines.append(indent + piece)
        else:
            lines[-1] += ("" if lines[-1] == opening else " ") + piece
    return lines if items else [opening + closing]


def summary(comment: list[str]) -> tuple[str, list[str]]:
    """A function's comment as its first paragraph, up to the list of arguments, and the lines after it."""
    count = next((number for number, line in enumerate(comment)
                  if not line or re.match(r"\w+(, \w+)*  +\S|(Returns|Ownership|Synchronous|Touches)\b", line)),
                 len(comment))
    rest = comment[count:]
    while rest and not rest[0]:
        rest = rest[1:]
    return " ".join(comment[:count]), rest


def flag_words(text: str, true: str, false: str) -> str:
    """The comment of a flag, in a language that has truth values."""
    for number, word in (("1", true), ("0", false)):
        text = re.sub(rf"^{number}( \(default\))?: ", rf"{word}\1: ", text)
        text = re.sub(rf"\bdefault {number}\b", f"default {word}", text)
    return text


def json_lines(value: Any, indent: str = "") -> str:
    """JSON with a line for each constant, struct, member, function and argument."""
    flat = isinstance(value, dict) and not any(isinstance(member, (dict, list)) for member in value.values())
    if not isinstance(value, (dict, list)) or not value or (flat and len(value) <= 4):
        return json.dumps(value)
    deeper = indent + " "
    if isinstance(value, list):
        return "[\n" + ",\n".join(deeper + json_lines(item, deeper) for item in value) + "]"
    items = [f"{deeper}{json.dumps(key)}: {json_lines(item, deeper)}" for key, item in value.items()]
    return "{\n" + ",\n".join(items) + "}"
