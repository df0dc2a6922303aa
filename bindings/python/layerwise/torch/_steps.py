"""Which layers of a bucket have completed the same number of steps."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class _Count(NamedTuple):
    tensor: weakref.ref[Tensor]
    version: int
    steps: int


_TOLD = 1  # what autograd is told before a call that writes a number, in every version


class StepCounts:
    """What the host knows of the layers' numbers of completed steps, which lie on the device, each in its own tensor.

    Only which layers have the same number is needed, so a step that found_inf may have undone leaves it known where all
    layers took part. A write to a number from outside shows in its tensor's version, another tensor in its identity.

    layers         how many
    reading_waits  for the device; where it costs nothing, they are read at every step
    """

    def __init__(self, layers: int, reading_waits: bool) -> None:
        self._layers = layers
        self._reading_waits = reading_waits
        self._counts: dict[int, _Count] = {}
        self._replayed_apart = False

    def parts(self, layers: Sequence[int], steps: Sequence[Tensor], capturing: bool) -> list[list[int]]:
        """The layers, those with the same number of steps together. steps has the number of each of these layers. Reads
        from the device where they are not known. To be called when autograd has been told that they are written."""
        # In inference mode nothing is told, so that a version says less.
        if torch.is_inference_mode_enabled() or not all(map(self._is_known, layers, steps)):
            if capturing:
                raise RuntimeError("a CUDA graph is being captured and the layers' numbers of steps are not known: run "
                                   "one step of this optimizer with the same gradients before the capture")
            self._counts = {}  # of others the difference to these may not be known
            for layer, step, count in zip(layers, steps, torch.stack(list(steps)).tolist(), strict=True):
                self._counts[layer] = _Count(weakref.ref(step), step._version, count)
        parts: dict[int, list[int]] = {}
        for layer in layers:
            parts.setdefault(self._counts[layer].steps, []).append(layer)
        return list(parts.values())

    def _is_known(self, layer: int, step: Tensor) -> bool:
        count = self._counts.get(layer)
        return (self._reading_waits and not self._replayed_apart and count is not None and count.tensor() is step
                and step._version == count.version + _TOLD)

    def advanced(self, layers: Sequence[int], steps: Sequence[Tensor], surely: bool, capturing: bool) -> None:
        """To be called when 1 has been added for these layers, or may have been."""
        if capturing and len(layers) < self._layers:
            self._replayed_apart = True  # every replay adds 1 for these alone, unseen
        if not surely and len(layers) < len(self._counts):
            self._counts = {}
            return
        for layer, step in zip(layers, steps, strict=True):
            count = self._counts[layer]
            self._counts[layer] = _Count(count.tensor, step._version, count.steps + surely)
