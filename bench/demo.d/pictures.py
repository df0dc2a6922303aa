"""The pictures of the training runs. Colours are Okabe and Ito's, viridis and cividis: colour-blind readers
tell them apart."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from network import Network
from table import median
from training import GUESSING, OPTIMIZERS, RATES, SEEDS, STEPS, WIDTHS, Run, select

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm

STYLES = {"sgd": ("#D55E00", "o", "--"), "larc": ("#0072B2", "s", "-"), "novograd": ("#009E73", "^", "-.")}
FACTOR_RATES = [0.1, 1, 10]


def draw_all(runs: list[Run], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    pyplot.rcParams.update({"figure.dpi": 130, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    drawn = []
    for name, draw in (("accuracy", accuracy), ("loss", loss), ("larc-factors", factors)):
        figure = draw(runs)
        drawn.append(folder / f"{name}.png")
        figure.savefig(drawn[-1])
        pyplot.close(figure)
    return drawn


def accuracy(runs: list[Run]) -> pyplot.Figure:
    """Accuracy against learning rate: the median of the seeds as a line, their range as a band."""
    figure, axes = pyplot.subplots(figsize=(8, 4.6), layout="constrained")
    for optimizer, label in OPTIMIZERS.items():
        color, marker, line = STYLES[optimizer]
        groups = [select(runs, optimizer, rate) for rate in RATES]
        spread = [[run.accuracy for run in group] for group in groups]
        axes.fill_between(RATES, [min(s) for s in spread], [max(s) for s in spread], color=color, alpha=0.18, lw=0)
        axes.plot(RATES, [median(group) for group in groups], line, color=color, marker=marker, label=label)
    axes.axhline(0.1, color="0.6", lw=0.8, ls=":")
    axes.text(RATES[0], 0.115, "guessing", color="0.4", fontsize=9)
    axes.set(xscale="log", xlabel="learning rate", ylabel="accuracy on 500 test images", ylim=(0, 1.02),
             title=f"Digits, {STEPS} full-batch steps: median and range of {len(SEEDS)} seeds")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left", bbox_to_anchor=(0.02, 0.16), frameon=False)
    return figure


def loss(runs: list[Run]) -> pyplot.Figure:
    """Loss curves of the first seed, one panel an optimizer, coloured by learning rate; thinner lines lie on top."""
    figure, panels = pyplot.subplots(1, len(OPTIMIZERS), figsize=(11, 4), sharey=True, layout="constrained")
    colors = ListedColormap(pyplot.get_cmap("viridis")(np.linspace(0, 0.93, len(RATES))))
    scale = pyplot.cm.ScalarMappable(BoundaryNorm(np.arange(len(RATES) + 1) - 0.5, len(RATES)), colors)
    for axes, (optimizer, label) in zip(panels, OPTIMIZERS.items()):
        for index, rate in enumerate(RATES):
            run = next(run for run in select(runs, optimizer, rate) if run.seed == SEEDS[0])
            axes.plot(range(STEPS + 1), run.losses, color=scale.to_rgba(index), lw=4 - 0.26 * index,
                      ls=":" if run.diverged else "-")
        axes.axhline(GUESSING, color="0.5", lw=0.8)
        axes.set(yscale="log", ylim=(2e-2, 50), xlim=(0, STEPS), title=label, xlabel="steps")
        axes.grid(alpha=0.25)
    figure.suptitle("Training loss of the first seed; coinciding lines show as stripes", fontsize=11)
    panels[0].set_ylabel("loss on the training images (nats)")
    panels[1].text(STEPS - 0.5, GUESSING * 1.15, "guessing", color="0.35", fontsize=9, ha="right")
    panels[-1].plot([], [], "k:", label="diverged")
    panels[-1].legend(loc="lower left", frameon=False)
    bar = figure.colorbar(scale, ax=panels, label="learning rate", ticks=range(len(RATES)))
    bar.ax.set_yticklabels([f"{rate:g}" for rate in RATES])
    bar.ax.minorticks_off()
    return figure


def factors(runs: list[Run]) -> pyplot.Figure:
    """LARC's factor by layer and step, at three learning rates: how it takes back what the rate has too much."""
    figure, panels = pyplot.subplots(1, len(FACTOR_RATES), figsize=(11, 3.8), sharey=True, layout="constrained")
    chosen = [next(run for run in select(runs, "larc", rate) if run.seed == SEEDS[0]) for rate in FACTOR_RATES]
    lowest = min(run.factors[run.factors > 0].min() for run in chosen)
    image = None
    for axes, run in zip(panels, chosen):
        image = axes.imshow(run.factors.T, aspect="auto", cmap="cividis", norm=LogNorm(lowest, 1),
                            extent=(0.5, STEPS + 0.5, len(run.factors.T) - 0.5, -0.5), interpolation="nearest")
        axes.set(title=f"learning rate {run.rate:g}", xlabel="step")
    figure.suptitle("LARC's factor of each layer, first seed", fontsize=11)
    names = Network(WIDTHS, 0).names
    panels[0].set_yticks(np.arange(len(names)), names)
    figure.colorbar(image, ax=panels, label="LARC's factor r (1: plain SGD)")
    return figure
