"""One step of a tree as XLA sees it: calls of a handler, each for some of the leaves of one mix of dtypes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import _errors
from .._errors import refusal
from . import _handlers
from ._ffi import Call, Operands, varying_axes
from ._hyper import Options
from ._partition import on_any_mesh

# The most leaves of one call. What XLA takes to compile a call on the CPU grows with the third power of its operands
# (InstructionFusion::ShouldFuseInPlaceOp). 250 leaves compile in less time than optax.adam's in calls of 32, and not
# in calls of 64; 1000 take less than a tenth of one call's, and hardly less in calls of 8. The step is as fast in all
# of these (bench/host --parts jax). On CUDA, where every call has launches of its own, the fewest calls are the best.
LEAVES_A_CALL = 32


class Step(NamedTuple):
    """What a handler is asked for; scalars, lists and the layers' options have one entry for each layer.

    names    of the layers, for messages
    numbers  float32 (3 + H,), as _hyper.numbers gives them
    count    completed steps, or None where the step has none
    scalars  lists of values, changed by the step
    lists    lists of arrays; the first are the weights, the second the gradients
    changed  for each of lists whether the step changes it
    """

    name: str
    names: list[str]
    numbers: Any
    count: Any
    scalars: list[list[Any]]
    lists: list[list[Any]]
    changed: tuple[bool, ...]
    options: Options
    lr_mult: list[float]
    wd_mult: list[float]
    skip_larc: list[float]
    axes: tuple[str, ...]


def run(step: Step) -> tuple[list[list[Any]], list[list[Any]]]:
    """The scalars, and the lists that the step changes, after it."""
    _handlers.register()
    _check_axes(step)
    scalars = [list(values) for values in step.scalars]
    changed = [list(arrays) for arrays, is_changed in zip(step.lists, step.changed, strict=True) if is_changed]
    groups: dict[Any, list[int]] = {}
    for layer, arrays in enumerate(zip(*step.lists, *step.scalars, strict=True)):
        # What leaves a call varies over a mesh as all that went in: layers that vary otherwise have their own call.
        key = (*(str(array.dtype) for array in arrays), frozenset().union(*map(varying_axes, arrays)))
        groups.setdefault(key, []).append(layer)
    for layers in (part for group in groups.values() for part in _parts(group)):
        lr_mult, wd_mult, skip_larc = (tuple(float(values[layer]) for layer in layers)
                                       for values in (step.lr_mult, step.wd_mult, step.skip_larc))
        call = Call(step.name, step.options.structs, step.options.offsets, len(step.scalars), step.count is not None,
                    step.changed, lr_mult, wd_mult, skip_larc, step.axes)
        new_scalars, new_lists = _compiled(call)(
            step.numbers, step.count, [[values[layer] for layer in layers] for values in step.scalars],
            [[arrays[layer] for layer in layers] for arrays in step.lists])
        for old, new in zip([*scalars, *changed], [*new_scalars, *new_lists], strict=True):
            for layer, value in zip(layers, new, strict=True):
                old[layer] = value
    return scalars, changed


def _parts(layers: list[int]) -> Iterator[list[int]]:
    """The layers in order, in as few and as equal parts as LEAVES_A_CALL allows."""
    count = -(-len(layers) // LEAVES_A_CALL)
    for part in range(count):
        yield layers[len(layers) * part // count:len(layers) * (part + 1) // count]


def axis_names(given: Any) -> tuple[str, ...]:
    """Raises TypeError for what is neither None, a name nor a tuple of names."""
    names = () if given is None else (given,) if isinstance(given, str) else given
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"axis_name is {given!r}: it must be the name of an axis of jax.shard_map, or a tuple of them")
    return names


def _check_axes(step: Step) -> None:
    """Raises ArgumentError where JAX does not say which leaves are cut, or a gradient is still to be summed."""
    for axis in step.axes:
        if axis not in varying_axes(jax.lax.axis_index(axis)):
            raise refusal(_errors.COMBINATION, f"axis_name is {axis!r}: it needs jax.shard_map with check_vma=True, "
                                               "which tells pieces of layers from replicas")
    for name, weight, grad in zip(step.names, *step.lists[:2], strict=True):
        cuts = [sorted(varying_axes(array) & set(step.axes)) for array in (weight, grad)]
        if cuts[0] != cuts[1]:
            raise refusal(_errors.COMBINATION, f"params{name} varies over {cuts[0]} and its gradient over "
                                               f"{cuts[1]}: they must be cut alike, replicas' gradients summed "
                                               "(jax.lax.psum)")


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
