"""Times in turn: A B C A B C ..., so that whatever disturbs the machine disturbs all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

LEAST = 5  # rounds, whatever time they take


class Step(NamedTuple):
    run: Callable[[], object]
    before: Callable[[], object] = lambda: None  # what comes right before it, not timed


def in_turn(steps: Sequence[Step], seconds: float, clock: Callable[[], float]) -> list[list[float]]:
    """The microseconds of each step in every round; the first round, in which plans and state are made, is left out."""
    rounds: list[list[float]] = []
    end = None
    while end is None or time.perf_counter() < end or len(rounds) < LEAST:
        row = []
        for step in steps:
            step.before()
            begin = clock()
            step.run()
            row.append((clock() - begin) * 1e6)
        if end is None:
            end = time.perf_counter() + seconds
        else:
            rounds.append(row)
    return [list(column) for column in zip(*rounds, strict=True)]


def ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    """Round by round, the median."""
    return statistics.median(time / other for time, other in zip(times, reference, strict=True))
