"""One step of a tree as XLA sees it: a call of a handler for each mix of dtypes in the tree."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import _handlers


class Step(NamedTuple):
    """What handlers.cpp asks of a step, and in what order.

    numbers  float32 (3,): lr, grad_scale, found_inf
    count    completed steps, or None where the step has none
    vectors  one value a layer, changed by the step
    lists    one array a layer each; the first are the weights, the second the gradients
    changed  for each list whether the step changes it
    options, sgd                the library's structs, without pointers
    lr_mult, wd_mult, skip_larc one number a layer
    """

    name: str
    numbers: Any
    count: Any
    vectors: list[Any]
    lists: list[list[Any]]
    changed: list[bool]
    options: ctypes.Structure
    sgd: ctypes.Structure | None
    lr_mult: np.ndarray[Any, Any]
    wd_mult: np.ndarray[Any, Any]
    skip_larc: np.ndarray[Any, Any]


def run(step: Step) -> tuple[list[Any], list[list[Any]]]:
    """The vectors, and the lists that the step changes, after it. A layer with None in a list keeps what it has."""
    _handlers.register()
    vectors = list(step.vectors)
    changed = [list(arrays) for arrays, is_changed in zip(step.lists, step.changed, strict=True) if is_changed]
    groups: dict[tuple[str, ...], list[int]] = {}
    for layer, arrays in enumerate(zip(*step.lists, strict=True)):
        if all(array is not None for array in arrays):
            groups.setdefault(tuple(str(array.dtype) for array in arrays), []).append(layer)
    for layers in groups.values():
        if len(layers) == len(step.lists[0]):
            return _call(step, vectors, layers)
        index = np.array(layers)
        new_vectors, new_lists = _call(step, [vector[index] for vector in vectors], layers)
        vectors = [old.at[index].set(new) for old, new in zip(vectors, new_vectors, strict=True)]
        for old_list, new_list in zip(changed, new_lists, strict=True):
            for layer, array in zip(layers, new_list, strict=True):
                old_list[layer] = array
    return vectors, changed


def _call(step: Step, vectors: list[Any], layers: list[int]) -> tuple[list[Any], list[list[Any]]]:
    operands: list[Any] = [step.numbers]
    results: list[Any] = []
    aliases: dict[int, int] = {}
    if step.count is not None:  # an int64 in two halves: JAX has none unless it is told to
        operands.append(jnp.stack([step.count.astype(jnp.int32), jnp.int32(0)]))
    parts: list[tuple[list[Any], bool]] = [(vectors, True)]
    parts += [([arrays[layer] for layer in layers], is_changed)
              for arrays, is_changed in zip(step.lists, step.changed, strict=True)]
    for arrays, is_changed in parts:
        for array in arrays:
            if is_changed:
                aliases[len(operands)] = len(results)
                results.append(jax.ShapeDtypeStruct(array.shape, array.dtype))
            operands.append(array)
    call = jax.ffi.ffi_call(_handlers.target(step.name), results, vmap_method="sequential",
                            input_output_aliases=aliases)
    returned = iter(call(*operands, options=_bytes(step.options), sgd=_bytes(step.sgd), lr_mult=step.lr_mult[layers],
                         wd_mult=step.wd_mult[layers], skip_larc=step.skip_larc[layers].astype(np.uint8)))
    new = [[next(returned) for _ in arrays] for arrays, is_changed in parts if is_changed]
    return new[0], new[1:]


def _bytes(struct: ctypes.Structure | None) -> np.ndarray[Any, Any]:
    return np.frombuffer(bytes(struct) if struct is not None else b"\0", np.uint8)
