"""Hyper-parameters: numbers that are compiled into a step, and arrays or traced values that it reads when it runs."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _abi, _errors
from .._errors import refusal
from .._options import defaults, fill_numbers
from .._plan import Plan
from .._words import called


class Options(NamedTuple):
    """What was given for the fields of one or two of the library's option structs.

    structs  their bytes, without pointers
    values   the arrays and traced values, scalars, which the step reads when it runs
    offsets  where each of them belongs, in bytes from the start of the first struct
    known    everything whose value is known now, for the library to be asked about
    """

    structs: tuple[bytes, ...]
    values: tuple[Any, ...]
    offsets: tuple[int, ...]
    known: dict[str, Any]


# Options that are of a call, and those of stochastic rounding: no rules of the transformations here.
NOT_HERE = ("lr", "grad_scale", "step", "advance_step", "found_inf", "nonfinite_layers", "rounding", "seed")


def ask(kinds: list[type[_abi.Struct]], given: Mapping[str, Any]) -> Options:
    """Raises TypeError, ArgumentError with the option's name; the library is to be asked about the rest, by `known`."""
    for name in given:
        if name in NOT_HERE or not any(name in kind.options for kind in kinds):
            raise TypeError(f"got an unexpected keyword argument {name!r}: it is no option of this transformation")
    structs = [defaults(kind) for kind in kinds]
    values, offsets, known = [], [], {}
    start = 0
    for kind, struct in zip(kinds, structs, strict=True):
        fields = dict(kind._fields_)  # type: ignore[arg-type]
        for name in [name for name in given if name in fields and given[name] is not None]:
            value, is_number = given[name], fields[name] is ctypes.c_double
            if not is_number:
                known[name] = _known(value, name)
            elif isinstance(value, jax.Array):  # a traced value is one too
                values.append(scalar(value, name))
                offsets.append(start + getattr(kind, name).offset)
                if not isinstance(value, jax.core.Tracer):
                    known[name] = float(values[-1])
            else:
                known[name] = float(scalar(value, name)) if isinstance(value, np.ndarray) else value
        traced = {name for name in given if isinstance(given[name], jax.Array)}
        fill_numbers(struct, {name: known[name] for name in fields if name in known and name not in traced})
        start += ctypes.sizeof(kind)
    return Options(tuple(map(bytes, structs)), tuple(values), tuple(offsets), known)


# What the caller of a transformation writes where the library's step says otherwise.
_WORDS = {"novograd_step": "novograd", "larc_sgd_step": "larc_sgd", "larc_scale": "larc", "lr is": "learning_rate is"}


@contextmanager
def plan_without_layers(**words: str) -> Iterator[Plan]:
    """A plan whose step lets the library refuse options now rather than inside a traced computation."""
    with called(_WORDS | words), Plan([]) as plan:
        yield plan


def refuse_none(**given: Any) -> None:
    """For options whose default is this package's own, and for which None says nothing."""
    for name, value in given.items():
        if value is None:
            raise TypeError(f"{name} is None: give a value, or leave it out for the default")


def known_rate(learning_rate: Any) -> float:
    """A learning rate that can be checked before anything is traced; 0 for a schedule or a traced one.

    Raises TypeError, ArgumentError for what can be none."""
    if callable(learning_rate):
        return 0.0
    if isinstance(learning_rate, (jax.Array, np.ndarray)):
        value = scalar(learning_rate, "learning_rate")
        return 0.0 if isinstance(value, jax.core.Tracer) else float(value)
    try:
        if not isinstance(learning_rate, (bool, np.bool_, str, bytes)):
            return float(learning_rate)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TypeError(f"learning_rate is {learning_rate!r}: it must be a number, a scalar array or a schedule")


def numbers(learning_rate: Any, count: Any, grad_scale: Any, found_inf: Any, hyper: tuple[Any, ...]) -> Any:
    """What a step reads when it runs: float32 (3 + H,): lr, grad_scale, found_inf and the hyper-parameters."""
    lr = learning_rate(count) if callable(learning_rate) else learning_rate
    given = {"learning_rate": lr, "grad_scale": 1 if grad_scale is None else grad_scale,
             "found_inf": 0 if found_inf is None else found_inf}
    values = [scalar(value, name) for name, value in given.items()]
    return jnp.stack([jnp.asarray(value, jnp.float32) for value in [*values, *hyper]])


def scalar(value: Any, name: str) -> Any:
    """One real number as an array without dimensions; traced or not. Raises TypeError, ArgumentError."""
    try:
        array = value if isinstance(value, (jax.Array, np.ndarray)) else np.asarray(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}: it must be a number") from None
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)
            or array.dtype == bool):
        raise TypeError(f"{name} is {value!r}: it must be a number")
    if array.size != 1:
        raise refusal(_errors.INVALID_VALUE, f"{name} has shape {array.shape}: it must be one number")
    return array.reshape(())


def _known(value: Any, name: str) -> Any:
    """A flag or a named choice, which the step is compiled for."""
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{name} is traced ({value}): it must be known when the step is traced; in "
                        "optax.inject_hyperparams name it in static_args, or give a bool or a string")
    return value.item() if isinstance(value, (jax.Array, np.ndarray)) and value.size == 1 else value
