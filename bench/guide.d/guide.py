"""What learning rates, trust coefficients and decay do, run by run; started by bench/guide."""

from __future__ import annotations

import argparse
import csv
import importlib.util
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "bindings" / "python" / "examples"))
import train_torch

OUT = Path("build/guide")
DECADES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Setting(NamedTuple):
    """A row of a table, the number that its columns go by, and the optimizer's own options."""

    row: str
    column: float
    optimizer: str
    lr: float
    options: dict[str, Any] = {}


def rates() -> Iterator[Setting]:
    for optimizer in train_torch.RATES:
        yield from (Setting(optimizer, lr, optimizer, lr) for lr in DECADES)


def averaging() -> Iterator[Setting]:
    for averages in (False, True):
        yield from (Setting(f"grad_averaging={averages}", lr, "novograd", lr, {"grad_averaging": averages})
                    for lr in DECADES)


def eta() -> Iterator[Setting]:
    for coefficient in (0.0005, 0.002, 0.02):
        yield from (Setting(f"eta {coefficient:g}", lr, "larc", lr, {"trust_coefficient": coefficient})
                    for lr in DECADES[2:])


def decay() -> Iterator[Setting]:
    for optimizer in ("novograd", "adamw", "larc"):
        lr = train_torch.RATES[optimizer]["digits"]
        yield from (Setting(f"{optimizer}, lr {lr:g}", value, optimizer, lr, {"weight_decay": value})
                    for value in (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0))


PARTS: dict[str, tuple[str, Callable[[], Iterator[Setting]]]] = {
    "rates": ("lr", rates), "averaging": ("lr", averaging), "eta": ("lr", eta), "decay": ("weight_decay", decay)}


def taken(setting: Setting, task: train_torch.Task, options: argparse.Namespace) -> list[float]:
    """The share of the test set that is guessed right, by seed."""
    given = train_torch.parsed(["--steps", str(options.steps)])
    found = []
    for seed in range(options.seeds):
        run = train_torch.Run(task, given, setting.optimizer, setting.lr, seed, **setting.options)
        run.train(options.steps)
        found.append(run.measure(task.test)[1])
    return found


def table(part: str, task: train_torch.Task, options: argparse.Namespace) -> None:
    axis, settings = PARTS[part]
    rows: dict[str, dict[float, list[float]]] = {}
    for setting in settings():
        rows.setdefault(setting.row, {})[setting.column] = taken(setting, task, options)
    columns = list(next(iter(rows.values())))
    print(f"\n{part}: median share of the test set, {options.seeds} seeds, {options.steps} steps, by {axis}\n"
          f"{'':24}" + "".join(f"{column:>8g}" for column in columns))
    for row, found in rows.items():
        print(f"{row:24}" + "".join(f"{statistics.median(found[column]):8.3f}" for column in columns), flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / f"{part}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", axis, "seed", "right"])
        writer.writerows([row, column, seed, right] for row, found in rows.items()
                         for column, rights in found.items() for seed, right in enumerate(rights))
    if importlib.util.find_spec("matplotlib"):
        picture(part, axis, rows)


def picture(part: str, axis: str, rows: dict[str, dict[float, list[float]]]) -> None:
    """Medians as lines, the spread over the seeds behind them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for row, found in rows.items():
        columns = list(found)
        axes.plot(columns, [statistics.median(found[column]) for column in columns], marker=".", label=row)
        axes.fill_between(columns, [min(found[column]) for column in columns],
                          [max(found[column]) for column in columns], alpha=0.2)
    axes.set_xscale("symlog" if 0.0 in columns else "log", **({"linthresh": 1e-4} if 0.0 in columns else {}))
    axes.set(xlabel=axis, ylabel="share of the test set", title=part)
    axes.legend()
    figure.tight_layout()
    figure.savefig(OUT / f"{part}.png", dpi=120)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/guide")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    options = parser.parse_args()
    if unknown := set(options.parts.split(",")) - PARTS.keys():
        parser.error(f"no such parts: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    task = train_torch.digits()
    for part in options.parts.split(","):
        table(part, task, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
