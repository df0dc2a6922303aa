"""optax's masks over named parameters: a bool, a tree of bools, a function of the tree or of one parameter, or a
condition on dimensions written out."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne}
_CONDITION = re.compile(r"\s*ndim\s*(>=|<=|==|!=|>|<)\s*(\d+)\s*$")
_LABELS = re.compile(r"\s*(\w+) where (.*), else (\w+)\s*$")

Named = Sequence[tuple[str | None, Any]]


def path(name: str) -> str:
    """A name as the keys of nested trees make it, whatever stands between them."""
    return name.replace(".", "/").strip("/")


def leaf_values(tree: Any, named: Named, what: str) -> list[Any]:
    """The value of a mask, or of a tree of labels, for each parameter. Raises TypeError, ValueError."""
    if isinstance(tree, str):
        condition, labels = _CONDITION.match(tree), _LABELS.match(tree)
        if labels:
            inside = leaf_values(labels[2], named, what)
            return [labels[1] if value else labels[3] for value in inside]
        if condition is None:
            raise ValueError(f"{what} is {tree!r}: it must be a condition as 'ndim > 1'; for labels 'decay where ndim "
                             "> 1, else no_decay'")
        compare = _COMPARISONS[condition[1]]
        return [compare(parameter.ndim, int(condition[2])) for _, parameter in named]
    if callable(tree):
        return _asked(tree, named, what)
    if isinstance(tree, Mapping):
        flat = dict(_flat(tree, ""))
        return [_prefix(flat, name, what) for name, _ in named]
    if isinstance(tree, (list, tuple)):
        if len(tree) != len(named):
            raise ValueError(f"{what} has {len(tree)} leaves: there are {len(named)} parameters")
        return list(tree)
    return [tree] * len(named)


def _asked(function: Callable[[Any], Any], named: Named, what: str) -> list[Any]:
    """A function of the tree, as optax has it; one that takes a single parameter fails on a dictionary."""
    has_names = all(name is not None for name, _ in named)
    tree = dict(named) if has_names else [parameter for _, parameter in named]
    try:
        found = function(tree)
    except (AttributeError, TypeError):
        return [function(parameter) for _, parameter in named]
    if callable(found):
        raise TypeError(f"{what} returns {found!r}: it must return a tree of values")
    return leaf_values(found, named, what)


def _flat(tree: Any, before: str) -> list[tuple[str, Any]]:
    if not isinstance(tree, Mapping):
        return [(path(before), tree)]
    return [leaf for key, below in tree.items() for leaf in _flat(below, f"{before}/{key}")]


def _prefix(flat: Mapping[str, Any], name: str | None, what: str) -> Any:
    """The leaf that a name lies at or below."""
    if name is None:
        raise ValueError(f"{what} is a tree of names: give params as pairs of name and parameter")
    parts = path(name).split("/")
    for end in range(len(parts), -1, -1):
        key = "/".join(parts[:end])
        if key in flat:
            return flat[key]
    raise ValueError(f"{what} has no leaf for {name!r}; it has {', '.join(map(repr, flat))}")
