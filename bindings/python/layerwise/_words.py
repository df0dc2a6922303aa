"""The library's messages in Python's words: it names C's arguments and constants, which nobody wrote here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from . import _abi
from ._errors import Error

_FUNCTIONS = {
    "layerwise_plan_create": "Plan", "layerwise_plan_set_layers": "set_layers", "layerwise_plan_reset": "reset",
    "layerwise_plan_query": "Plan", "layerwise_partial_norms": "partial_norms",
    "layerwise_larc_novograd_step": "novograd_step with larc", "layerwise_novograd_apply": "novograd_step",
    "layerwise_larc_apply": "LARC with grad_sums",
}
_CHOICES: dict[str, dict[str, int]] = {
    name: dict(option.choices) for struct in (_abi.NovogradOptions, _abi.LarcOptions, _abi.SgdOptions)
    for name, option in struct.options.items() if option.kind == "selector"} | {
        "layout": _abi.LAYOUT, "isa": _abi.ISA, "path": {**_abi.PATH, "auto": 0}}
_FLAGS = {name for struct in (_abi.NovogradOptions, _abi.LarcOptions, _abi.SgdOptions)
          for name, option in struct.options.items() if option.kind == "flag"}
_CONSTANTS = {f"LAYERWISE_{prefix}_{name.upper()}": name
              for prefix in ("DTYPE", "LAYOUT", "ISA", "NORM", "SEED", "DECOUPLED", "LARC", "FOLD", "ZERO_NORM",
                             "ZERO_GRAD", "ROUNDING", "PATH") for name in getattr(_abi, prefix)} | {
                                 "LAYERWISE_DEVICE_CPU": "cpu"}
_STEP_IN_MEMORY = "an int64 array of the completed steps"

Rewrite = Callable[["re.Match[str]"], str]


def _choice(found: re.Match[str]) -> str:
    name, number = found[1], int(found[3])
    choices = {value: choice for choice, value in _CHOICES[name].items()}
    return f"{name}{found[2]}{choices[number]!r}" if number in choices else found[0]


_RULES: list[tuple[re.Pattern[str], str | Rewrite]] = [
    (re.compile(r"^(\w+): "), lambda found: _FUNCTIONS.get(found[1], found[1]) + ": "),
    (re.compile(r"\bLAYERWISE_CUDA=ON builds it with\b"),
     "LAYERWISE_CUDA=ON pip install ./bindings/python builds one with it"),
    (re.compile(r"\bCUDAARCHS=(\d+) in the environment builds it for this device"),
     r"CUDAARCHS=\1 pip install ./bindings/python builds one for this device"),
    (re.compile(rf"\b({'|'.join(_CHOICES)})( is | beside | )(\d+)(?: \(\w+\))?(?![\w.])"), _choice),
    (re.compile(rf"\b({'|'.join(_FLAGS)}) is 1\b"), r"\1 is True"),
    (re.compile(r"\b(LAYERWISE_[A-Z0-9_]*[A-Z0-9])\b(?: \(-?\d+\))?"),
     lambda found: repr(_CONSTANTS[found[1]]) if found[1] in _CONSTANTS else found[1]),
    (re.compile(r"\bstep is 0; (.*) needs step, 1-based, or step_ptr"),
     rf"step is not given; \1 needs step: 1 in the first call, 2 in the next, or {_STEP_IN_MEMORY}"),
    (re.compile(r"\bit needs step_ptr\b"), f"it needs step as {_STEP_IN_MEMORY}"),
    (re.compile(r"\bstep_ptr is\b"), "step is"),
    (re.compile(r"\b(lr|grad_scale|step)_ptr\b"), r"\1"),
    (re.compile(r"\bNULL\b"), "None"),
    (re.compile(r"\bthe momentum buffer is 0x\w+"), "momentum_buffer is given"),
    (re.compile(r"\blayerwise_plan_reset\b"), "reset()"),
]


def in_python(message: str) -> str:
    """A message of the library as this package's caller would say it."""
    for pattern, replacement in _RULES:
        message = pattern.sub(replacement, message)
    return message


@contextmanager
def called(words: Mapping[str, str]) -> Iterator[None]:
    """Where the caller wrote something else than what the library got: `called({"beta1": "betas[0]"})`."""
    try:
        yield
    except Error as error:
        written = "|".join(map(re.escape, words))
        message = re.sub(rf"(?<!\w)({written})(?!\w)", lambda found: words[found[0]], error.args[0])
        raise type(error)(message, error.status, error.status_name) from None
