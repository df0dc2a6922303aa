"""Which layers of a bucket have completed the same number of steps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class StepCounts:
    """What the host knows of the layers' numbers of completed steps, which lie on the device.

    Only which layers have the same number is needed, so a step that found_inf may have undone leaves it known where all
    layers took part. A write to the numbers from outside shows in their version.
    """

    # reading_waits: for the device; otherwise nothing is remembered

    def __init__(self, steps: Tensor, reading_waits: bool) -> None:
        self._steps = steps
        self._reading_waits = reading_waits
        self._counts: list[int] | None = None
        self._version = -1
        self._replayed_apart = False

    def parts(self, layers: Sequence[int], steps: Tensor, capturing: bool) -> list[list[int]]:
        """The layers, those with the same number of steps together. Reads from the device where that is not known."""
        if not self._known():
            if capturing:
                raise RuntimeError("a CUDA graph is being captured and the layers' numbers of steps are not known: run "
                                   "one step of this optimizer with the same gradients before the capture")
            self._counts = steps.tolist()
        counts = self._counts
        assert counts is not None
        parts: dict[int, list[int]] = {}
        for layer in layers:
            parts.setdefault(counts[layer], []).append(layer)
        return list(parts.values())

    def _known(self) -> bool:
        return (self._reading_waits and self._counts is not None and self._version == self._steps._version
                and not self._replayed_apart)

    def advanced(self, layers: Sequence[int], surely: bool, capturing: bool) -> None:
        """To be called when 1 has been added for these layers, or may have been."""
        assert self._counts is not None
        together = len(layers) == len(self._counts)
        if surely:
            for layer in layers:
                self._counts[layer] += 1
        elif not together:
            self._counts = None
        if capturing and not together:
            self._replayed_apart = True  # every replay adds 1 for these alone, unseen
        self._version = self._steps._version
