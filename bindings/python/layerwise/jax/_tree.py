"""Parameter trees as the library sees them: every leaf that has a gradient a layer, checked under its own name."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import _errors
from .._errors import refusal
from .._plan import Plan
from .._words import called

DTYPES = ("float32", "bfloat16", "float16")


def holds_nothing(tree: Any) -> bool:
    """Whether a tree has no leaf: None, optax.MaskedNode(), {}. Such a place in a tree of parameters is left alone."""
    return not jax.tree.leaves(tree)


def is_stepped(leaf: Any) -> bool:
    """Whether a leaf is of a kind that has state: float32, bfloat16 or float16."""
    return type(leaf) is float or str(getattr(_canonical(leaf), "dtype", None)) in DTYPES


def _canonical(leaf: Any) -> Any:
    """What jax.jit makes of a NumPy array: without 64 bits a float64 is a float32."""
    return jnp.asarray(leaf) if isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind == "f" else leaf


def is_gradient(value: Any) -> bool:
    """Whether a parameter takes part: a gradient of nothing, or of float0 (jax.grad's for integers), leaves it out."""
    return not holds_nothing(value) and getattr(value, "dtype", None) != jax.dtypes.float0


def zeros_beside(params: Any, dtype: str) -> Any:
    """State like params: zeros for each leaf that can be stepped, sharded as it is; None for every other."""
    return jax.tree.map(lambda leaf: jnp.zeros_like(leaf, dtype=dtype) if is_stepped(leaf) else None, params)


def scalars_beside(params: Any) -> Any:
    """State of one float32 for each leaf that can be stepped; None for every other."""
    return jax.tree.map(lambda leaf: jnp.zeros((), jnp.float32) if is_stepped(leaf) else None, params)


class Leaves:
    """The layers of one step: the leaves of params that have a gradient, and of other trees beside them.

    params  a tree; its leaves with a gradient are float32, bfloat16 or float16 arrays of any shapes, others anything
    grads   of params' structure and shapes, dtypes in any mix; None, optax.MaskedNode() or float0 leaves a leaf out

    names, weights, grads  of the leaves that take part, in the tree's order
    """

    def __init__(self, params: Any, grads: Any) -> None:
        if params is None:
            raise refusal(_errors.NULL_ARGUMENT, "params is None: the step needs the parameters, "
                                                 "update(grads, state, params)")
        named, self._structure = jax.tree_util.tree_flatten_with_path(params, is_leaf=holds_nothing)
        self._names = [jax.tree_util.keystr(path) for path, _ in named]
        self._given_params = [leaf for _, leaf in named]
        self._given_grads = self._flatten(grads, "grads")
        self._layers = [place for place, grad in enumerate(self._given_grads) if is_gradient(grad)]
        self.names = [self._names[place] for place in self._layers]
        self.weights = [_array(self._given_params[place], f"params{self._names[place]}") for place in self._layers]
        self.grads = self._beside(self._given_grads, "grads", DTYPES)

    def of(self, params: Any, what: str) -> list[Any]:
        """The layers' own arrays of a tree like params."""
        return self._beside(self._flatten(params, what), what, DTYPES)

    def state(self, tree: Any, what: str) -> list[Any]:
        """The layers' own arrays of a state like params: of their shapes, float32 or bfloat16."""
        return self._beside(self._flatten(tree, what), what, DTYPES[:2])

    def scalars(self, tree: Any, what: str) -> list[Any]:
        """The layers' own values of a state of one value a leaf, float32 or float64."""
        if getattr(tree, "ndim", 0) == 1:
            raise refusal(_errors.INVALID_VALUE, f"{what} has shape {tree.shape}, one array for all leaves, as older "
                                                 "states have it: it must be a tree like params, of one value a leaf; "
                                                 "layerwise.jax.novograd_state_by_leaf(state, params) converts it")
        values = self._flatten(tree, what)
        return [_array(values[place], f"{what}{self._names[place]}", ("float32", "float64"), ())
                for place in self._layers]

    def replaced(self, tree: Any, new: list[Any]) -> Any:
        """A tree like params, with the layers' new values; where a leaf takes no part, what it has."""
        values = self._flatten(tree, "the tree")
        for place, value in zip(self._layers, new, strict=True):
            values[place] = value
        return self._structure.unflatten(values)

    def updates(self, new: list[Any]) -> Any:
        """A tree like grads, with the layers' new values. A float0 becomes zeros of its parameter's dtype, so that
        optax.apply_updates, which cannot add a float0, leaves that parameter as it is."""
        values = [_zeros(leaf) if getattr(grad, "dtype", None) == jax.dtypes.float0 else grad
                  for leaf, grad in zip(self._given_params, self._given_grads, strict=True)]
        for place, value in zip(self._layers, new, strict=True):
            values[place] = value
        return self._structure.unflatten(values)

    def numbers(self, given: Any, params: Any, what: str, default: float) -> list[float]:
        """One number a layer: from a tree of params' structure or a prefix of it, or from a function of params that
        returns one. Where params have no layer, as optax.masked has it, the tree may hold anything, or nothing."""
        if given is None:
            return [default] * len(self._layers)
        try:
            values = _spread(self._structure, given(params) if callable(given) else given)
        except ValueError as problem:
            raise refusal(_errors.INVALID_VALUE, f"{what} has not the structure of params: {problem}") from None
        found = [_number(values[place], f"{what}{self._names[place]}") for place in self._layers]
        _ask_library(what, found, self.names)
        return found

    def _flatten(self, tree: Any, what: str) -> list[Any]:
        try:
            return list(self._structure.flatten_up_to(tree))
        except ValueError as problem:
            raise refusal(_errors.INVALID_VALUE, f"{what} has not the structure of params: {problem}") from None

    def _beside(self, values: list[Any], what: str, dtypes: tuple[str, ...]) -> list[Any]:
        return [_array(values[place], f"{what}{self._names[place]}", dtypes, weight.shape)
                for place, weight in zip(self._layers, self.weights, strict=True)]


def _spread(structure: Any, tree: Any) -> list[Any]:
    """The tree's values for all leaves of a structure: one that stands where the structure goes on is for all below.

    Raises ValueError where both go on, and not alike.
    """
    if structure.num_nodes == 1 and structure.num_leaves == 1:
        return [tree]
    inner = jax.tree.structure(tree, is_leaf=lambda node: node is not tree)
    if inner.num_nodes == 1 or holds_nothing(tree):
        return [tree] * structure.num_leaves
    children, nodes = structure.children(), jax.tree.leaves(tree, is_leaf=lambda node: node is not tree)
    if structure.node_data() != inner.node_data() or len(children) != len(nodes):
        raise ValueError(f"{structure} and {jax.tree.structure(tree)}")
    return [value for child, node in zip(children, nodes, strict=True) for value in _spread(child, node)]


def _array(leaf: Any, what: str, dtypes: tuple[str, ...] = DTYPES, shape: tuple[int, ...] | None = None) -> Any:
    if holds_nothing(leaf):
        raise refusal(_errors.INVALID_VALUE, f"{what} is {leaf!r}, but its leaf has a gradient")
    array = jnp.asarray(leaf) if type(leaf) is float else _canonical(leaf)
    if not hasattr(array, "dtype"):
        raise refusal(_errors.UNSUPPORTED_DTYPE, f"{what} is {leaf!r}: it must be an array of {' or '.join(dtypes)}")
    if str(array.dtype) not in dtypes:
        raise refusal(_errors.UNSUPPORTED_DTYPE, f"{what} has dtype {array.dtype}: it must be {' or '.join(dtypes)}; a "
                                                 "gradient of None leaves a leaf alone")
    if shape is not None and array.shape != shape:
        raise refusal(_errors.INVALID_VALUE, f"{what} has shape {array.shape}: it must be {shape}" +
                      (", that of the parameter" if shape else ""))
    return jnp.asarray(array, array.dtype)


def _zeros(leaf: Any) -> Any:
    is_key = hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
    return None if is_key else jnp.zeros_like(leaf)


def _ask_library(what: str, values: list[float], names: list[str]) -> None:
    """Has the library refuse a layer's option, by its leaf's name, before any of the step's calls has run."""
    first = dict(zip(reversed(values), reversed(names), strict=True))  # the leaf that each value comes first in
    with Plan([0]) as plan:
        for value, name in first.items():
            option: dict[str, Any] = {what: [value]}
            with called({f"set_layers: {what}[0]": f"{what}{name}", what: f"{what}{name}"}):
                plan.set_layers(**option)


def _number(value: Any, what: str) -> float:
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{what} is traced ({value}): it must be a number that is known when the step is traced")
    try:
        if not isinstance(value, (str, bytes)) and np.ndim(value) == 0:
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"{what} is {value!r}: it must be a number")
