"""`optimizer.state[p]` is the truth, whoever has written it.

Where the right value is another run's: a parameter in an optimizer of its own keeps its own state and counts its own
steps, and an optimizer that was just made takes a first step.
"""

from __future__ import annotations

import collections
import copy
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import (
    COUNTING,
    LARC,
    LARCSGD,
    Network,
    NovoGrad,
    backward,
    each_counting,
    same_bits,
    stepped,
    train,
)

from layerwise.torch._steps import StepCounts

torch = torch_models.torch


def zero(optimizer: Any, how: str) -> None:
    for values in optimizer.state.values():
        for name, value in values.items():
            if how == "replaced":
                values[name] = torch.zeros_like(value)
            elif how == "data":
                value.data = torch.zeros_like(value)
            else:
                value.zero_()


RESETS = {
    "a new dict": lambda optimizer: setattr(optimizer, "state", collections.defaultdict(dict)),
    "a plain dict": lambda optimizer: setattr(optimizer, "state", {}),
    "cleared": lambda optimizer: optimizer.state.clear(),
    "emptied": lambda optimizer: [values.clear() for values in optimizer.state.values()],
    "empty ones assigned": lambda optimizer: optimizer.state.update({parameter: {} for parameter in optimizer.state}),
    "zeros replace all": lambda optimizer: zero(optimizer, "replaced"),
    "zeros in place": lambda optimizer: zero(optimizer, "in place"),
    "zeros in data": lambda optimizer: zero(optimizer, "data"),
}


@pytest.mark.parametrize(("make", "compiled"), [
    *((make, False) for make in COUNTING.values()), (COUNTING["NovoGrad"], True)], ids=[*COUNTING, "compiled"])
@pytest.mark.parametrize("reset", RESETS.values(), ids=RESETS)
def test_a_state_that_was_emptied_gives_a_first_step(make: Any, reset: Any, compiled: bool) -> None:
    network, optimizer = Network(), None
    optimizer = make(network.parameters())
    torch._dynamo.reset()
    step = torch.compile(optimizer.step, backend="aot_eager") if compiled else optimizer.step
    for batch in range(3):
        optimizer.zero_grad()
        backward(network, batch)
        step()
    fresh = copy.deepcopy(network)
    reset(optimizer)
    for batch in range(3, 5):
        optimizer.zero_grad()
        backward(network, batch)
        step()
    train(fresh, make(fresh.parameters()), range(3, 5))
    assert same_bits(network, fresh)
    assert all(values["step"] == 2 for values in optimizer.state.values())


@each_counting
def test_one_parameters_state_may_be_taken_away(make: Any) -> None:
    """Right is that parameter in an optimizer that was just made, and the others in the old one."""
    network, optimizer = stepped(make)
    other = copy.deepcopy(network)
    rest = make([p for p in other.parameters() if p is not other.hidden.weight])
    rest.load_state_dict(_without(optimizer.state_dict(), 4))
    del optimizer.state[network.hidden.weight]
    train(network, optimizer, range(3, 6))
    both = [rest, make([other.hidden.weight])]
    for batch in range(3, 6):
        other.zero_grad()
        backward(other, batch)
        for each in both:
            each.step()
    assert same_bits(network, other)
    assert int(optimizer.state[network.hidden.weight]["step"]) == 3


def _without(saved: Any, position: int) -> Any:
    """A state dict of one group, without one of its parameters."""
    kept = [index for index in saved["param_groups"][0]["params"] if index != position]
    group = {**saved["param_groups"][0], "params": [*range(len(kept))]}
    return {"state": {new: saved["state"][old] for new, old in enumerate(kept)}, "param_groups": [group]}


def as_loaded_by_others(values: Any, kind: str) -> Any:
    """A parameter's state as tools bring it back."""
    if kind == "numbers":
        return {name: value.item() if value.dim() == 0 else value.clone() for name, value in values.items()}
    if kind == "other dtypes":
        return {name: value.double() if name != "step" else value.float() for name, value in values.items()}
    return {name: value.clone() for name, value in values.items()}


@each_counting
@pytest.mark.parametrize("kind", ["tensors", "numbers", "other dtypes"])
@pytest.mark.parametrize("whole", [True, False], ids=["dict", "entries"])
def test_a_state_that_was_assigned_is_taken_over_its_step_included(make: Any, kind: str, whole: bool) -> None:
    """As ZeroRedundancyOptimizer and offloaders do, into an optimizer that has gone on for some steps."""
    network, optimizer = stepped(make)
    saved = {name: as_loaded_by_others(optimizer.state[p], kind) for name, p in network.named_parameters()}
    weights = copy.deepcopy(network.state_dict())
    train(network, optimizer, range(3, 6))
    once = copy.deepcopy(network)
    train(network, optimizer, range(6, 8))
    network.load_state_dict(weights)
    for name, parameter in network.named_parameters():
        if whole:
            optimizer.state[parameter] = saved[name]
        else:
            optimizer.state[parameter].update(saved[name])
    train(network, optimizer, range(3, 6))
    assert same_bits(network, once)
    assert all(int(values["step"]) == 6 for values in optimizer.state.values())
    assert all(values["step"].dtype == torch.int64 for values in optimizer.state.values())


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("entry", ["step", "second_moment", "first_moment"])
@pytest.mark.parametrize("way", ["entry", "dict", "data", "in place"])
def test_one_entry_that_was_changed_is_seen(entry: str, way: str, compiled: bool) -> None:
    """Right is what an optimizer does that loads the same values."""
    network, optimizer = Network(), None
    optimizer = COUNTING["NovoGrad"](network.parameters())
    torch._dynamo.reset()
    step = torch.compile(optimizer.step, backend="aot_eager") if compiled else optimizer.step

    def run(batches: range) -> None:
        for batch in batches:
            optimizer.zero_grad()
            backward(network, batch)
            step()

    run(range(3))
    state = optimizer.state[network.hidden.weight]
    value = torch.full_like(state[entry], 1 if entry == "step" else 0.25)
    other = copy.deepcopy(network)
    loaded = COUNTING["NovoGrad"](other.parameters())
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][4][entry] = value.clone()
    loaded.load_state_dict(saved)
    if way == "entry":
        state[entry] = value
    elif way == "dict":
        optimizer.state[network.hidden.weight] = {**state, entry: value}
    elif way == "data":
        state[entry].data = value
    else:
        state[entry].copy_(value)
    run(range(3, 6))
    train(other, loaded, range(3, 6))
    assert same_bits(network, other)
    assert int(optimizer.state[network.hidden.weight]["step"]) == (4 if entry == "step" else 6)


@pytest.mark.parametrize(("make", "compiled"), [
    *((make, False) for make in COUNTING.values()), (COUNTING["NovoGrad"], True)], ids=[*COUNTING, "compiled"])
@pytest.mark.parametrize("scaled", [False, True], ids=["", "found_inf"])
def test_every_parameter_counts_the_steps_in_which_it_had_a_gradient(make: Any, compiled: bool, scaled: bool) -> None:
    """As in torch's own optimizers. Right is each parameter in an optimizer of its own."""
    together, apart = Network(), Network()
    optimizer = make(together.parameters())
    torch._dynamo.reset()
    stepping = torch.compile(optimizer.step, backend="aot_eager") if compiled else optimizer.step
    own = {name: make([parameter]) for name, parameter in apart.named_parameters()}
    random = torch.Generator().manual_seed(1)
    counts = collections.Counter()
    for step in range(12):
        parts = {name for name in own if step < 1 or torch.rand((), generator=random) < 0.6}
        found_inf = torch.tensor(float(scaled and step in (2, 5)))
        for network in (together, apart):
            network.zero_grad()
            backward(network, step)
            for name, parameter in network.named_parameters():
                if name not in parts:
                    parameter.grad = None
        if scaled:
            optimizer.found_inf = found_inf
        stepping()
        for name, each in own.items():
            each.found_inf = found_inf if scaled else None
            if name in parts:
                each.step()
        if not found_inf:
            counts.update(parts)
        assert same_bits(together, apart), step
    assert {name: int(optimizer.state[p]["step"]) for name, p in together.named_parameters()} == counts


def test_what_the_host_knows_of_steps_is_read_again_whenever_it_may_be_wrong(monkeypatch: Any) -> None:
    """On a GPU reading waits for the device. Here a count of the reads, and always the layers' own numbers."""
    steps = [torch.zeros((), dtype=torch.int64) for _ in range(3)]
    counts, reads = StepCounts(3, reading_waits=True), []
    monkeypatch.setattr(torch, "stack", lambda tensors: reads.append(1) or torch.tensor([int(each) for each in tensors]))

    def step(layers: list[int], sure: bool = True, capturing: bool = False, runs: bool = True) -> tuple[Any, int]:
        reads.clear()
        taken = [steps[layer] for layer in layers]
        for each in taken:
            torch.autograd.graph.increment_version(each)  # as is told before every call
        parts = counts.parts(layers, taken, capturing)
        for each in taken:
            each += runs and not capturing
        counts.advanced(layers, taken, sure, capturing)
        return parts, len(reads)

    assert step([0, 1, 2]) == ([[0, 1, 2]], 1)
    assert step([0, 1, 2]) == ([[0, 1, 2]], 0)
    assert step([0, 2]) == ([[0, 2]], 0)
    assert step([0, 1, 2]) == ([[0, 2], [1]], 0)
    assert step([0, 1, 2], sure=False, runs=False) == ([[0, 2], [1]], 0)  # found_inf: none has advanced, or all have
    assert step([1], sure=False) == ([[1]], 0)
    assert step([0, 1, 2]) == ([[0, 1, 2]], 1)  # 4 each by now, and found_inf was not known
    steps[1].fill_(7)  # written from outside
    assert step([0, 1, 2]) == ([[0, 2], [1]], 1)
    steps[0] = torch.tensor(8)  # replaced
    assert step([0, 1, 2]) == ([[0, 1], [2]], 1)
    assert step([0, 1, 2], capturing=True) == ([[0, 1], [2]], 0)
    assert step([0, 2], capturing=True) == ([[0], [2]], 0)
    for each in steps[:2]:
        each.data += 5  # replays, which nothing here can see
    assert step([0, 1, 2])[1] == 1
    with pytest.raises(RuntimeError, match="numbers of steps are not known"):
        step([0, 1, 2], capturing=True)


# ---- Groups ----------------------------------------------------------------------------------------------------------


@each_counting
def test_a_parameter_that_was_moved_to_another_group_goes_on(make: Any) -> None:
    """Both groups have the same options, so moving must change nothing."""
    networks = [Network(), Network()]
    for moved, network in enumerate(networks):
        optimizer = make([{"params": [*network.hidden.parameters()]}, {"params": [*network.output.parameters()]}])
        first, second = optimizer.param_groups
        for step in range(6):
            if moved and step == 2:
                second["params"].append(first["params"].pop(0))
            if moved and step == 4:
                first["params"].append(second["params"].pop(1))
            train(network, optimizer, range(step, step + 1))
        assert [int(optimizer.state[p]["step"]) for p in network.hidden.parameters()] == [6, 6]
    assert same_bits(*networks)


def moved_by(parameters: list[Any], optimizer: Any) -> list[float]:
    """How far a step moves each parameter; the gradients' norms are 1."""
    before = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.tensor([0.6, 0.8])
    optimizer.step()
    return [round(float((old - new.detach()).norm()), 4) for old, new in zip(before, parameters, strict=True)]


@pytest.mark.parametrize("make", [
    lambda group: NovoGrad([group], 1.0, betas=(0.0, 0.0), eps=0.0, weight_decay=0.0, group_multipliers="apply"),
    lambda group: LARCSGD([group], 1.0, momentum=0.0, skip_larc=True, group_multipliers="apply")],
    ids=["NovoGrad", "LARCSGD"])
def test_multipliers_follow_their_parameters_when_a_group_changes(make: Any) -> None:
    """Right: a step of lr * lr_mult."""
    parameters = [torch.nn.Parameter(torch.tensor([300.0, 400.0])) for _ in range(4)]
    optimizer = make({"params": [*parameters], "lr_mult": [0.25, 0.5, 1.0, 2.0]})
    group = optimizer.param_groups[0]
    assert moved_by(parameters, optimizer) == [0.25, 0.5, 1.0, 2.0]
    group["params"].reverse()
    group["lr_mult"] = group["lr_mult"][::-1]
    assert moved_by(parameters, optimizer) == [0.25, 0.5, 1.0, 2.0]
    assert group["params"].pop(1) is parameters.pop(2)
    group["lr_mult"] = [2.0, 0.5, 0.25]
    assert moved_by(parameters, optimizer) == [0.25, 0.5, 2.0]
    parameters.append(torch.nn.Parameter(torch.tensor([300.0, 400.0])))
    group["params"].append(parameters[-1])
    with pytest.raises(ValueError, match="lr_mult has 3 values: it must be one number, or one for each of the"):
        moved_by(parameters, optimizer)
    group["lr_mult"] = (2.0, 0.5, 0.25, 4.0)
    assert moved_by(parameters, optimizer) == [0.25, 0.5, 2.0, 4.0]
    group["lr_mult"] = 3.0
    assert moved_by(parameters, optimizer) == [3.0] * 4


def test_larcs_exceptions_follow_their_parameters_when_a_group_changes() -> None:
    """Right: |w| is 500, so r is 0.001 * 500 = 0.5, and 1 where it is skipped."""
    parameters = [torch.nn.Parameter(torch.tensor([300.0, 400.0])) for _ in range(3)]
    optimizer = LARC(torch.optim.SGD([{"params": [*parameters], "skip_larc": [True, False, False]}], 1.0), 0.001)
    group = optimizer.param_groups[0]
    for expected in ([1.0, 0.5, 0.5], [1.0, 0.5, 0.5]):
        for parameter in parameters:
            parameter.data = torch.tensor([300.0, 400.0])
        assert moved_by(parameters, optimizer) == pytest.approx(expected, rel=1e-3)
        group["params"].reverse()
        group["skip_larc"] = [False, False, True]


def test_groups_that_come_and_go_keep_apart() -> None:
    """A group that is removed leaves its number to another."""
    network, twin = Network(), Network()
    optimizer = COUNTING["NovoGrad"]([{"params": [*part.parameters()]} for part in (network.hidden, network.output)])
    train(network, optimizer, range(2))
    gone = optimizer.param_groups.pop(0)
    optimizer.add_param_group({"params": [*network.convolution.parameters()], "lr": 0.02})
    train(network, optimizer, range(2, 4))
    optimizer.param_groups.append(gone)
    train(network, optimizer, range(4, 6))

    own = [COUNTING["NovoGrad"](twin.hidden.parameters()), COUNTING["NovoGrad"](twin.output.parameters()),
           NovoGrad(twin.convolution.parameters(), 0.02, bias_correction=True)]
    for step, parts in enumerate([own[:2]] * 2 + [own[1:]] * 2 + [own] * 2):
        twin.zero_grad()
        backward(twin, step)
        for each in parts:
            each.step()
    assert same_bits(network, twin)


def test_the_last_statistics_of_a_layer_stay_when_others_come_and_go() -> None:
    network = Network()
    optimizer = NovoGrad(network.named_parameters(), 0.01)
    network.hidden.weight.requires_grad_(False)
    train(network, optimizer, range(1))
    before = optimizer.layer_stats()["output.bias"]
    network.hidden.weight.requires_grad_(True)
    network.output.bias.requires_grad_(False)
    train(network, optimizer, range(1, 2))
    after = optimizer.layer_stats()
    assert "hidden.weight" in after and repr(after["output.bias"]) == repr(before)
