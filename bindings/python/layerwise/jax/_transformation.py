"""What the optimizers of this package are to JAX: optax's gradient transformations, with an exact step beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

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
        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
            leaves = Leaves(params, updates)
            new, state = step(params, updates, state, **extra)
            return leaves.updates([after - before for after, before in zip(
                leaves.of(new, "params"), leaves.weights, strict=True)]), state

        self = super().__new__(cls, init, update)
        self.step = step
        return self


def first_count() -> Any:
    return jnp.zeros((), jnp.int32)


def advanced(count: Any, found_inf: Any) -> Any:
    """The completed steps after this one."""
    return count + 1 if found_inf is None else count + (scalar(found_inf, "found_inf") == 0).astype(jnp.int32)
