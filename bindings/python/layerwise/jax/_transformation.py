"""What the optimizers of this package are to JAX: optax's gradient transformations, with an exact step beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import _errors
from .._errors import refusal
from ._hyper import scalar
from ._tree import Leaves

if TYPE_CHECKING:
    class Pair(NamedTuple):
        init: Callable[..., Any]
        update: Callable[..., Any]
else:
    try:
        from optax import GradientTransformationExtraArgs as Pair
    except ImportError:
        class Pair(NamedTuple):
            """What optax calls a GradientTransformationExtraArgs."""

            init: Callable[..., Any]
            update: Callable[..., Any]


class Transformation(Pair):
    """An optax gradient transformation, of `init(params)` and `update(grads, state, params)`, which also has
    `step(params, grads, state)`: it returns the new parameters and the new state. In a jitted function that takes and
    returns parameters and state in the same order, and donates them, nothing is copied.

    `step` gives the library's bits. `update` gives `new - params` for optax.apply_updates to add: the sum is `new` to
    the bit wherever a weight changes by less than half of itself, and within one rounding of either elsewhere. Both
    take `grad_scale`, which the gradients are divided by, and `found_inf`, not 0: nothing changes; scalars that may be
    traced.
    """

    step: Callable[..., tuple[Any, Any]]

    def __new__(cls, init: Callable[..., Any], step: Callable[..., tuple[Any, Any]]) -> Transformation:
        step = getattr(step, "of_step", step)  # of a copy, which is made of the two fields

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
            leaves = Leaves(params, updates)
            new, state = step(params, updates, state, **extra)
            return leaves.updates([_difference(after, before, grad) for after, before, grad in zip(
                leaves.of(new, "params"), leaves.weights, leaves.grads, strict=True)]), state

        update.of_step = step  # type: ignore[attr-defined]
        self = super().__new__(cls, init, update)
        self.step = step
        return self


def _difference(after: Any, before: Any, grad: Any) -> Any:
    """In the wider dtype of parameter and gradient: optax's wrappers expect the gradient's."""
    with jax.numpy_dtype_promotion("standard"):  # a user's "strict" is for the user's own arithmetic
        dtype = jnp.promote_types(before.dtype, grad.dtype)
    return after.astype(dtype) - before.astype(dtype)


def first_count() -> Any:
    return jnp.zeros((), jnp.int32)


def checked(state: Any, kind: Any) -> Any:
    """A state of this kind, its count an array. Raises TypeError for another optimizer's, ArgumentError, DtypeError."""
    fields = kind._fields
    if getattr(state, "_fields", None) != fields:
        is_dictionary = isinstance(state, dict) and set(state) == set(fields)
        raise TypeError(f"state is a {type(state).__name__}: it must be a layerwise.jax.{kind.__name__}, as init gives"
                        + (f"; {kind.__name__}(**state) makes one of a restored dictionary" if is_dictionary else ""))
    count = jnp.asarray(state.count)
    if count.shape != ():
        raise refusal(_errors.INVALID_VALUE, f"count has shape {count.shape}: it must be one integer")
    if not jnp.issubdtype(count.dtype, jnp.integer):
        raise refusal(_errors.UNSUPPORTED_DTYPE, f"count has dtype {count.dtype}: it must be an integer")
    return kind(*state)._replace(count=count)


def advanced(count: Any, found_inf: Any) -> Any:
    """The completed steps after this one."""
    return count + 1 if found_inf is None else count + jnp.where(_is_set(found_inf), 0, 1).astype(count.dtype)


def _is_set(found_inf: Any) -> Any:
    """Of a number or a boolean, whatever may be promoted; nan is not 0."""
    return jnp.asarray(scalar(found_inf, "found_inf"), bool)
