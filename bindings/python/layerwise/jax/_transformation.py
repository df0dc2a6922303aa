"""What the optimizers of this package are to JAX: optax's gradient transformations, with an exact step beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from .._options import is_array
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
        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
            leaves = Leaves(params, updates)
            new, state = step(params, updates, state, **extra)
            moved = [None if grad is None else after - before for grad, after, before in zip(
                leaves.grads, leaves.beside(new, "params"), leaves.weights, strict=True)]
            return leaves.structure.unflatten(moved), state

        self = super().__new__(cls, init, update)
        self.step = step
        return self


def first_count() -> Any:
    return jnp.zeros((), jnp.int32)


def advanced(count: Any, found_inf: Any) -> Any:
    """The completed steps after this one."""
    return count + 1 if found_inf is None else count + (jnp.asarray(found_inf) == 0).astype(jnp.int32)


def numbers(learning_rate: Any, count: Any, grad_scale: Any, found_inf: Any) -> Any:
    """What a step reads when it runs: float32 (3,): lr, grad_scale, found_inf."""
    lr = learning_rate(count) if callable(learning_rate) else learning_rate
    values = (lr, 1 if grad_scale is None else grad_scale, 0 if found_inf is None else found_inf)
    return jnp.stack([jnp.asarray(value, jnp.float32).reshape(()) for value in values])


def known_rate(learning_rate: Any) -> float:
    """A learning rate that can be checked before anything is traced; schedules and arrays cannot."""
    traced = callable(learning_rate) or is_array(learning_rate) or isinstance(learning_rate, jax.core.Tracer)
    return 0.0 if traced else learning_rate
