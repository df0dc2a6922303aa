"""Functions that take the options of a step by name: what they show of them."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar

from . import _abi

if sys.version_info >= (3, 11):
    from typing import Unpack as Unpack
elif TYPE_CHECKING:
    from typing_extensions import Unpack as Unpack
else:  # read by type checkers alone
    Unpack = dict

Method = TypeVar("Method", bound=Callable[..., Any])

_TYPES = {"number": "float", "integer": "int", "flag": "bool", "pointer": "Array"}
_IN_MEMORY = {"number": "Scalar", "integer": "Integer"}  # or an array of one element
_WIDTH = 23


def takes(*structs: type[_abi.Struct], without: Collection[str] = (),
          **own_defaults: Any) -> Callable[[Method], Method]:
    """For a function with **options. Its signature gets every option of these structs that it does not name itself, and
    its docstring, in place of the line "{options}", what layerwise.h says of those that it does not explain. The
    default that is shown is None, the library's, where it is not given here."""
    options = {name: option for struct in structs for name, option in struct.options.items() if name not in without}

    def show(method: Method) -> Method:
        signature = inspect.signature(method)
        own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
        named = {parameter.name for parameter in own}
        shown = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=own_defaults.get(name),
                                   annotation=_annotation(option))
                 for name, option in options.items() if name not in named]
        setattr(method, "__signature__", signature.replace(parameters=[*own, *shown]))  # noqa: B010
        if method.__doc__:
            method.__doc__ = _explained(inspect.cleandoc(method.__doc__), options)
        return method

    return show


def _annotation(option: _abi.Option) -> str:
    if option.kind == "selector":
        return f"Literal[{', '.join(map(repr, option.choices))}] | None"
    return (_IN_MEMORY if option.memory and option.kind in _IN_MEMORY else _TYPES)[option.kind] + " | None"


def _explained(text: str, options: dict[str, Any]) -> str:
    explained = {name for line in re.findall(r"^(\w+(?:, \w+)*)(?:  |$)", text, re.M) for name in line.split(", ")}
    lines = [textwrap.fill(f"{name:<{_WIDTH}} {option.comment}", 110, subsequent_indent=" " * (_WIDTH + 1))
             for name, option in options.items() if name not in explained]
    return text.replace("{options}", "\n".join(lines))
