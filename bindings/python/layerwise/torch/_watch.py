"""Whether the tensors of a step are what they were when they were looked at one by one.

torch compares them, all in one call, as its compiler's guards do: type, dispatch keys (device, layout, lazily negated,
wrappers), dtype, shape and strides. Addresses are told apart by the caller: gradients have others at every step.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, is_, itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Addresses = np.ndarray[Any, Any]  # uint64

_PLAIN = (Tensor, torch.nn.Parameter)
_gradient = attrgetter("grad")


class Layers(NamedTuple):
    """The layers of one call of the library: their parameters, and the entries of each one's state that it takes."""

    parameters: Sequence[Tensor]
    entries: tuple[str, ...]


class Sight(NamedTuple):
    """What a step finds: for one call after the other the weights, the gradients, and each entry of the states."""

    tensors: list[Tensor]
    addresses: Addresses


class Watch:
    """Finds the tensors of a step, and whether they are those that it was made with, but for the gradients' addresses.
    Keeps no parameter, gradient or state alive.

    calls       the layers of each call; of each parameter in them the gradient and the state are looked at
    parameters  all of the optimizer's, in their order: those that no call has must stay without a gradient
    state       by parameter
    """

    def __init__(self, calls: Sequence[Layers], parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> None:
        places = {id(parameter): place for place, parameter in enumerate(parameters)}
        taking = [places[id(parameter)] for layers in calls for parameter in layers.parameters]
        self._all = [weakref.ref(parameter) for parameter in parameters]
        self._taking = _picker(taking, len(parameters))
        self._absent = _picker(sorted(set(places.values()).difference(taking)), len(parameters))
        self._counts = [(len(layers.parameters), [itemgetter(entry) for entry in layers.entries]) for layers in calls]
        self._has_state = any(layers.entries for layers in calls)
        self._same: Callable[..., bool] | None = None
        tensors = self._find(parameters, state)
        if tensors is not None and all(type(tensor) in _PLAIN for tensor in tensors):
            self._same = _guards(tensors)

    def look(self, parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> Sight | None:
        """None where anything is not what it was."""
        if self._same is None or len(parameters) != len(self._all):
            return None
        if not all(map(is_, parameters, [reference() for reference in self._all])):
            return None
        tensors = self._find(parameters, state)
        if tensors is None or not self._same(*tensors):
            return None
        return Sight(tensors, np.fromiter(map(Tensor.data_ptr, tensors), np.uint64, len(tensors)))

    def _find(self, parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> list[Any] | None:
        taking = self._taking(parameters)
        grads = [*map(_gradient, taking)]
        if any(map(_has_gradient, self._absent(parameters))):
            return None
        found: list[Any] = []
        begin = 0
        try:
            states: list[Any] = [*map(state.get, taking)] if self._has_state else []
            for count, entries in self._counts:
                layers = slice(begin, begin + count)
                found += taking[layers]
                found += grads[layers]
                for entry in entries:
                    found += map(entry, states[layers])
                begin += count
        except (KeyError, TypeError):  # state that is not there
            return None
        return found


def _has_gradient(parameter: Tensor) -> bool:
    return parameter.grad is not None


def _picker(places: Sequence[int], count: int) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Gives a sequence's items in these places."""
    if list(places) == list(range(count)):
        return lambda items: items
    return lambda items: [items[place] for place in places]


def _guards(tensors: Sequence[Tensor]) -> Callable[..., bool] | None:
    """A function that says whether as many tensors are like these; None where torch has none that is known here."""
    return _make_guards(tensors) if _guards_work() else None


def _make_guards(tensors: Sequence[Tensor]) -> Callable[..., bool]:
    from torch._C._dynamo.guards import TensorGuards

    guards = TensorGuards(*tensors, dynamic_dims_sizes=None, dynamic_dims_strides=None)
    same: Callable[..., bool] = guards.check
    return same


@functools.cache
def _guards_work() -> bool:
    """They are no public part of torch: whether they are there, and tell apart what must be."""
    matrix = torch.zeros(2, 2)
    others = (torch.zeros(4), torch.zeros(2, 3), matrix.t(), matrix.half(), torch._neg_view(matrix),
              torch.nn.Parameter(matrix.clone()), torch.zeros(2, 2, device="meta"), matrix.to_sparse())
    try:
        same = _make_guards([matrix])
        return same(matrix.clone()) and not any(map(same, others))
    except (ImportError, AttributeError, TypeError, RuntimeError):
        return False
