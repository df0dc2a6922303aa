"""layerwise.torch.like where momentum is 0: beside Nesterov, which some peers take without effect, and in checkpoints,
which have a momentum that nothing reads, none, or None for it.

Right values: without momentum b is h, so a step is w -= lr r h with or without Nesterov; a run that is loaded after 10
steps goes on as the one that was not interrupted. What the checkpoints hold is from runs of the peers' own code:
optax 0.2.8 keeps a trace of momentum 0, MXNet 1.9.1 None for each parameter, tinygrad 0.14.0 no b.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from test_torch_like import PROBLEM, run_of

import layerwise.torch

torch = torch_models.torch

SHAPES = {layer["name"]: layer["shape"] for layer in run_of("timm.Lars-lars")["layers"]}
MXNET_NAMES = [layer["name"] for layer in run_of("mxnet.LARS-correction")["layers"]]
RATES = [0.5 / (1 + number) for number in range(20)]


class Run:
    def __init__(self, name: str, in_groups: bool = False, weights: Any = None, **arguments: Any) -> None:
        names = MXNET_NAMES if name.startswith("mxnet") else list(SHAPES)
        weights = PROBLEM["initial_weights"] if weights is None else weights
        self.parameters = [torch.nn.Parameter(torch.tensor(values).reshape(shape))
                           for values, shape in zip(weights, SHAPES.values(), strict=True)]
        pairs = list(zip(names, self.parameters, strict=True))
        groups: Any = [{"params": [each for each in pairs if each[1].ndim > 1]},
                       {"params": [each for each in pairs if each[1].ndim < 2]}]
        self.optimizer: Any = layerwise.torch.like(name, groups if in_groups else pairs, **arguments)

    def step(self, number: int, lr: float | None) -> None:
        for parameter, grad in zip(self.parameters, PROBLEM["gradients_per_step"][number], strict=True):
            parameter.grad = torch.tensor(grad).reshape(parameter.shape)
        for group in self.optimizer.param_groups if lr is not None else ():
            group["lr"] = lr
        self.optimizer.step()

    def weights(self) -> list[list[float]]:
        return [parameter.detach().reshape(-1).tolist() for parameter in self.parameters]


@pytest.mark.parametrize(("name", "momentum", "nesterov"), [
    ("optax.lars", "momentum", "nesterov"), ("flax.optim.LARS", "beta", "nesterov"),
    ("tinygrad.nn.optim.LARS", "momentum", "nesterov"), ("tf_models.LARS", "momentum", "nesterov"),
    ("tf.contrib.opt.LARSOptimizer", "momentum", "use_nesterov"), ("pytorch_optimizer.LARS", "momentum", "nesterov")])
def test_nesterov_without_momentum_is_no_nesterov(name: str, momentum: str, nesterov: str) -> None:
    rate = {"lr": 0.5} if name.startswith(("tiny", "pytorch")) else {"learning_rate": 0.5}
    plain, other = (Run(name, **{momentum: 0.0, nesterov: value}, **rate) for value in (False, True))
    for number in range(5):
        plain.step(number, RATES[number])
        other.step(number, RATES[number])
    assert plain.weights() == other.weights()


@pytest.mark.parametrize(("name", "arguments"), [
    ("optax.lars", {"learning_rate": RATES.__getitem__, "momentum": 0.0}),
    ("flax.optim.LARS", {"learning_rate": RATES.__getitem__, "beta": 0.0})])
def test_a_schedule_goes_on_from_the_number_of_steps_in_a_checkpoint(name: str, arguments: dict[str, Any]) -> None:
    """It began anew: without a momentum there was no state that would have kept the number."""
    first = Run(name, **arguments)
    for number in range(10):
        first.step(number, None)
    saved = first.optimizer.peer_state_dict()
    second = Run(name, weights=first.weights(), **arguments)
    second.optimizer.load_peer_state_dict(saved)
    for number in range(10, 13):
        first.step(number, None)
        second.step(number, None)
        assert first.weights() == second.weights()
    moments = saved[3]["trace"] if name.startswith("optax") else {
        key: value["momentum"] for key, value in saved["param_states"].items()}
    assert {key: tuple(value.shape) for key, value in moments.items()} == {
        key: tuple(shape) for key, shape in SHAPES.items()}


@pytest.mark.parametrize(("name", "arguments", "state"), [
    ("mxnet.optimizer.LARS", {}, {str(number): None for number in range(8)}),
    ("mxnet.optimizer.LARS", {"momentum_correction": False}, {number: None for number in range(8)}),
    ("tinygrad.nn.optim.LARS", {"momentum": 0.0}, {"lr": [0.25], **{
        f"params.{number}": torch.zeros(shape) for number, shape in enumerate(SHAPES.values())}})])
@pytest.mark.parametrize("in_groups", [False, True])
def test_a_checkpoint_without_momentum_needs_no_rate_and_no_order(name: str, arguments: dict[str, Any], state: Any,
                                                                  in_groups: bool) -> None:
    run = Run(name, in_groups, **arguments)
    run.optimizer.load_peer_state_dict(state)
    assert run.optimizer.param_groups[-1]["lr"] == (0.25 if name.startswith("tiny") else 0.01)
    other = Run(name, in_groups, **arguments)
    run.step(0, 0.5)
    other.step(0, 0.5)
    assert run.weights() == other.weights()
