"""Whether the tensors of a step are what they were when they were looked at one by one.

Compared are their types, dispatch keys (layout, lazily negated, wrappers), dtypes, devices, shapes, strides and
addresses; not those of gradients, which have others at every step.
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

from ._native import Functions, native
from ._ops import tell_autograd
from ._shards import PLAIN

Addresses = np.ndarray[Any, Any]  # uint64

_gradient = attrgetter("grad")


class Layers(NamedTuple):
    """The layers of one call of the library: their parameters, and the entries of each one's state that it takes."""

    parameters: Sequence[Tensor]
    entries: tuple[str, ...]


class Watch:
    """Finds the tensors of a step, and whether they are those that it was made with, but for the gradients' addresses.
    Keeps no parameter, gradient or state alive.

    calls       the layers of each call; of each parameter in them the gradient and the state are looked at
    parameters  all of the optimizer's, in their order: those that no call has must stay without a gradient
    state       by parameter

    addresses   of the tensors that `look` found last
    """

    functions: Functions | None = None

    def __init__(self, calls: Sequence[Layers], parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> None:
        places = {id(parameter): place for place, parameter in enumerate(parameters)}
        self._calls = [(tuple(places[id(parameter)] for parameter in layers.parameters), layers.entries)
                       for layers in calls]
        self.addresses = np.zeros(sum(len(taking) * (2 + len(entries)) for taking, entries in self._calls), np.uint64)

    def look(self, parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> list[Tensor] | None:
        """For one call after the other the weights, the gradients, and each entry of the states; None where anything is
        not what it was."""
        raise NotImplementedError

    def tell_written(self, tensors: list[Tensor]) -> None:
        """Tells autograd that these are written."""
        raise NotImplementedError


def watch(calls: Sequence[Layers], parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> Watch:
    kind = InPython if native.found() is None else Compiled
    return kind(calls, parameters, state)


class Compiled(Watch):
    """In watch.cpp."""

    def __init__(self, calls: Sequence[Layers], parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> None:
        super().__init__(calls, parameters, state)
        functions = native.found()
        assert functions is not None
        self.functions = self._do = functions
        self._to = self.addresses.ctypes.data
        self._watch = functions.watch(self._calls, parameters, state)  # which notes at its first look what is there

    def look(self, parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> list[Tensor] | None:
        if type(parameters) is not list or not isinstance(state, dict) or self._watch is None:
            return None
        found: list[Tensor] | None = self._do.look(self._watch, parameters, state, self._to)
        return found

    def tell_written(self, tensors: list[Tensor]) -> None:
        self._do.written(tensors)


class InPython(Watch):
    """torch compares the tensors, all in one call, as its compiler's guards do."""

    def __init__(self, calls: Sequence[Layers], parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> None:
        super().__init__(calls, parameters, state)
        taking = [place for places, _ in self._calls for place in places]
        self._all = [weakref.ref(parameter) for parameter in parameters]
        self._taking = _picker(taking, len(parameters))
        self._absent = _picker(sorted(set(range(len(parameters))).difference(taking)), len(parameters))
        self._counts = [(len(places), [itemgetter(entry) for entry in entries]) for places, entries in self._calls]
        self._has_state = any(entries for _, entries in self._calls)
        self._same: Callable[..., bool] | None = None
        self._stays = np.concatenate([
            np.repeat([True, False, *[True] * len(entries)], len(places)) for places, entries in self._calls])
        tensors = self._find(parameters, state)
        if tensors is not None and all(type(tensor) in PLAIN for tensor in tensors):
            self._same = _guards(tensors)
            self._known = _addresses_of(tensors)

    def look(self, parameters: Sequence[Tensor], state: Mapping[Any, Any]) -> list[Tensor] | None:
        if self._same is None or len(parameters) != len(self._all):
            return None
        if not all(map(is_, parameters, [reference() for reference in self._all])):
            return None
        tensors = self._find(parameters, state)
        if tensors is None or not self._same(*tensors):
            return None
        self.addresses[:] = _addresses_of(tensors)
        has_memory = (self.addresses == 0) == (self._known == 0)
        return tensors if (self.addresses == self._known)[self._stays].all() and has_memory.all() else None

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

    def tell_written(self, tensors: list[Tensor]) -> None:
        tell_autograd(tensors)


def _addresses_of(tensors: Sequence[Tensor]) -> Addresses:
    return np.fromiter(map(Tensor.data_ptr, tensors), np.uint64, len(tensors))


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
