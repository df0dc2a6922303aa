"""What the tests of layerwise.torch share; importing it skips them, visibly, where PyTorch is not installed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("layerwise.torch")

from layerwise.torch import LARC, LARCSGD, NovoGrad  # noqa: E402

torch.set_num_threads(1)  # the networks are small, and threads that spin for each other are slow on a busy machine

MAKERS: dict[str, Callable[..., Any]] = {
    "NovoGrad": lambda params, lr=0.01, **options: NovoGrad(params, lr, bias_correction=True, threads=1, **options),
    "LARCSGD": lambda params, lr=0.1, **options: LARCSGD(params, lr, weight_decay=1e-4, **options),
    "LARC": lambda params, lr=0.1: LARC(
        torch.optim.SGD(params, lr, momentum=0.9, weight_decay=1e-4), threads=1),
    "LARC(NovoGrad)": lambda params, lr=0.01: LARC(NovoGrad(params, lr, threads=1), threads=1),
}

each_optimizer = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


class Network(torch.nn.Module):
    """A small network of real layers: convolution, normalization, dense layers."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.normalization = torch.nn.GroupNorm(2, 8)
        self.hidden = torch.nn.Linear(8 * 6 * 6, 32)
        self.output = torch.nn.Linear(32, 5)

    def forward(self, images: Any) -> Any:
        hidden = torch.tanh(self.normalization(self.convolution(images))).flatten(1)
        return self.output(torch.tanh(self.hidden(hidden)))


def batch(step: int, dtype: Any = None) -> tuple[Any, Any]:
    """Images and labels, the same at the same step."""
    random = np.random.default_rng(step)
    images = torch.from_numpy(random.standard_normal((16, 3, 6, 6)).astype(np.float32))
    return images.to(dtype or torch.float32), torch.from_numpy(random.integers(0, 5, 16))


def backward(network: Any, step: int, scale: float = 1.0) -> Any:
    """Adds the gradients of one batch; returns the loss."""
    images, labels = batch(step, next(network.parameters()).dtype)
    loss = torch.nn.functional.cross_entropy(network(images).float(), labels) * scale
    loss.backward()
    return loss.detach()


def train(network: Any, optimizer: Any, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        backward(network, step)
        optimizer.step()


def same_bits(first: Any, second: Any) -> bool:
    """Whether two modules have the same weights, bit for bit."""
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def twins(make: Callable[..., Any]) -> tuple[Any, Any, Any, Any]:
    """Two equal networks with an optimizer each."""
    first = Network()
    second = copy.deepcopy(first)
    return first, make(first.parameters()), second, make(second.parameters())


# Their results depend on the number of steps.
COUNTING = {
    "NovoGrad": lambda params, **options: NovoGrad(params, 0.01, bias_correction=True, threads=1, **options),
    "NovoGrad averaging": lambda params, **options: NovoGrad(
        params, 0.01, grad_averaging=True, average_first_step=False, amsgrad=True, threads=1, **options),
    "LARCSGD": lambda params, **options: LARCSGD(params, 0.1, dampening=0.5, threads=1, **options),
}
each_counting = pytest.mark.parametrize("make", COUNTING.values(), ids=COUNTING)


def stepped(make: Any, steps: int = 3) -> tuple[Any, Any]:
    network = Network()
    optimizer = make(network.parameters())
    train(network, optimizer, range(steps))
    return network, optimizer
