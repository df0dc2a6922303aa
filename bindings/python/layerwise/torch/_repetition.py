"""A step that is taken again.

A step looks at everything that it depends on, one by one. Where the next one finds all of it as it was, but for lr, the
number of the step and the gradients' addresses, it makes the same calls of the library again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ._bucket import Bucket
from ._calls import AllAccepted, Call, scalar_on
from ._native import native
from ._ops import is_watched
from ._repeatable import OnDevice, OnHost
from ._watch import Layers, watch


class Due(NamedTuple):
    """A repetition that may be taken: the tensors that it found, and the steps that the layers of each call have
    completed."""

    repetition: Repetition
    tensors: list[Tensor]
    completed: list[int | None]

    def gradients(self) -> list[tuple[torch.device, list[Tensor]]]:
        """Of each call, with the device that they are on."""
        return self.repetition.gradients_among(self.tensors)


class Repetition:
    """The calls of a step, none of which changed anything but memory. Keeps no parameter, gradient or state alive."""

    @staticmethod
    def of(calls: Sequence[Call], accepted: AllAccepted, state: Mapping[Any, Any] | None) -> Repetition | None:
        """Of the calls that were just made; None where they cannot be made again.

        state  by parameter; None for an optimizer that writes gradients alone
        """
        made = [call.bucket.repeatable() for call in calls]
        if not made or None in made or len({call.bucket for call in calls}) < len(calls):
            return None
        known = set(map(id, accepted.parameters))
        if not all(id(weight) in known for call in calls for weight in call.tensors.weights):
            return None  # the local tensors of others
        repetition = Repetition(calls, [each for each in made if each is not None], accepted, state)
        return repetition if repetition._sees_the_same(accepted.parameters, state) else None

    def __init__(self, calls: Sequence[Call], made: Sequence[OnHost | OnDevice], accepted: AllAccepted,
                 state: Mapping[Any, Any] | None) -> None:
        self._accepted, self._labels = accepted.options, accepted.labels
        self._buckets, self._made = [call.bucket for call in calls], made
        self._by_tensor = [isinstance(call.lr, Tensor) for call in calls]
        self._groups = [call.group for call in calls]
        self._stateful = state is not None
        self._watch = watch([Layers(call.tensors.weights, call.entries) for call in calls], accepted.parameters,
                            state or {})
        self._parts: list[slice] = []
        end = 0
        for call in calls:
            begin, end = end, end + (2 + len(call.entries)) * len(call.tensors.layers)
            self._parts.append(slice(begin, end))

    def _sees_the_same(self, parameters: Sequence[Tensor], state: Mapping[Any, Any] | None) -> bool:
        """Whether the tensors are where the calls found them: none was copied, because of its order, say. And whether
        each layer has scalars of its own, in all calls: they are read before the first one."""
        if self._watch.look(parameters, state or {}) is None:
            return False
        rows = [self._watch.addresses[part].reshape(-1, made.layers)
                for made, part in zip(self._made, self._parts, strict=True)]
        scalars = np.concatenate([made.scalars(each).ravel() for made, each in zip(self._made, rows, strict=True)])
        return len(np.unique(scalars)) == len(scalars) and all(
            made.settle(each, self._watch.functions) for made, each in zip(self._made, rows, strict=True))

    def due(self, accepted: AllAccepted, state: Mapping[Any, Any]) -> Due | None:
        """None where anything is not as it was."""
        if accepted.options is not self._accepted and (
                len(accepted.options) != len(self._accepted) or not all(map(is_, accepted.options, self._accepted))):
            return None
        if accepted.labels is not self._labels and accepted.labels != self._labels:
            return None
        if native.functions is not self._watch.functions:
            return None  # the next repetition is
        if is_watched() or not all(map(Bucket.can_repeat, self._buckets, self._made)):
            return None
        for group, by_tensor in zip(self._groups, self._by_tensor, strict=True):
            if isinstance(accepted.rates[group], Tensor) != by_tensor:
                return None
        tensors = self._watch.look(accepted.parameters, state)
        if tensors is None:
            return None
        completed = [made.completed() for made in self._made]
        return None if -1 in completed else Due(self, tensors, completed)

    def gradients_among(self, tensors: list[Tensor]) -> list[tuple[torch.device, list[Tensor]]]:
        return [(bucket.device, tensors[part.start + made.layers:part.start + 2 * made.layers])
                for bucket, made, part in zip(self._buckets, self._made, self._parts, strict=True)]

    def take(self, due: Due, rates: Sequence[Any], nonfinite: Mapping[torch.device, Tensor]) -> None:
        """rates: lr of each group. nonfinite: by device, what counts the layers that were not finite."""
        if self._watch.functions is None:
            native.repeated()
        tensors = due.tensors
        for number, (bucket, made) in enumerate(zip(self._buckets, self._made, strict=True)):
            begin, end, count = self._parts[number].start, self._parts[number].stop, made.layers
            written = tensors[begin:begin + count] + tensors[begin + 2 * count:end] if self._stateful else (
                tensors[begin + count:begin + 2 * count])
            self._watch.tell_written([*written, bucket.layer_stats, nonfinite[bucket.device]])
            lr = rates[self._groups[number]]
            if isinstance(lr, Tensor):
                lr = scalar_on(bucket.device, lr.detach())
            made.run(lr, due.completed[number], tensors, begin)
