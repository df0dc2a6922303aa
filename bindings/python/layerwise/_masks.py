"""optax's masks over named parameters: a bool, a tree of bools, a function of the tree or of one parameter, or a
condition written out: "ndim > 1", "ndim > 1 and 'embed' not in name"."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Eq: operator.eq,
    ast.NotEq: operator.ne, ast.In: lambda part, whole: part in whole, ast.NotIn: lambda part, whole: part not in whole}
_LABELS = re.compile(r"\s*(\S+) where (.*), else (\S+)\s*$")

Named = Sequence[tuple[str | None, Any]]


def path(name: str) -> str:
    """A name as the keys of nested trees make it, whatever stands between them."""
    return name.replace(".", "/").strip("/")


def leaf_values(tree: Any, named: Named, what: str) -> list[Any]:
    """The value of a mask, or of a tree of labels, for each parameter. Raises TypeError, ValueError."""
    if isinstance(tree, str):
        labels = _LABELS.match(tree)
        if labels:
            inside = leaf_values(labels[2], named, what)
            return [labels[1] if value else labels[3] for value in inside]
        return [_condition(tree, what, name, parameter) for name, parameter in named]
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


def _condition(text: str, what: str, name: str | None, parameter: Any) -> bool:
    """Comparisons of ndim and name, their `in`, startswith and endswith, and, or and not."""
    known = {"ndim": parameter.ndim, "name": name}

    def value(node: ast.AST) -> Any:
        match node:
            case ast.Expression(body=body):
                return value(body)
            case ast.Constant(value=constant):
                return constant
            case ast.Tuple(elts=parts):
                return tuple(map(value, parts))
            case ast.Name(id=key) if key in known and known[key] is not None:
                return known[key]
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not value(operand)
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(map(value, parts))
            case ast.BoolOp(op=ast.Or(), values=parts):
                return any(map(value, parts))
            case ast.Compare(left=left, ops=[comparison], comparators=[right]) if type(comparison) in _COMPARISONS:
                return _COMPARISONS[type(comparison)](value(left), value(right))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="name"), attr=("startswith" | "endswith") as method),
                          args=[part], keywords=[]) if name is not None:
                return getattr(name, method)(value(part))
        raise ValueError

    try:
        found = value(ast.parse(text.strip(), mode="eval"))
        if isinstance(found, bool):
            return found
    except (ValueError, SyntaxError, TypeError):
        pass
    raise ValueError(f"{what} is {text!r}: it must be a condition on ndim, or on name where params have names, as "
                     "'ndim > 1'; for labels as 'decay where ndim > 1, else no_decay'")


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
