"""Parameter trees as the library sees them: every leaf a layer, checked under its own name."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _errors
from .._errors import refusal

DTYPES = ("float32", "bfloat16", "float16")


class Leaves:
    """The layers of one step: the leaves of params, and of other trees of its structure beside them.

    params  float32, bfloat16 and float16 arrays of any shapes
    grads   of params' structure and shapes, dtypes in any mix; None for a leaf leaves that layer out
    """

    def __init__(self, params: Any, grads: Any) -> None:
        if params is None:
            raise refusal(_errors.NULL_ARGUMENT, "params is None: the step needs the parameters, "
                                                 "update(grads, state, params)")
        named, self.structure = jax.tree_util.tree_flatten_with_path(params)
        self.names = [jax.tree_util.keystr(path) for path, _ in named]
        self.weights = [self._array(leaf, f"params{name}") for name, (_, leaf) in zip(self.names, named, strict=True)]
        self.grads = self.beside(grads, "grads")

    def beside(self, tree: Any, what: str) -> list[Any]:
        """The leaves of another tree of the same structure and shapes; None where it has None."""
        try:
            leaves = self.structure.flatten_up_to(tree)
        except ValueError as problem:
            raise refusal(_errors.INVALID_VALUE, f"{what} has not the structure of params: {problem}") from None
        return [None if leaf is None else self._like(leaf, layer, f"{what}{self.names[layer]}")
                for layer, leaf in enumerate(leaves)]

    def vector(self, values: Any, what: str) -> Any:
        """One number a layer, as the state has them. The library would read and write beyond the end of fewer."""
        array = jnp.asarray(values)
        if array.shape != (len(self.weights),):
            raise refusal(_errors.INVALID_VALUE, f"{what} has shape {array.shape}: it must be ({len(self.weights)},), one "
                                                 "value for each leaf of params; a state belongs to the parameters that "
                                                 "it was made for")
        if str(array.dtype) not in ("float32", "float64"):
            raise refusal(_errors.UNSUPPORTED_DTYPE, f"{what} has dtype {array.dtype}: it must be float32 or float64")
        return array

    def _like(self, leaf: Any, layer: int, what: str) -> Any:
        array, shape = self._array(leaf, what), self.weights[layer].shape
        if array.shape != shape:
            raise refusal(_errors.INVALID_VALUE, f"{what} has shape {array.shape}: it must be {shape}, that of the "
                                                 "parameter")
        return array

    @staticmethod
    def _array(leaf: Any, what: str) -> Any:
        dtype = str(getattr(leaf, "dtype", "float32"))
        array = jnp.asarray(leaf) if dtype in DTYPES or not hasattr(leaf, "dtype") else None
        if array is None or str(array.dtype) not in DTYPES:
            found = dtype if array is None else array.dtype
            raise refusal(_errors.UNSUPPORTED_DTYPE, f"{what} has dtype {found}: it must be {' or '.join(DTYPES)}")
        return array


def layer_values(given: Any, params: Any, leaves: Leaves, what: str, default: float) -> np.ndarray[Any, Any]:
    """One number a layer: from a tree of params' structure, or from a function of params that returns one."""
    if given is None:
        return np.full(len(leaves.weights), default, np.float64)
    tree = given(params) if callable(given) else given
    try:
        values = [float(value) for value in leaves.structure.flatten_up_to(tree)]
    except ValueError as problem:
        raise refusal(_errors.INVALID_VALUE, f"{what} has not the structure of params: {problem}") from None
    return np.array(values, np.float64)
