"""Gradients in one buffer for each device and dtype, as DistributedDataParallel's gradient_as_bucket_view has them.

`parameter.grad` is the truth, whoever put it there: what lies elsewhere is copied to its place when gradients are
packed, and a step takes what it finds.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from operator import attrgetter, is_

import numpy as np
import torch
from torch import Tensor

from ._order import PARAMETER_DTYPES, can_be_packed, in_shared_memory

_ALIGNMENT = 64  # bytes, of every gradient's place
_gradient = attrgetter("grad")


class _Place:
    """Where a parameter's gradient belongs."""

    def __init__(self, parameter: Tensor, buffer: Tensor, start: int) -> None:
        self._parameter = weakref.ref(parameter)
        self._buffer, self._start = buffer, start
        self._shape, self._stride = parameter.shape, parameter.stride()
        self.renew()

    def renew(self) -> None:
        # Detached, so that whoever calls detach_ on a gradient may; it still shares the buffer's version.
        self.view = self._buffer.as_strided(self._shape, self._stride, self._start).detach()
        self.address = self.view.data_ptr()

    def is_for(self, parameter: Tensor) -> bool:
        return (self._parameter() is parameter and self._shape == parameter.shape
                and self._buffer.device == parameter.device and self._stride == parameter.stride())

    def takes(self, grad: Tensor | None) -> bool:
        return grad is None or grad.dtype is self._buffer.dtype

    def has(self, grad: Tensor) -> bool:
        """Whether the gradient lies here, element for element."""
        return (grad.data_ptr() == self.address and grad.dtype is self._buffer.dtype
                and grad.stride() == self._stride and grad.shape == self._shape and not grad.is_neg())


class FlatGradients:
    """buffers  one for each device and dtype, one-dimensional; 0 between the gradients"""

    def __init__(self) -> None:
        self.buffers: list[Tensor] = []
        self._gaps: list[Tensor | None] = []
        self._places: dict[int, _Place] = {}  # by the parameter's identity
        self._known: list[Tensor | None] = []  # the parameters' gradients when all of them were in their places
        self._there: list[Tensor] = []
        self._addresses = np.zeros(0, np.uint64)
        self._absent: list[Tensor] = []

    def are_packed(self, parameters: Sequence[Tensor]) -> bool:
        """Whether every gradient is where it was put, and those that were missing still are. A gradient may be another
        tensor by now, or the same one in other memory, as `grad.data = ...` leaves it."""
        grads = [*map(_gradient, parameters)]
        if len(grads) != len(self._known) or not all(map(is_, grads, self._known)):
            return False
        addresses = np.fromiter(map(Tensor.data_ptr, self._there), np.uint64, len(self._there))
        return bool((addresses == self._addresses).all())

    @torch.no_grad()
    def bring(self, parameters: Sequence[Tensor]) -> bool:
        """Brings all gradients that can lie in a buffer to their places. False where there are others, which stay what
        they are: sparse ones, those of DTensors, those that have a graph or lie in shared memory."""
        if self.are_packed(parameters):
            return True
        held = [parameter for parameter in parameters if self._belongs(parameter)]
        if len(held) != len(self._places) or not all(map(self._fits, held)):
            self._lay_out(held)
        pairs = [(parameter, self._places[id(parameter)]) for parameter in held]
        self._move(pairs)
        self._absent = [place.view for parameter, place in pairs if parameter.grad is None]
        self._clear()
        there = [place for parameter, place in pairs if parameter.grad is not None]
        self._there = [place.view for place in there]
        self._addresses = np.array([place.address for place in there], np.uint64)
        grads = [*map(_gradient, parameters)]
        is_complete = len(there) == sum(grad is not None for grad in grads)
        self._known = grads if is_complete else []
        return is_complete

    def _move(self, pairs: Sequence[tuple[Tensor, _Place]]) -> None:
        own = {buffer.untyped_storage().data_ptr() for buffer in self.buffers}
        views, sources = [], []
        for parameter, place in pairs:
            if not place.has(place.view):
                place.renew()  # its tensor was given other memory
            grad = parameter.grad
            if grad is not None and not place.has(grad):
                is_inside = grad.untyped_storage().data_ptr() in own  # of another's place, which is written too
                views.append(place.view)
                sources.append(grad.clone() if is_inside else grad)
        if views:
            torch._foreach_copy_(views, sources)
        for parameter, place in pairs:
            if parameter.grad is not None and parameter.grad is not place.view:
                parameter.grad = place.view

    def zero_(self) -> None:
        torch._foreach_zero_(self.buffers)

    def mul_(self, factor: Tensor) -> None:
        """Times a scalar. 0 stays 0, also where the factor is nan."""
        for buffer in self.buffers:
            buffer.mul_(factor.to(buffer.device))
        self._clear()

    def _clear(self) -> None:
        if self._absent:
            torch._foreach_zero_(self._absent)
        for buffer, gaps in zip(self.buffers, self._gaps, strict=True):
            if gaps is not None:
                buffer.index_fill_(0, gaps, 0)

    def _belongs(self, parameter: Tensor) -> bool:
        grad, place = parameter.grad, self._places.get(id(parameter))
        if not (place is not None and place.is_for(parameter)) and not can_be_packed(parameter):
            return False
        if grad is None:
            return parameter.requires_grad or place is not None
        return (type(grad) is Tensor and grad.layout is torch.strided and grad.dtype in PARAMETER_DTYPES
                and grad.shape == parameter.shape and grad.device == parameter.device and not grad.requires_grad
                and not in_shared_memory(grad))

    def _fits(self, parameter: Tensor) -> bool:
        place = self._places.get(id(parameter))
        return place is not None and place.is_for(parameter) and place.takes(parameter.grad)

    def _lay_out(self, parameters: Sequence[Tensor]) -> None:
        """New buffers: the old ones may be somebody's."""
        kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for parameter in parameters:
            dtype = parameter.dtype if parameter.grad is None else parameter.grad.dtype
            kinds.setdefault((parameter.device, dtype), []).append(parameter)
        self.buffers, self._gaps, self._places = [], [], {}
        for (device, dtype), members in kinds.items():
            step = _ALIGNMENT // dtype.itemsize
            ends, end = [], 0
            for parameter in members:
                ends.append((end + parameter.numel(), end := end + -(-parameter.numel() // step) * step))
            buffer = torch.zeros(end, dtype=dtype, device=device)
            for parameter, start in zip(members, [0, *(following for _, following in ends)], strict=False):
                self._places[id(parameter)] = _Place(parameter, buffer, start)
            gaps = np.concatenate([np.arange(*each) for each in ends])
            self.buffers.append(buffer)
            self._gaps.append(torch.from_numpy(gaps).to(device) if gaps.size else None)
