"""Many parameter groups beside one: each parameter's result depends on its own group's options alone.

mmengine, detectron2 and fastai make a group for every parameter. Right values are those of one optimizer for every
parameter, which shares nothing with the others, bit for bit. What the groups have in common decides only how many calls
of the library a step makes.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, Network, NovoGrad, backward, same_bits

import layerwise

torch = torch_models.torch

MAKERS: dict[str, Callable[..., Any]] = {
    "NovoGrad": lambda params, **options: NovoGrad(params, **{"lr": 0.01, "threads": 1, **options}),
    "NovoGrad counting": lambda params, **options: NovoGrad(
        params, **{"lr": 0.01, "threads": 1, "bias_correction": True, "amsgrad": True, **options}),
    "LARCSGD": lambda params, **options: LARCSGD(
        params, **{"lr": 0.1, "threads": 1, "weight_decay": 1e-3, "dampening": 0.5, **options}),
    "LARC(SGD)": lambda params, **options: LARC(
        torch.optim.SGD(params, **{"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3, **options}), threads=1,
        fold_weight_decay=True, zero_norm="untouched", group_multipliers="apply"),
    "LARC(NovoGrad)": lambda params, **options: LARC(NovoGrad(params, **{"lr": 0.01, "threads": 1, **options}),
                                                     threads=1),
}
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
own_makers = pytest.mark.parametrize("make", [MAKERS["NovoGrad counting"], MAKERS["LARCSGD"]],
                                     ids=["NovoGrad counting", "LARCSGD"])


@pytest.fixture
def calls(monkeypatch: Any) -> list[str]:
    """The library's steps, by name, as they are made."""
    made: list[str] = []
    run = layerwise.Plan._run

    def counted(plan: Any, function: Any, *arguments: Any) -> None:
        if plan.elements:  # else the options of a group are tried
            made.append(function.__name__)
        run(plan, function, *arguments)

    monkeypatch.setattr(layerwise.Plan, "_run", counted)
    return made


def one_each(network: Any) -> list[dict[str, Any]]:
    return [{"params": [parameter]} for parameter in network.parameters()]


def step(network: Any, optimizers: list[Any], number: int) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    backward(network, number)
    for optimizer in optimizers:
        optimizer.step()


def own(optimizer: Any) -> Any:
    """The optimizer that has the state."""
    return getattr(optimizer, "optimizer", optimizer)


def state_of(optimizers: list[Any], parameter: Any) -> dict[str, Any]:
    return next(own(each).state[parameter] for each in optimizers if parameter in own(each).state)


def assert_same(first: Any, grouped: Any, second: Any, apart: list[Any]) -> None:
    """Weights, state and statistics."""
    for index, (one, other) in enumerate(zip(first.parameters(), second.parameters(), strict=True)):
        assert torch.equal(one, other), index
        left, right = state_of([grouped], one), state_of(apart, other)
        assert left.keys() == right.keys()
        for name, value in left.items():
            assert value is right[name] or torch.equal(value, right[name]), (index, name)
    said = [stats for each in apart for stats in each.layer_stats().values()]
    found = list(grouped.layer_stats().values())
    assert repr(found) == repr(said)  # NaN among them


# ---- How many calls a step makes -----------------------------------------------------------------------------------


@each_maker
def test_groups_with_equal_options_make_one_call(make: Any, calls: list[str]) -> None:
    network = Network()
    optimizer = make(one_each(network))
    for number in range(3):
        calls.clear()
        step(network, [optimizer], number)
        assert calls and len(calls) == len(set(calls))  # LARC's, and that of a NovoGrad in it


@pytest.mark.parametrize(("option", "value"), [
    ("lr", 0.02), ("lr", torch.tensor(0.02)), ("weight_decay", 0.0), ("betas", (0.9, 0.99)), ("maximize", True),
    ("bias_correction", True), ("second_moment_dtype", "float64"), ("amsgrad", True), ("threads", 2)])
def test_as_many_calls_are_made_as_there_are_different_options(option: str, value: Any, calls: list[str]) -> None:
    network = Network()
    optimizer = NovoGrad(one_each(network), 0.01, threads=1)
    for other in (False, True, True, False):  # at run time
        for group in optimizer.param_groups[1::3]:
            group[option] = copy.copy(value) if other else optimizer.defaults[option]
        if isinstance(value, torch.Tensor) and other:
            for group in optimizer.param_groups[1::3]:
                group["lr"] = optimizer.param_groups[1]["lr"]
        calls.clear()
        step(network, [optimizer], 0)
        assert len(calls) == 1 + other


def test_multipliers_and_a_schedule_of_all_groups_make_no_more_calls(calls: list[str]) -> None:
    network = Network()
    groups = [{**group, "lr_mult": 1.0 / (1 + index), "wd_mult": None if index % 2 else 0, "skip_larc": index % 3 == 0}
              for index, group in enumerate(one_each(network))]
    optimizer = LARCSGD(groups, 0.1, weight_decay=0.1, threads=1, group_multipliers="apply")
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=10)
    for number in range(5):
        calls.clear()
        step(network, [optimizer], number)
        scheduler.step()
        assert calls == ["larc_sgd_step"]


def test_options_that_are_written_otherwise_are_equal(calls: list[str]) -> None:
    network = Network()
    groups = one_each(network)
    for group in groups[::2]:
        group.update(weight_decay=1, maximize=1, betas=[0.9, np.float32(0.5)], first_moment_dtype=torch.float32)
    for group in groups[1::2]:
        group.update(weight_decay=torch.tensor(1.0), maximize=True, betas=(0.9, 0.5), first_moment_dtype="float32")
    optimizer = NovoGrad(groups, 0.01, threads=1)
    step(network, [optimizer], 0)
    assert calls == ["novograd_step"]


# ---- The same bits -------------------------------------------------------------------------------------------------

Scenario = Callable[[int, list[dict[str, Any]]], None]


def nothing(number: int, groups: list[dict[str, Any]]) -> None:
    """Equal groups."""


def rates(number: int, groups: list[dict[str, Any]]) -> None:
    """Equal, some other, all other, equal again."""
    for index, group in enumerate(groups):
        group["lr"] = (0.01, 0.01 + 0.01 * (index % 2), 0.01 * (1 + index), 0.02, 0.0)[number % 5]


def decays(number: int, groups: list[dict[str, Any]]) -> None:
    for index, group in enumerate(groups):
        group["weight_decay"] = 0.1 * ((index + number) % 3)


def multipliers(number: int, groups: list[dict[str, Any]]) -> None:
    for index, group in enumerate(groups):
        group["lr_mult"] = (None, 1.0 + index, (0.5 * index,), 1)[(number + index) % 4]
        group["wd_mult"] = (None, (3.0,), 0.0)[(number + index) % 3]
        group["skip_larc"] = (False, True, (index % 2 == 0,))[(number + index) % 3]


def own_tensor_rates(number: int, groups: list[dict[str, Any]]) -> None:
    for index, group in enumerate(groups):
        if number == 0:
            group["lr"] = torch.tensor(0.01 * (1 + index % 2))
        group["lr"].mul_(0.5)


def frozen(number: int, groups: list[dict[str, Any]]) -> None:
    """Numbers of steps differ from one parameter to the next."""
    for index, group in enumerate(groups):
        for parameter in group["params"]:
            parameter.requires_grad_((number + index) % 3 != 0)
            parameter.grad = None


SCENARIOS = (nothing, rates, decays, multipliers, own_tensor_rates, frozen)


@pytest.mark.parametrize("scenario", SCENARIOS)
@each_maker
def test_a_group_a_parameter_has_the_bits_of_an_optimizer_a_parameter(make: Any, scenario: Scenario) -> None:
    first, second = Network(), Network()
    grouped, apart = make(one_each(first)), [make([parameter]) for parameter in second.parameters()]
    for number in range(7):
        scenario(number, grouped.param_groups)
        scenario(number, [optimizer.param_groups[0] for optimizer in apart])
        step(first, [grouped], number)
        step(second, apart, number)
    for network in (first, second):
        network.requires_grad_(True)
    assert_same(first, grouped, second, apart)


CHANGES = [
    *((kind, option, value) for kind in ("NovoGrad", "LARCSGD", "LARC(SGD)")
      for option, value in (("lr", 0.03), ("lr", torch.tensor(0.03)), ("weight_decay", 0.3), ("lr_mult", 2.0))),
    *(("NovoGrad", option, value) for option, value in (
        ("betas", (0.5, 0.98)), ("betas", (0.95, 0.5)), ("eps", 0.5), ("eps_root", 0.5), ("grad_averaging", True),
        ("amsgrad", True), ("bias_correction", True), ("norm", "inf"), ("decoupled_weight_decay", True),
        ("lr_in_momentum", True), ("maximize", True), ("wd_mult", 90.0), ("first_moment_dtype", "bfloat16"))),
    *(("LARCSGD", option, value) for option, value in (
        ("momentum", 0.5), ("momentum", 0.0), ("dampening", 0.0), ("nesterov", True), ("trust_coefficient", 0.5),
        ("clip", False), ("eps", 0.5), ("min_update", 0.5), ("fold_weight_decay", True), ("zero_norm", "freeze"),
        ("maximize", True), ("skip_larc", True)))]


@pytest.mark.parametrize(("kind", "option", "value"), CHANGES, ids=str)
def test_an_option_that_changes_after_some_steps_is_taken(kind: str, option: str, value: Any) -> None:
    """Right: a copy of the optimizer, which has none of what the steps before have left beside the state."""
    network = Network()
    options = {"nesterov": False, "dampening": 0.0} if option == "nesterov" else {}
    optimizer = MAKERS[kind](network.parameters(), **options)
    for number in range(3):
        step(network, [optimizer], number)
    unchanged, (other, copied) = copy.deepcopy((network, optimizer)), copy.deepcopy((network, optimizer))
    for each in (optimizer, copied):
        each.param_groups[0][option] = copy.copy(value)
    for model, each in ((network, optimizer), (other, copied), unchanged):
        step(model, [each], 3)
    assert same_bits(network, other)
    assert not same_bits(network, unchanged[0]) or option in ("zero_norm", "amsgrad")  # neither norms nor maxima here


def test_what_a_scaler_sets_is_read_at_every_step() -> None:
    """Right: the step on gradients that are scaled by hand, by powers of two."""
    first, second = Network(), Network()
    scaled = NovoGrad(first.parameters(), 0.01, threads=1, unscale_in_step=True)
    plain = NovoGrad(second.parameters(), 0.01, threads=1)
    for number, scale in enumerate((2.0, 2.0, 8.0, 8.0)):
        scaled.zero_grad()
        backward(first, number, scale)
        scaled.grad_scale, scaled.found_inf = torch.tensor(scale), torch.tensor(float(number == 3))
        scaled.step()
        if number < 3:
            step(second, [plain], number)
    assert same_bits(first, second)


@pytest.mark.parametrize("rates", [(0.0, -0.0), (-0.0, 0.0)])
def test_a_rate_of_minus_zero_is_one_of_zero_in_any_group(rates: tuple[float, float]) -> None:
    """In IEEE 754's arithmetic -0 - lr*m is -0 for lr = 0 and +0 for lr = -0, where m is positive."""
    parameters = [torch.nn.Parameter(torch.full((3,), -0.0)) for _ in range(2)]
    for parameter in parameters:
        parameter.grad = torch.ones(3)
    optimizer = NovoGrad([{"params": [parameter]} for parameter in parameters], 0.1, threads=1)
    for _ in range(2):
        optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = rates
        optimizer.step()
    assert [parameter.signbit().tolist() for parameter in parameters] == [[True] * 3] * 2


@pytest.mark.parametrize("options", [{"flatten": True}, {"capturable": True}, {"first_moment_dtype": "bfloat16"},
                                     {"threads": 2}, {"maximize": True}], ids=str)
@own_makers
def test_options_of_groups_give_the_bits_of_one_group(make: Any, options: Any) -> None:
    first, second = Network(), Network()
    grouped, single = make(one_each(first), **options), make(second.parameters(), **options)
    for number in range(4):
        step(first, [grouped], number)
        step(second, [single], number)
    assert_same(first, grouped, second, [single])


@own_makers
def test_parameters_of_several_dtypes_in_several_groups(make: Any) -> None:
    first, second = Network(), Network()
    for network in (first, second):
        network.hidden.to(torch.bfloat16)
        network.convolution.bias.data = network.convolution.bias.data.half()
    random = torch.Generator().manual_seed(0)
    optimizer, apart = make(one_each(first)), [make([parameter]) for parameter in second.parameters()]
    for _ in range(3):
        for one, other in zip(first.parameters(), second.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=random).to(one.dtype)
            other.grad = one.grad.clone()
        for each in (optimizer, *apart):
            each.step()
    assert_same(first, optimizer, second, apart)


@each_maker
def test_parameters_move_between_groups_and_groups_are_added_and_split(make: Any) -> None:
    """Right: optimizers whose one group has the options that the parameter's group has at that step."""
    first, second = Network(), Network()
    parameters = list(first.parameters())
    grouped = make([{"params": parameters[:3]}, {"params": parameters[3:5], "lr": 0.05}])
    apart = [make([parameter]) for parameter in second.parameters()]

    def follow() -> None:
        for group in grouped.param_groups:
            for parameter in group["params"]:
                index = next(index for index, each in enumerate(parameters) if each is parameter)
                apart[index].param_groups[0]["lr"] = group["lr"]

    active = 5
    for number in range(6):
        if number == 2:
            grouped.param_groups[1]["params"].append(grouped.param_groups[0]["params"].pop(0))
        if number == 3:
            grouped.add_param_group({"params": parameters[5:]})
            active = len(parameters)
        if number == 4:
            grouped.param_groups[0]["params"].reverse()
            grouped.param_groups[1]["lr"] = grouped.param_groups[0]["lr"]
        follow()
        step(first, [grouped], number)
        for optimizer in apart:
            optimizer.zero_grad()
        backward(second, number)
        for optimizer in apart[:active]:
            optimizer.step()
    assert same_bits(first, second)


@each_maker
def test_a_checkpoint_of_many_groups_goes_on_with_the_same_bits(make: Any) -> None:
    first, second = Network(), Network()
    saved, other = make(one_each(first)), make(one_each(second))
    for number in range(2):
        rates(number, saved.param_groups)
        step(first, [saved], number)
    second.load_state_dict(first.state_dict())
    other.load_state_dict(copy.deepcopy(saved.state_dict()))
    for number in range(2, 5):
        step(first, [saved], number)
        step(second, [other], number)
    assert same_bits(first, second)


@own_makers
def test_an_optimizer_a_parameter_in_backward_hooks_has_the_bits_of_one_optimizer(make: Any) -> None:
    """As the hooks' documentation has it: each steps, and frees its gradient, while the backward pass goes on."""
    first, second = Network(), Network()
    single = make(first.parameters())
    apart = {parameter: make([parameter]) for parameter in second.parameters()}

    def hook(parameter: Any) -> None:
        apart[parameter].step()
        apart[parameter].zero_grad()

    for parameter in apart:
        parameter.register_post_accumulate_grad_hook(hook)
    for number in range(4):
        step(first, [single], number)
        backward(second, number)
    assert_same(first, single, second, list(apart.values()))


@pytest.mark.parametrize("reorder", [lambda groups: groups.reverse(), lambda groups: groups.append(groups.pop(0))],
                         ids=["reversed", "the first at the end"])
@each_maker
def test_groups_that_are_reordered_keep_their_own_state(make: Any, reorder: Any) -> None:
    """Second moments that lie one after the other must not change places with their groups."""
    first, second = Network(), Network()
    grouped = make([{"params": [parameter]} for parameter in first.parameters()])
    apart = [make([parameter]) for parameter in second.parameters()]
    order = list(grouped.param_groups)
    for number in range(5):
        if number in (2, 3):
            reorder(grouped.param_groups)
        step(first, [grouped], number)
        step(second, apart, number)
    grouped.param_groups[:] = order  # of the statistics' names
    assert_same(first, grouped, second, apart)


def test_the_first_step_of_one_parameter_is_not_that_of_the_others() -> None:
    """Gradual unfreezing: the momentum of those that were trained stays. Right: torch.optim.SGD, and an optimizer a
    parameter."""
    networks = [Network(), Network(), Network()]
    options = {"lr": 0.1, "momentum": 0.9}
    grouped = LARCSGD(networks[0].parameters(), **options, skip_larc=True)
    apart = [LARCSGD([parameter], **options, skip_larc=True) for parameter in networks[1].parameters()]
    right = torch.optim.SGD(networks[2].parameters(), **options)
    for number in range(6):
        for network in networks:
            for index, parameter in enumerate(network.parameters()):
                parameter.requires_grad_(index > 2 - number)
        for network, optimizers in zip(networks, ([grouped], apart, [right]), strict=True):
            step(network, optimizers, number)
    assert_same(networks[0], grouped, networks[1], apart)
    for ours, theirs in zip(networks[0].parameters(), networks[2].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(grouped.state[ours]["momentum_buffer"], right.state[theirs]["momentum_buffer"],
                                   rtol=1e-5, atol=1e-6)


def test_rates_of_a_checkpoint_come_apart_where_groups_shared_a_tensor() -> None:
    """Right: what torch.optim.SGD makes of the same checkpoint."""
    saved = NovoGrad([{**group, "lr": 0.1 * (1 + index)} for index, group in enumerate(one_each(Network()))])
    loaded = NovoGrad(one_each(Network()), lr=torch.tensor(0.3))
    shared = loaded.param_groups[0]["lr"]
    loaded.load_state_dict(saved.state_dict())
    rates = [group["lr"] for group in loaded.param_groups]
    assert [float(rate) for rate in rates] == pytest.approx([group["lr"] for group in saved.param_groups], rel=1e-6)
    assert rates[0] is shared and all(isinstance(rate, torch.Tensor) for rate in rates)


def test_statistics_have_the_names_of_every_group() -> None:
    network = Network()
    named = [{"params": [pair]} for pair in network.named_parameters()]
    optimizer = NovoGrad(named, 0.01, threads=1)
    step(network, [optimizer], 0)
    optimizer.param_groups[2]["lr"] = 0.5
    step(network, [optimizer], 1)
    said = optimizer.layer_stats()
    assert list(said) == [name for name, _ in network.named_parameters()]
    for name, parameter in network.named_parameters():
        assert said[name].grad_norm == pytest.approx(float(parameter.grad.double().norm()), rel=1e-6)
        assert said[name].effective_lr == pytest.approx(0.5 if name == "normalization.weight" else 0.01)


# ---- What is refused is refused before anything is written ---------------------------------------------------------


@pytest.mark.parametrize(("option", "value", "text"), [
    ("weight_decay", float("nan"), "weight_decay"), ("lr", -1.0, "lr"), ("lr_mult", (1.0, 2.0), "lr_mult"),
    ("betas", (0.9, 1.5), r"betas\[1\]"), ("norm", "l3", "norm"), ("maximize", 2, "maximize")])
def test_an_option_of_the_last_group_is_noticed_before_the_first_is_written(option: str, value: Any, text: str) -> None:
    network = Network()
    optimizer = NovoGrad(one_each(network), 0.01, threads=1)
    step(network, [optimizer], 0)
    before = copy.deepcopy(network)
    optimizer.param_groups[-1][option] = value
    with pytest.raises((ValueError, TypeError), match=text):
        step(network, [optimizer], 1)
    assert same_bits(network, before)
    optimizer.param_groups[-1][option] = optimizer.defaults[option]
    step(network, [optimizer], 1)
    assert not same_bits(network, before)


@pytest.mark.parametrize("lr", [0.01, 0.02], ids=["equal groups", "other groups"])
def test_the_same_memory_in_two_groups_is_refused(lr: float) -> None:
    """A step would update it twice."""
    weights = torch.ones(6)
    parameters = [torch.nn.Parameter(weights) for _ in range(2)]
    for parameter in parameters:
        parameter.grad = torch.ones(6)
    optimizer = NovoGrad([{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": lr}], 0.01, threads=1)
    with pytest.raises(ValueError, match="same memory"):
        optimizer.step()
    assert torch.equal(weights, torch.ones(6))


# ---- Compiled ------------------------------------------------------------------------------------------------------


@own_makers
def test_a_compiled_step_of_many_groups_makes_as_few_graphs_as_one_of_one(make: Any) -> None:
    """Groups that were equal when the graph was made may differ later, and an eager step in between changes nothing."""
    torch._dynamo.reset()
    first, second = Network(), Network()
    grouped, compiled = make(one_each(first)), make(one_each(second))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stepping = torch.compile(compiled.step, backend="aot_eager", fullgraph=True)
        torch._dynamo.utils.counters.clear()
        for number in range(10):
            for index, (one, other) in enumerate(zip(grouped.param_groups, compiled.param_groups, strict=True)):
                one["lr"] = other["lr"] = 0.01 / (1 + number) * (1 + (index == 2 and number > 4))
            step(first, [grouped], number)
            compiled.zero_grad()
            backward(second, number)
            (compiled.step if number in (3, 6) else stepping)()
            assert repr(grouped.layer_stats()) == repr(compiled.layer_stats()), number
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 3
    assert_same(first, grouped, second, [compiled])


# ---- The operators, where something looks at them ------------------------------------------------------------------


class Seen(torch.utils._python_dispatch.TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def test_modes_and_profilers_see_the_operator() -> None:
    network = Network()
    optimizer = NovoGrad(one_each(network), 0.01, threads=1)
    backward(network, 0)
    with Seen() as mode:
        optimizer.step()
    assert "layerwise.novograd_step.default" in mode.names
    with torch.profiler.profile() as profile:
        optimizer.step()
    assert "layerwise::novograd_step" in {event.key for event in profile.key_averages()}


@each_maker
def test_what_an_operator_writes_is_told_to_autograd_without_it(make: Any) -> None:
    """Versions count the writes, which torch compares when a backward pass reads what was saved."""
    network = Network()
    optimizer = make(one_each(network))
    backward(network, 0)
    optimizer.step()
    written = [*network.parameters(), *(value for state in own(optimizer).state.values() for value in state.values())]
    before = [tensor._version for tensor in written]
    optimizer.step()
    assert all(tensor._version > version for tensor, version in zip(written, before, strict=True))
