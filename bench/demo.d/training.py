"""The training runs: three optimizers, a grid of learning rates, real digits, every update through the C ABI."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import layerwise
import numpy as np
from network import Network
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

WIDTHS = [64, 256, 256, 256, 10]
STEPS = 30  # full batch
SEEDS = [0, 1, 2]
RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
GUESSING = math.log(10)  # the loss of ten equal probabilities

# Every option not named here is the library's default.
OPTIMIZERS = {
    "sgd": "SGD, momentum 0.9",
    "larc": "LARC, momentum 0.9",
    "novograd": "NovoGrad",
}


@dataclass
class Run:
    optimizer: str
    rate: float
    seed: int
    losses: list[float]  # before each update, and after the last
    accuracy: float  # on the test images
    factors: np.ndarray  # (steps, layers): LARC's r; NovoGrad's 1/d

    @property
    def diverged(self) -> bool:
        """Worse than guessing on the very images it was trained on."""
        return not self.losses[-1] <= GUESSING


def digits() -> list[np.ndarray]:
    """scikit-learn's 1797 images of 8 x 8: training images, test images, training labels, test labels."""
    images, labels = load_digits(return_X_y=True)
    return train_test_split((images / 16).astype(np.float32), labels, test_size=500, random_state=0, stratify=labels)


def train(optimizer: str, rate: float, seed: int) -> Run:
    images, test_images, labels, test_labels = digits()
    network = Network(WIDTHS, seed)
    momentum = np.zeros_like(network.weights)
    second_moment = np.zeros(len(network.sizes), np.float32)
    stats = np.zeros((STEPS, len(network.sizes), layerwise.STAT_COUNT))
    losses = []
    with layerwise.Plan(network.sizes, threads=1) as plan, np.errstate(all="ignore"):
        if optimizer == "sgd":  # LARC's factor is 1 in every layer: plain SGD with momentum
            plan.set_layers(skip_larc=[True] * plan.layers)
        for step in range(STEPS):
            losses.append(network.loss_and_gradient(images, labels))
            if optimizer == "novograd":
                plan.novograd_step(network.weights, network.grads, momentum, second_moment, lr=rate,
                                   layer_stats=stats[step])
            else:
                plan.larc_sgd_step(network.weights, network.grads, momentum, lr=rate, layer_stats=stats[step])
        losses.append(network.loss_and_gradient(images, labels))
        accuracy = network.accuracy(test_images, test_labels)
    return Run(optimizer, rate, seed, losses, accuracy, stats[:, :, layerwise.Stat.FACTOR])


def train_all(workers: int, train: Callable[[str, float, int], Run]) -> list[Run]:
    """Every optimizer at every rate from every seed, one process a core, with a bar for each optimizer."""
    runs = []
    with ProcessPoolExecutor(workers) as pool:
        for optimizer, label in OPTIMIZERS.items():
            jobs = [pool.submit(train, optimizer, rate, seed) for rate in RATES for seed in SEEDS]
            for job in tqdm(as_completed(jobs), desc=f"{label:<20}", total=len(jobs), unit="run", mininterval=0.5):
                runs.append(job.result())
    order = list(OPTIMIZERS)
    return sorted(runs, key=lambda run: (order.index(run.optimizer), run.rate, run.seed))


def select(runs: list[Run], optimizer: str, rate: float | None = None) -> list[Run]:
    return [run for run in runs if run.optimizer == optimizer and rate in (None, run.rate)]
