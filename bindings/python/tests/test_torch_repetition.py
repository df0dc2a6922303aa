"""A step that is taken again beside one that looks at everything: the same bits and the same refusals, whatever
changes between two steps.

An optimizer takes the step before again where it finds all of it as it was. Right values are those of an optimizer that
never does so: it looks at every tensor one by one, and is held to values by hand elsewhere.
"""

from __future__ import annotations

import collections
import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, NovoGrad

from layerwise.torch import _native, _optimizer, _repetition, _watch

torch = torch_models.torch

MAKERS: dict[str, Callable[..., Any]] = {
    "NovoGrad": lambda params: NovoGrad(params, 0.01),
    "NovoGrad counting": lambda params: NovoGrad(params, 0.01, bias_correction=True, amsgrad=True),
    "LARCSGD": lambda params: LARCSGD(params, 0.1, dampening=0.5, weight_decay=1e-3),
    "LARC(SGD)": lambda params: LARC(torch.optim.SGD(params, 0.1, momentum=0.9)),
    "LARC(NovoGrad)": lambda params: LARC(NovoGrad(params, 0.01)),
}
each_grouping = pytest.mark.parametrize("grouped", [False, True], ids=["one group", "a group each"])


@pytest.fixture
def taken(monkeypatch: Any) -> list[Any]:
    """The repetitions that were taken."""
    found: list[Any] = []
    take = _repetition.Repetition.take

    def noted(self: Any, *arguments: Any) -> None:
        found.append(self)
        take(self, *arguments)

    monkeypatch.setattr(_repetition.Repetition, "take", noted)
    return found


def look_at_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on no step is taken again, and no option is taken for what it was."""
    for kind in (_optimizer.Repetition, _optimizer.GroupWatch):
        monkeypatch.setattr(kind, "of", staticmethod(lambda *_: None))


class Training:
    """Four parameters and an optimizer of them."""

    def __init__(self, make: Any, grouped: bool) -> None:
        generator = torch.Generator().manual_seed(1)
        shapes = [(6, 6), (6, 6), (3, 2, 2, 2), (5,)]
        self.parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
        self.optimizer = make([{"params": [each]} for each in self.parameters] if grouped else self.parameters)
        self.generator = generator

    @property
    def own(self) -> Any:
        """The optimizer that has the state."""
        return getattr(self.optimizer, "optimizer", self.optimizer)

    @property
    def group(self) -> dict[str, Any]:
        return self.optimizer.param_groups[-1]

    def backward(self) -> None:
        for each in self.parameters:
            each.grad = torch.randn(each.shape, generator=self.generator).to(each.dtype)

    def step(self, change: Callable[[Training], Any] | None = None) -> str:
        """What the step, or the change before it, was refused with."""
        self.backward()
        try:
            if change is not None:
                change(self)
            self.optimizer.step()
        except Exception as problem:
            return f"{type(problem).__name__}: {problem}"
        return ""

    def values(self) -> list[Any]:
        state = self.own.state
        found = [(each.detach().clone(), each.grad, {name: value for name, value in state.get(each, {}).items()})
                 for each in self.parameters]
        return copy.deepcopy(found)


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        if first.layout is not torch.strided:
            return torch.equal(first.to_dense(), second.to_dense())
        return first.dtype is second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[name], second[name]) for name in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


def state_of(training: Training, index: int = 1) -> Any:
    return training.own.state[training.parameters[index]]


def entry(training: Training, index: int = 1) -> str:
    """The name of a state that has the parameter's shape."""
    return next(name for name in ("first_moment", "momentum_buffer") if name in state_of(training, index))


def weight_in_the_others_memory(training: Training) -> None:
    training.parameters[1].data = training.parameters[0].data


def swap_states(training: Training) -> None:
    state, (one, other) = training.own.state, training.parameters[:2]
    state[one], state[other] = state[other], state[one]


def replaced(training: Training) -> None:
    new = torch.nn.Parameter(training.parameters[1].detach())
    new.grad = training.parameters[1].grad
    for group in training.optimizer.param_groups:
        group["params"][:] = [new if each is training.parameters[1] else each for each in group["params"]]
    training.parameters[1] = new


def reordered(training: Training) -> None:
    for group in training.optimizer.param_groups:
        group["params"].reverse()
    training.optimizer.param_groups.reverse()


def removed(training: Training) -> None:
    training.optimizer.param_groups[0]["params"].pop(0)


def added(training: Training) -> None:
    extra = torch.nn.Parameter(torch.ones(7))
    extra.grad = torch.ones(7)
    training.parameters.append(extra)
    training.optimizer.add_param_group({"params": [extra]})


def loaded(training: Training) -> None:
    training.optimizer.load_state_dict(copy.deepcopy(training.optimizer.state_dict()))


class Wrapper(torch.Tensor):
    """Holds its values in another tensor."""

    @staticmethod
    def __new__(cls, values: Any) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=values.dtype)

    def __init__(self, values: Any) -> None:
        self.values = values

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError(str(function))


def set_grad(make: Callable[[Any], Any]) -> Callable[[Training], None]:
    def change(training: Training) -> None:
        training.parameters[1].grad = make(training.parameters[1].grad)
    return change


def set_data(make: Callable[[Any], Any], index: int = 1) -> Callable[[Training], None]:
    def change(training: Training) -> None:
        training.parameters[index].data = make(training.parameters[index].data)
    return change


def set_entry(make: Callable[[Any], Any], name: str | None = None) -> Callable[[Training], None]:
    def change(training: Training) -> None:
        key = name or entry(training)
        state_of(training)[key] = make(state_of(training)[key])
    return change


def set_option(**options: Any) -> Callable[[Training], None]:
    return lambda training: training.group.update(options)


CHANGES: dict[str, Callable[[Training], Any]] = {
    "nothing": lambda training: None,
    "gradient moved": set_grad(lambda grad: grad.clone()),
    "gradient kept": set_grad(lambda grad: grad.mul_(2)),
    "no gradient": set_grad(lambda grad: None),
    "gradient transposed": set_grad(lambda grad: grad.t()),
    "gradient strided": set_grad(lambda grad: torch.ones(6, 12)[:, ::2]),
    "gradient negated": set_grad(lambda grad: torch._neg_view(grad)),
    "gradient sparse": set_grad(lambda grad: grad.to_sparse()),
    "gradient expanded": set_grad(lambda grad: torch.ones(1, 1).expand(6, 6)),
    "gradient a wrapper": set_grad(Wrapper),
    "gradient tracked": set_grad(lambda grad: grad.requires_grad_()),
    "gradient of zeros without memory": set_grad(lambda grad: torch._efficientzerotensor(grad.shape)),
    "two gradients in one": lambda training: setattr(training.parameters[1], "grad", training.parameters[0].grad),
    "weight moved": set_data(lambda data: data.clone()),
    "weight transposed": set_data(lambda data: data.t()),
    "weight in another memory format": set_data(lambda data: data.to(memory_format=torch.channels_last), 2),
    "weight of another dtype": lambda training: (training.parameters[1].__setattr__("grad", None),
                                                 set_data(lambda data: data.double())(training)),
    "weight seen as integers": lambda training: (training.parameters[3].__setattr__("grad", None),
                                                 set_data(lambda data: data.view(torch.int32), 3)(training)),
    "weight of another shape": lambda training: (training.parameters[1].__setattr__("grad", None),
                                                 set_data(lambda data: data.reshape(36))(training)),
    "weight negated": set_data(lambda data: torch._neg_view(data)),
    "weight in another's memory": weight_in_the_others_memory,
    "weight frozen": lambda training: training.parameters[1].requires_grad_(False),
    "parameter replaced": replaced,
    "parameters in a tuple": lambda training: [group.update(params=tuple(group["params"]))
                                               for group in training.optimizer.param_groups],
    "groups reordered": reordered,
    "parameter removed": removed,
    "group added": added,
    "lr": set_option(lr=0.05),
    "lr 0": set_option(lr=0.0),
    "lr in a tensor": set_option(lr=torch.tensor(0.05)),
    "lr in a double": set_option(lr=torch.tensor(0.05, dtype=torch.float64)),
    "lr nan": set_option(lr=float("nan")),
    "lr negative": set_option(lr=-1.0),
    "lr text": set_option(lr="0.1"),
    "weight_decay": set_option(weight_decay=0.5),
    "lr_mult": set_option(lr_mult=0.5),
    "skip_larc": set_option(skip_larc=True),
    "loaded": loaded,
    "torch's threads": lambda training: torch.set_num_threads(2),
}
STATE_CHANGES: dict[str, Callable[[Training], Any]] = {
    "state emptied": lambda training: state_of(training).clear(),
    "state deleted": lambda training: training.own.state.pop(training.parameters[1]),
    "all states deleted": lambda training: training.own.state.clear(),
    "states swapped": swap_states,
    "states copied": lambda training: setattr(training.own, "state", copy.copy(training.own.state)),
    "state shared": lambda training: training.own.state.__setitem__(training.parameters[1], state_of(training, 0)),
    "moment moved": set_entry(lambda value: value.clone()),
    "moment transposed": set_entry(lambda value: value.t()),
    "moment written": set_entry(lambda value: value.mul_(2)),
    "moment of another dtype": set_entry(lambda value: value.bfloat16()),
    "moment of another shape": set_entry(lambda value: value[:3]),
    "moment negated": set_entry(lambda value: torch._neg_view(value)),
    "moment deleted": lambda training: state_of(training).pop(entry(training)),
    "moment a list": set_entry(lambda value: value.tolist()),
    "moment resized": set_entry(lambda value: value.set_(torch.zeros(36)).resize_(6, 6)),
    "moment under its own object": set_entry(lambda value: value.t_()),
    "step ahead": set_entry(lambda step: step.add_(3), "step"),
    "step a number": set_entry(lambda step: int(step) + 3, "step"),
    "step a float": set_entry(lambda step: step.float(), "step"),
    "step of one element": set_entry(lambda step: step.reshape(1), "step"),
    "step shared": lambda training: state_of(training).update(step=state_of(training, 0)["step"]),
    "entry of the user's": lambda training: state_of(training).update(mine=torch.ones(3)),
}


CASES = [(maker, name) for maker in MAKERS for name in CHANGES] + [
    (maker, name) for maker in MAKERS if maker != "LARC(SGD)" for name in STATE_CHANGES]


@each_grouping
@pytest.mark.parametrize(("maker", "name"), CASES)
def test_a_change_between_steps_is_noticed_as_by_a_step_that_looks_at_everything(
        maker: str, name: str, grouped: bool, road: str, taken: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    change = {**CHANGES, **STATE_CHANGES}[name]
    repeating, looking = Training(MAKERS[maker], grouped), Training(MAKERS[maker], grouped)
    said = [repeating.step() for _ in range(4)]
    assert taken, "the fourth step is the third again"
    said += [repeating.step(change), repeating.step(), repeating.step()]
    torch.set_num_threads(1)
    look_at_everything(monkeypatch)
    taken.clear()
    assert said == [looking.step(change if number == 4 else None) for number in range(7)] and not taken
    torch.set_num_threads(1)
    assert equal(repeating.values(), looking.values())
    assert repr(repeating.optimizer.layer_stats()) == repr(looking.optimizer.layer_stats())


@each_grouping
@pytest.mark.parametrize("maker", MAKERS)
def test_a_schedule_moving_gradients_and_written_state_leave_a_step_a_repetition(
        maker: str, grouped: bool, road: str, taken: list[Any]) -> None:
    training = Training(MAKERS[maker], grouped)
    for number in range(10):
        for group in training.optimizer.param_groups:
            group["lr"] = 0.1 / (1 + number)
        for values in training.own.state.values():
            for value in values.values():
                value.mul_(1)
        assert not training.step()
    assert len(taken) == 8 * (2 if maker == "LARC(NovoGrad)" else 1), "all but the first, and the one like it"


def run_both(make: Any, change: Callable[[Training, int], Any], monkeypatch: pytest.MonkeyPatch, grouped: bool = False,
             steps: int = 12) -> None:
    """Training with a change before each step, numbered, beside one that looks at everything."""
    repeating, looking = Training(make, grouped), Training(make, grouped)
    for number in range(steps):
        assert not repeating.step(lambda training, number=number: change(training, number))  # type: ignore[misc]
    look_at_everything(monkeypatch)
    for number in range(steps):
        assert not looking.step(lambda training, number=number: change(training, number))  # type: ignore[misc]
    assert equal(repeating.values(), looking.values())


# Hazard: the call that is made again holds the address of the lr tensor that was there last, which may be gone.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("maker", MAKERS)
def test_lr_tensors_in_turn_are_each_read(
        maker: str, dtype: str, road: str, taken: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (torch.tensor(rate, dtype=getattr(torch, dtype)) for rate in (0.1, 0.02))

    def change(training: Training, number: int) -> None:
        training.group["lr"] = second if number in (4, 7, 8) else first
        if number in (5, 9):
            training.parameters[1].grad = training.parameters[1].grad.t()  # a step that looks at everything

    run_both(MAKERS[maker], change, monkeypatch)
    assert taken


GROUP_CHANGES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "rates meet": lambda groups: groups[0].update(lr=groups[1]["lr"]),
    "rates part": lambda groups: groups[3].update(lr=0.3),
    "rates change places": lambda groups: [group.update(lr=lr) for group, lr in
                                           zip(groups, [each["lr"] for each in reversed(groups)], strict=True)],
    "a rate is an integer": lambda groups: groups[0].update(lr=1),
    "an option of one": lambda groups: groups[1].update(weight_decay=0.3),
    "an option made equal": lambda groups: groups[1].update(weight_decay=groups[0].get("weight_decay")),
    "an option is there again": lambda groups: groups[1].update(weight_decay=groups[1].pop("weight_decay")),
    "an option of another's": lambda groups: groups[1].update(initial_lr=3.0),
    "a dict of another kind": lambda groups: groups.__setitem__(1, collections.OrderedDict(groups[1])),
    "groups change places": lambda groups: groups.reverse(),
    "parameters change places": lambda groups: [group.update(params=params) for group, params in
                                                zip(groups, [each["params"] for each in reversed(groups)],
                                                    strict=True)],
    "a parameter moves": lambda groups: (groups[0]["params"].extend(groups[1]["params"]), groups[1]["params"].clear()),
}


# Hazard: groups that share a call of the library no longer may, or may now; what one has is taken for another's.
@pytest.mark.parametrize("change", GROUP_CHANGES)
@pytest.mark.parametrize("maker", MAKERS)
def test_options_of_groups_are_each_noticed(
        maker: str, change: str, road: str, taken: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def make(groups: Any) -> Any:
        made = MAKERS[maker](groups)
        for group, lr in zip(made.param_groups, (0.1, 0.2, 0.2, 0.2), strict=True):
            group["lr"] = lr
        return made

    def changed(training: Training, number: int) -> None:
        if number in (4, 7):
            GROUP_CHANGES[change](training.optimizer.param_groups)
        for group in training.optimizer.param_groups if number > 8 else ():
            group["lr"] *= 0.5

    run_both(make, changed, monkeypatch, grouped=True)
    assert taken


# Hazard: LARC's options are its own, no group's.
@pytest.mark.parametrize("options", [{"clip": False}, {"trust_coefficient": 0.5}, {"always_adapt": False}])
@each_grouping
def test_options_of_larc_itself_are_noticed(
        options: dict[str, Any], grouped: bool, road: str, taken: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def change(training: Training, number: int) -> None:
        if number == 5:
            training.optimizer.options.update(options)

    run_both(MAKERS["LARC(SGD)"], change, monkeypatch, grouped)
    assert taken


# Hazard: a layer whose step another call has counted already is told a number that is one too low.
def test_a_step_counter_of_two_calls_is_read_by_each(road: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(groups: Any) -> Any:
        for number, group in enumerate(groups):
            group["weight_decay"] = 0.1 * number
        return NovoGrad(groups, 0.01, bias_correction=True)

    def change(training: Training, number: int) -> None:
        if number == 1:
            state_of(training)["step"] = state_of(training, 0)["step"]

    run_both(make, change, monkeypatch, grouped=True)


# Hazard: a layer whose gradient has no address is left out of the step, as one without a gradient is.
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("maker", [name for name in MAKERS if name != "LARC(SGD)"])
@pytest.mark.parametrize("of", ["gradient", "weight"])
def test_memory_that_was_freed_is_refused_before_anything_is_written(
        of: str, maker: str, grouped: bool, road: str) -> None:
    training = Training(MAKERS[maker], grouped)
    for group, decay in zip(training.optimizer.param_groups, (0.0, 0.1, 0.2, 0.3), strict=False):
        group["weight_decay"] = decay  # a call each
    assert not any(training.step() for _ in range(4))
    before: list[Any] = []

    def free(training: Training) -> None:
        freed = training.parameters[3].grad if of == "gradient" else training.parameters[3].data
        before.append([each.detach().clone() for each in training.parameters[:3]])
        freed.untyped_storage().resize_(0)

    name = "param_groups[3]['params'][0]" if grouped else "param_groups[0]['params'][3]"
    for _ in range(2):
        said = training.step(free)
        assert said.startswith(f"ValueError: {'the gradient of ' if of == 'gradient' else ''}{name} has no memory")
        assert equal(before.pop(), [each.detach() for each in training.parameters[:3]])


# Hazard: such tensors have no version that a step could tell autograd of.
@pytest.mark.parametrize("maker", ["NovoGrad", "LARCSGD", "LARC(NovoGrad)"])
def test_inference_tensors_are_taken_at_every_step(maker: str, road: str) -> None:
    training = Training(MAKERS[maker], False)
    with torch.inference_mode():
        training.parameters = [torch.nn.Parameter(each.detach().clone()) for each in training.parameters]
    training.optimizer = MAKERS[maker](training.parameters)
    assert [training.step() for _ in range(5)] == [""] * 5


def test_where_torch_cannot_compare_tensors_a_step_looks_at_everything(
        taken: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_watch, "_guards_work", lambda: False)
    monkeypatch.setattr(_native.native, "found", lambda: None)
    training = Training(MAKERS["NovoGrad"], False)
    assert not any(training.step() for _ in range(4)) and not taken


@pytest.mark.parametrize("maker", ["NovoGrad counting", "LARCSGD", "LARC(SGD)"])
def test_compiled_steps_between_leave_an_eager_step_its_own_gradients(maker: str, road: str) -> None:
    """A compiled step runs on the same buckets, past the optimizer's own bookkeeping. The inner SGD's own bits differ in a
    compiled step of torch 2.6, without LARC too: there the values are compared."""
    torch._dynamo.reset()
    mixed, looking = Training(MAKERS[maker], False), Training(MAKERS[maker], False)
    compiled = torch.compile(mixed.optimizer.step, backend="eager")
    eager_grads, compiled_grads = ([torch.empty_like(each) for each in mixed.parameters] for _ in range(2))
    for number in range(12):
        is_compiled = number in (5, 6, 9)
        for training in (mixed, looking):
            training.backward()
        for parameter, grad in zip(mixed.parameters, compiled_grads if is_compiled else eager_grads, strict=True):
            parameter.grad = grad.detach().copy_(parameter.grad)
        if is_compiled and number != 6:
            mixed.parameters[1].grad = looking.parameters[1].grad = None
        (compiled if is_compiled else mixed.optimizer.step)()
        looking.optimizer._repetition = None
        looking.optimizer.step()
        if maker == "LARC(SGD)":
            torch.testing.assert_close(mixed.values(), looking.values())
        else:
            assert equal(mixed.values(), looking.values()), number
