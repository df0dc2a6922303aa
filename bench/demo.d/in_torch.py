"""The same runs in PyTorch: the network a torch.nn.Module, every update through layerwise.torch."""

from __future__ import annotations

from collections.abc import Callable

import layerwise.torch
import numpy as np
import torch
from network import Network
from training import STEPS, WIDTHS, Run, digits


def perceptron(seed: int) -> torch.nn.Sequential:
    """The network of network.py, its first weights included."""
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in zip(WIDTHS, WIDTHS[1:]):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    module = torch.nn.Sequential(*layers[:-1])
    start = Network(WIDTHS, seed)
    parts = np.split(start.weights, np.cumsum(start.sizes)[:-1])
    with torch.no_grad():
        for parameter, part, shape in zip(module.parameters(), parts, start.shapes):
            parameter.copy_(torch.from_numpy(part.reshape(shape).T))
    return module


def make_optimizer(optimizer: str, module: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    if optimizer == "novograd":
        return layerwise.torch.NovoGrad(module.named_parameters(), rate, threads=1)
    return layerwise.torch.LARCSGD(module.named_parameters(), rate, skip_larc=optimizer == "sgd", threads=1)


def train(optimizer: str, rate: float, seed: int) -> Run:
    torch.set_num_threads(1)
    images, test_images, labels, test_labels = map(torch.from_numpy, digits())
    module = perceptron(seed)
    stepping = make_optimizer(optimizer, module, rate)
    losses, factors = [], np.zeros((STEPS, len(list(module.parameters()))))
    for step in range(STEPS):
        stepping.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(images), labels)
        loss.backward()
        losses.append(float(loss.detach()))
        stepping.step()
        for layer, row in enumerate(stepping.layer_stats().values()):
            factors[step, layer] = row.factor
    with torch.no_grad():
        losses.append(float(torch.nn.functional.cross_entropy(module(images), labels)))
        accuracy = float((module(test_images).argmax(1) == test_labels).float().mean())
    return Run(optimizer, rate, seed, losses, accuracy, factors)


def scattered_step(weights: np.ndarray, grads: np.ndarray, momentum: np.ndarray,
                   sizes: list[int]) -> Callable[[], None]:
    """A step on parameters that lie in these arrays; the momentum is the optimizer's own."""
    parameters = [torch.nn.Parameter(part) for part in torch.from_numpy(weights).split(sizes)]
    for parameter, grad in zip(parameters, torch.from_numpy(grads).split(sizes)):
        parameter.grad = grad
    return layerwise.torch.NovoGrad(parameters, 1e-6).step
