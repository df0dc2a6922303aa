"""layerwise.jax beside optax, each in jax.jit with donated parameters and state."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable, Sequence
from typing import Any

from rounds import Step

Pair = tuple[str, str]
PAIRS: tuple[Pair, ...] = (("layerwise.jax.novograd", "optax.novograd"), ("layerwise.jax.larc_sgd", "optax.lars"))

COMPILED = ("layerwise.jax.novograd", "layerwise.jax.larc_sgd", "optax.novograd", "optax.adam")


def lacks() -> str | None:
    missing = [name for name in ("jax", "optax") if importlib.util.find_spec(name) is None]
    return f"not installed here: {', '.join(missing)}" if missing else None


def _update(name: str, lr: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A function of parameters, gradients and state, and one that makes the first state."""
    package, _, kind = name.rpartition(".")
    if package == "layerwise.jax":
        import layerwise.jax

        ours: Any = getattr(layerwise.jax, kind)(lr)
        return ours.step, ours.init
    import optax

    theirs = getattr(optax, kind)(lr)

    def step(params: Any, grads: Any, state: Any) -> Any:
        updates, state = theirs.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return step, theirs.init


def _arrays(shapes: Sequence[Any], seed: int) -> list[Any]:
    import jax.numpy as jnp
    import numpy as np

    random = np.random.default_rng(seed)
    return [jnp.asarray(random.standard_normal(shape, np.float32)) for shape in shapes]


def steps(names: Sequence[str], shapes: Sequence[Any]) -> list[Step]:
    import jax

    def made(name: str) -> Step:
        params, grads = _arrays(shapes, 0), _arrays(shapes, 1)
        update, init = _update(name, 1e-6)
        compiled = functools.partial(jax.jit, donate_argnums=(0, 2))(update)
        kept = [params, init(params)]

        def run() -> None:
            kept[:] = compiled(kept[0], grads, kept[1])
            jax.block_until_ready(kept)

        return Step(run)

    return [made(name) for name in names]


def seconds_to_compile(name: str, leaves: int) -> float:
    """From a Python function to a program: traced, lowered and compiled; leaves of 64 elements, all donated."""
    import jax

    params, grads = _arrays([(64,)] * leaves, 0), _arrays([(64,)] * leaves, 1)
    update, init = _update(name, 1e-6)
    state = init(params)
    begin = time.perf_counter()
    jax.jit(update, donate_argnums=(0, 2)).lower(params, grads, state).compile()
    return time.perf_counter() - begin


def unlike_weights(name: str, shapes: Sequence[Any], count: int) -> int:
    """How many weights have other bits after so many steps in jax.jit than after the same steps outside of it."""
    import jax

    update, init = _update(name, 0.01)
    grads = _arrays(shapes, 1)

    def after(step: Callable[..., Any]) -> list[Any]:
        params = _arrays(shapes, 0)
        state = init(params)
        for _ in range(count):
            params, state = step(params, grads, state)
        return params

    return sum(int((one != other).sum()) for one, other in zip(after(update), after(jax.jit(update)), strict=True))
