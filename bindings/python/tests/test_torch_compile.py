"""The registered operators: torch's own checks of them, and compiled steps beside eager ones, bit for bit.

No backend of the compiler changes what the operators compute, so "aot_eager", which needs no C++ compiler, serves.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, MAKERS, Network, NovoGrad, backward, same_bits, train, twins

from layerwise.torch import _ops

torch = torch_models.torch

own_optimizers = pytest.mark.parametrize("make", [MAKERS["NovoGrad"], MAKERS["LARCSGD"]], ids=["NovoGrad", "LARCSGD"])


@pytest.fixture(autouse=True)
def fresh_compiler() -> Any:
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class CompiledStep:
    """An optimizer whose step is compiled; everything else is its own."""

    def __init__(self, optimizer: Any, **options: Any) -> None:
        self.step = torch.compile(optimizer.step, backend="aot_eager", **options)
        self.zero_grad = optimizer.zero_grad


def calls_of(optimizer: Any, operator: str, monkeypatch: Any) -> list[dict[str, Any]]:
    """The arguments of the operator in one step."""
    calls: list[dict[str, Any]] = []
    own = getattr(_ops, operator)
    monkeypatch.setattr(_ops, "run", lambda called, **arguments: calls.append(arguments) if called is own else None)
    optimizer.step()
    monkeypatch.undo()
    return calls


@pytest.mark.parametrize(("operator", "make"), [
    ("novograd_step", lambda params: NovoGrad(params, torch.tensor(0.01), amsgrad=True)),
    ("larc_sgd_step", lambda params: LARCSGD(params, 0.1)),
    ("larc_scale", lambda params: LARC(torch.optim.SGD(params, 0.1)))])
def test_torch_finds_nothing_wrong_with_the_operators(operator: str, make: Any, monkeypatch: Any) -> None:
    network = Network()
    optimizer = make(network.parameters())
    backward(network, 0)
    network.hidden.weight.grad = None
    [arguments] = calls_of(optimizer, operator, monkeypatch)
    arguments["weights"] = [weight.detach() for weight in arguments["weights"]]
    results = torch.library.opcheck(getattr(_ops, operator), (), arguments)
    assert set(results.values()) == {"SUCCESS"}


def test_an_operator_tells_autograd_what_it_has_written() -> None:
    """Otherwise a backward pass through weights saved before the step would silently use the new ones."""
    network = Network()
    optimizer = NovoGrad(network.parameters(), 0.1)
    backward(network, 0)
    images, _ = torch_models.batch(1)
    saved = network(images).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.backward()


@own_optimizers
def test_a_compiled_step_is_one_graph_and_has_the_bits_of_an_eager_one(make: Any) -> None:
    first, optimizer, second, other = twins(make)
    train(first, optimizer, range(5))
    train(second, CompiledStep(other, fullgraph=True), range(5))
    assert same_bits(first, second)


@pytest.mark.parametrize("options", [{"flatten": True}, {"amsgrad": True}, {"threads": 2}])
def test_a_compiled_step_of_other_memory_has_the_bits_of_an_eager_one(options: Any) -> None:
    first, second = (Network().to(memory_format=torch.channels_last) for _ in range(2))
    optimizers = [NovoGrad(network.parameters(), 0.01, **options) for network in (first, second)]
    train(first, optimizers[0], range(3))
    train(second, CompiledStep(optimizers[1], fullgraph=True), range(3))
    assert same_bits(first, second)


@own_optimizers
def test_a_compiled_step_follows_gradients_of_none_a_loaded_state_and_a_scheduler(make: Any) -> None:
    networks, optimizers = [Network(), Network()], []
    for network, compiled in zip(networks, (False, True), strict=True):
        optimizer = make(network.parameters(), lr=torch.tensor(0.05))
        optimizers.append(optimizer)
        stepping = CompiledStep(optimizer, fullgraph=True) if compiled else optimizer
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        train(network, stepping, range(2))
        saved = copy.deepcopy(optimizer.state_dict())
        scheduler.step()
        train(network, stepping, range(2, 4))
        stepping.zero_grad()
        backward(network, 4)
        network.hidden.weight.grad = None
        stepping.step()
        optimizer.load_state_dict(saved)
        train(network, stepping, range(5, 8))
    assert same_bits(*networks)
    states = [optimizer.state[network.hidden.weight] for network, optimizer in zip(networks, optimizers, strict=True)]
    assert states[0]["step"] == states[1]["step"] == 5


@pytest.mark.parametrize("schedule", [
    lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
    lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=40)],
    ids=["ExponentialLR", "OneCycleLR, which moves momentum or beta1 too"])
@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
@own_optimizers
def test_a_schedule_makes_few_graphs_and_has_the_bits_of_eager_steps(make: Any, lr: Any, schedule: Any) -> None:
    """A graph for every value ends in torch's limit: the ninth step is eager, or with fullgraph an error. torch's own
    optimizers make two graphs."""
    first, second = Network(), Network()
    optimizers = [make(network.parameters(), lr=copy.deepcopy(lr)) for network in (first, second)]
    stepping = [optimizers[0], CompiledStep(optimizers[1], fullgraph=True)]  # before torch's scheduler wraps the step
    schedulers = [schedule(optimizer) for optimizer in optimizers]
    if torch.__version__ < "2.9" and make is MAKERS["LARCSGD"] and \
            isinstance(schedulers[0], torch.optim.lr_scheduler.OneCycleLR):
        pytest.skip("this version of torch makes a graph for every momentum")
    torch._dynamo.utils.counters.clear()
    for step in range(10):
        for network, each, scheduler in zip((first, second), stepping, schedulers, strict=True):
            train(network, each, range(step, step + 1))
            scheduler.step()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 3
    assert same_bits(first, second)


@pytest.mark.parametrize(("make", "option", "values"), [
    (lambda params: NovoGrad(params, 0.1), "lr_mult",
     (2.0, 0.5, 4.0, 1.0, (1.0, 2.0), (3.0, 2.0), (5.0, 1.0), (2.0, 7.0), None, 3.0)),
    (lambda params: LARCSGD(params, 0.1), "skip_larc", (True, False, (True, False), (False, True))),
    (lambda params: LARCSGD(params, 0.1), "momentum", (0.5, 0.0, 0.7)),
    (lambda params: LARC(torch.optim.SGD(params, 0.1), group_multipliers="apply"), "lr_mult", (2.0, (0.5, 4.0), None))],
    ids=["lr_mult", "skip_larc", "momentum", "LARC"])
def test_a_compiled_step_follows_options_that_change(make: Any, option: str, values: Any) -> None:
    """More values than torch makes graphs for; right is the eager step."""
    runs = []
    for compiled in (False, True):
        network = torch.nn.Linear(3, 2)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(1.0)
        optimizer = make(network.parameters())
        step = torch.compile(optimizer.step, backend="eager") if compiled else optimizer.step
        for value in (optimizer.param_groups[0].get(option), *values):
            optimizer.param_groups[0][option] = value
            for parameter in network.parameters():
                parameter.grad = torch.ones_like(parameter)
            step()
        runs.append(network)
    assert same_bits(*runs)


# torch's own compiled SGD rounds otherwise than its eager one in torch 2.11 and later: the right bits are those of an
# eager LARC around a compiled SGD.
def test_larc_around_another_optimizer_compiles_with_graph_breaks() -> None:
    first, optimizer, second, other = twins(MAKERS["LARC"])
    optimizer.optimizer.step = torch.compile(optimizer.optimizer.step, backend="aot_eager")
    train(first, optimizer, range(4))
    train(second, CompiledStep(other), range(4))
    assert same_bits(first, second)


def test_a_bucket_whose_optimizer_is_gone_is_refused() -> None:
    with pytest.raises(RuntimeError, match="bucket -1 is gone"):
        _ops.larc_scale(-1, [], [], [], torch.zeros(1), torch.zeros(1), None, None, None, [], [], [],
                        [0.1, 0.1, 0.0, 0.0, 0.0], None, [0, 0, 0, 0])
