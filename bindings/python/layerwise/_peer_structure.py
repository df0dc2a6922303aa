"""The structure of a peer's checkpoint, as the table writes it: the leaves of one, and the paths that it must have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ._masks import path
from ._peer_arguments import Told
from ._peers import GROUPS


class Place(NamedTuple):
    """A parameter, and what the templates call it."""

    number: int  # among all groups
    order: int  # in the peer's own
    name: str | None
    label: Any
    parameter: Any


def leaves(value: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers and arrays of nested containers, by their paths."""
    if hasattr(value, "_fields"):  # a named tuple
        value = dict(zip(value._fields, value, strict=True))
    if isinstance(value, Sequence) and not isinstance(value, str) and not _is_array(value):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from leaves(below, f"{before}/{key}")
    elif value is not None and not isinstance(value, str):
        yield leaf_key(before), value


def leaf_key(key: str) -> str:
    return path(key.removesuffix(":0"))


def _is_array(value: Sequence[Any]) -> bool:
    return len(value) > 0 and all(isinstance(each, (bool, int, float)) or (
        isinstance(each, (list, tuple)) and _is_array(each)) for each in value)


def fill_in(key: str, place: Place | None, asked: Told) -> str:
    key = key.replace("{optimizer}", str(asked.arguments.get("name")))
    if place is None:
        return key
    if "{name}" in key and place.name is None:
        raise ValueError(f"{asked.name} saves its state by names: give params as pairs of name and parameter")
    name = (place.name or "").strip("/").removesuffix(":0")
    return (key.replace("{name}", name).replace("{number}", str(place.number))
            .replace("{index}", str(place.order)))


OF_A_PARAMETER = re.compile(r"\{(name|number|index)\}")


def expected(template: Any, places: Sequence[Place], asked: Told, before: str = "",
             place: Place | None = None) -> Iterator[tuple[str, str, Place | None]]:
    """The paths of a checkpoint, what lies there, and of which parameter."""
    if isinstance(template, list):
        for number, below in enumerate(template):
            if isinstance(below, Mapping) and "{number}" in below:
                yield from expected(below, places, asked, before, place)
            else:
                yield from expected(below, places, asked, f"{before}/{number}", place)
    elif isinstance(template, Mapping):
        for key, below in template.items():
            if key == "type" or below is GROUPS:
                continue
            if key == "{label}":
                for label in asked.labels or {}:
                    yield from expected(below, [each for each in places if each.label == label], asked,
                                        f"{before}/{label}", place)
            elif OF_A_PARAMETER.search(key):
                for each in places:
                    yield from expected(below, places, asked, f"{before}/{fill_in(key, each, asked)}", each)
            else:
                yield from expected(below, places, asked, f"{before}/{fill_in(key, None, asked)}", place)
    else:
        yield leaf_key(before), template, place
