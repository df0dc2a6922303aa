"""The table of the training runs, as text."""

from __future__ import annotations

import numpy as np
from training import OPTIMIZERS, RATES, SEEDS, STEPS, Run, select

TOLERANCE = 0.03  # a rate is called usable where the worst seed comes this near to the best median of the table


def table(runs: list[Run]) -> str:
    lines = [f"Test accuracy after {STEPS} full-batch steps, median of {len(SEEDS)} seeds (div: most of them diverged)",
             " " * 20 + "".join(f"{f'lr {rate:g}':>9}" for rate in RATES)]
    for optimizer, label in OPTIMIZERS.items():
        cells = [cell(select(runs, optimizer, rate)) for rate in RATES]
        lines.append(f"{label:<20}" + "".join(f"{text:>9}" for text in cells))
    note = ["Every option is the library's default (LARC: eta 0.002, clip). Where LARC clips, a layer's rate is",
            "lr * r = eta * |w| / |g|: once that holds in every layer, a higher lr changes nothing."]
    return "\n".join([*lines, "", *note, "", *usable(runs), "", *diverged(runs)])


def cell(runs: list[Run]) -> str:
    if sum(run.diverged for run in runs) * 2 > len(runs):
        return "div"
    return f"{median(runs):.3f}"


def median(runs: list[Run]) -> float:
    return float(np.median([run.accuracy for run in runs]))


def usable(runs: list[Run]) -> list[str]:
    best = max(median(select(runs, optimizer, rate)) for optimizer in OPTIMIZERS for rate in RATES)
    lines = [f"Rates at which every seed comes within {TOLERANCE} of the best median, {best:.3f}:"]
    for optimizer, label in OPTIMIZERS.items():
        rates = [rate for rate in RATES if all(
            run.accuracy >= best - TOLERANCE and not run.diverged for run in select(runs, optimizer, rate))]
        span = ", ".join(f"{rate:g}" for rate in rates) or "none"
        lines.append(f"  {label:<20}{span}" + (f" (a factor of {rates[-1] / rates[0]:.0f})" if len(rates) > 1 else ""))
    return lines


def diverged(runs: list[Run]) -> list[str]:
    lines = ["Diverged (a loss on the training images above that of guessing, or not finite):"]
    for optimizer, label in OPTIMIZERS.items():
        names = []
        for rate in RATES:
            at = select(runs, optimizer, rate)
            count = sum(run.diverged for run in at)
            if count:
                names.append(f"{rate:g}" + ("" if count == len(at) else f" ({count} of {len(at)} seeds)"))
        lines.append(f"  {label:<20}{'lr ' + ', '.join(names) if names else 'none'}")
    return lines
