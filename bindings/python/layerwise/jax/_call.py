"""One step of a tree as XLA sees it: a call of a handler for each mix of dtypes in the tree."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from . import _handlers
from ._ffi import Call, Operands, varying_axes
from ._hyper import Options
from ._partition import on_any_mesh


class Step(NamedTuple):
    """What a handler is asked for; scalars, lists and the layers' options have one entry for each layer.

    numbers  float32 (3 + H,), as _hyper.numbers gives them
    count    completed steps, or None where the step has none
    scalars  lists of values, changed by the step
    lists    lists of arrays; the first are the weights, the second the gradients
    changed  for each of lists whether the step changes it
    """

    name: str
    numbers: Any
    count: Any
    scalars: list[list[Any]]
    lists: list[list[Any]]
    changed: tuple[bool, ...]
    options: Options
    lr_mult: list[float]
    wd_mult: list[float]
    skip_larc: list[float]


def run(step: Step) -> tuple[list[list[Any]], list[list[Any]]]:
    """The scalars, and the lists that the step changes, after it."""
    _handlers.register()
    scalars = [list(values) for values in step.scalars]
    changed = [list(arrays) for arrays, is_changed in zip(step.lists, step.changed, strict=True) if is_changed]
    groups: dict[Any, list[int]] = {}
    for layer, arrays in enumerate(zip(*step.lists, *step.scalars, strict=True)):
        # What leaves a call varies over a mesh as all that went in: layers that vary otherwise have their own call.
        key = (*(str(array.dtype) for array in arrays), frozenset().union(*map(varying_axes, arrays)))
        groups.setdefault(key, []).append(layer)
    for layers in groups.values():
        call = Call(step.name, step.options.structs, step.options.offsets, len(step.scalars), step.count is not None,
                    step.changed, *(tuple(float(values[layer]) for layer in layers)
                                    for values in (step.lr_mult, step.wd_mult, step.skip_larc)))
        new_scalars, new_lists = _compiled(call)(
            step.numbers, step.count, [[values[layer] for layer in layers] for values in step.scalars],
            [[arrays[layer] for layer in layers] for arrays in step.lists])
        for old, new in zip([*scalars, *changed], [*new_scalars, *new_lists], strict=True):
            for layer, value in zip(layers, new, strict=True):
                old[layer] = value
    return scalars, changed


@functools.lru_cache(maxsize=1024)
def _compiled(call: Call) -> Any:
    """The call as a jitted function, kept: outside of jit too it is compiled once, and shardings reach it."""
    step_on_mesh = on_any_mesh(call)

    def layerwise_step(numbers: Any, count: Any, scalars: Any, lists: Any) -> Any:
        # An int64 in two halves: JAX has none unless it is told to.
        completed = [] if count is None else [jnp.stack([count.astype(jnp.int32), jnp.int32(0)])]
        vectors = [jnp.stack(values) for values in scalars]
        new_vectors, new_lists = step_on_mesh(Operands(numbers, completed, vectors, lists))
        return [list(vector) for vector in new_vectors], new_lists

    return jax.jit(layerwise_step)
