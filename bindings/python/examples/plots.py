"""A picture of every layer's factor and effective rate over the steps, by matplotlib."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

Row = tuple[int, str, float, float]  # step, layer, factor, effective rate
PANELS = ("factor", "effective learning rate")


def cannot_draw(path: Path) -> str:
    """Why no picture can be written there, to be asked before anything is trained; empty if one can."""
    if importlib.util.find_spec("matplotlib") is None:
        return "matplotlib is not installed (pip install matplotlib); --factors writes the same numbers as a CSV"
    from matplotlib.figure import Figure

    kinds = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        return f"{path} has no ending of a picture: {', '.join(sorted(kinds))}"
    return "" if path.absolute().parent.is_dir() else f"{path.absolute().parent} is no folder"


def draw(rows: Iterable[Row], path: Path, title: str) -> None:
    """Logarithmic, since the factors of layers differ by orders of magnitude; what is 0 or NaN is not drawn."""
    from matplotlib.figure import Figure

    by_layer: dict[str, list[tuple[int, float, float]]] = {}
    for step, layer, *values in rows:
        by_layer.setdefault(layer, []).append((step, values[0], values[1]))
    figure = Figure(figsize=(9, 7), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(2, 1, sharex=True)
    for panel, (axis, name) in enumerate(zip(axes, PANELS, strict=True)):
        for layer, points in by_layer.items():
            steps, values = [point[0] for point in points], [point[1 + panel] for point in points]
            axis.plot(steps, values, label=layer, linewidth=1.2)
        axis.set_yscale("log")
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[1].set_xlabel("step")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=130)
