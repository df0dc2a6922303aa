"""`optimizer.state[p]` is the truth, whoever has written it.

Where the right value is another run's: a parameter in an optimizer of its own keeps its own state and counts its own
steps, and an optimizer that was just made takes a first step.
"""

from __future__ import annotations

import collections
import copy
import gc
import io
import weakref
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, Network, NovoGrad, backward, each_optimizer, same_bits, train

from layerwise.torch._steps import StepCounts

torch = torch_models.torch

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


# ---- State that a user keeps -----------------------------------------------------------------------------------------


def cloned(state: Any) -> Any:
    return collections.defaultdict(dict, {parameter: {name: value.clone() for name, value in values.items()}
                                          for parameter, values in state.items()})


@each_counting
@pytest.mark.parametrize("keep", [lambda state: state, cloned], ids=["as they are", "cloned"])
def test_two_states_may_take_turns(make: Any, keep: Any) -> None:
    """One a task, say. A step writes into the state that is there and into no other: right is an optimizer for each."""
    network = Network()
    optimizer, own = make(network.parameters()), None
    twin = copy.deepcopy(network)
    own = [make(twin.parameters()) for _ in range(2)]
    states = [collections.defaultdict(dict), collections.defaultdict(dict)]
    for step in range(8):
        task = step % 2
        optimizer.state = states[task]
        train(network, optimizer, range(step, step + 1))
        states[task] = keep(optimizer.state)
        train(twin, own[task], range(step, step + 1))
        assert same_bits(network, twin), step


@each_counting
def test_states_may_be_exchanged_put_aside_and_given_to_another_optimizer(make: Any) -> None:
    """Right is the same done with copies, which can share nothing."""
    results = []
    for copied in (False, True):
        network, optimizer = stepped(make)
        other_network, other = stepped(make, 5)
        one, two = network.convolution.weight, torch.nn.Parameter(network.convolution.weight.detach() * 2)
        optimizer.add_param_group({"params": [two]})
        two.grad = torch.ones_like(two)
        optimizer.step()

        def taken(value: Any, copied: bool = copied) -> Any:
            return copy.deepcopy(value) if copied else value

        state = optimizer.state
        state[one], state[two] = taken(state[two]), taken(state[one])
        aside = taken(state.pop(network.hidden.weight))
        train(network, optimizer, range(3, 5))
        state[network.hidden.weight] = aside
        step = taken(state[one]["step"])
        state[one]["step"] = torch.tensor(1)
        train(network, optimizer, range(5, 6))
        state[one]["step"] = step
        for mine, theirs in zip(network.parameters(), other_network.parameters(), strict=True):
            state[mine], other.state[theirs] = taken(other.state[theirs]), taken(state[mine])
        train(network, optimizer, range(6, 8))
        train(other_network, other, range(6, 8))
        results.append((network, other_network))
    assert same_bits(results[0][0], results[1][0]) and same_bits(results[0][1], results[1][1])


@each_counting
def test_a_load_overwrites_nothing_that_is_held(make: Any) -> None:
    """A state dict has the tensors themselves, as torch's: one that was loaded over comes back as it was."""
    network, optimizer = stepped(make)
    old = copy.deepcopy(optimizer.state_dict())
    train(network, optimizer, range(3, 5))
    whole, now = copy.deepcopy(network), optimizer.state_dict()
    whole_optimizer = make(whole.parameters())
    whole_optimizer.load_state_dict(copy.deepcopy(now))
    optimizer.load_state_dict(old)
    optimizer.load_state_dict(now)
    train(network, optimizer, range(5, 7))
    train(whole, whole_optimizer, range(5, 7))
    assert same_bits(network, whole)


@each_counting
def test_a_state_dict_that_is_filled_in_place_fills_all_of_the_state(make: Any) -> None:
    """As torch.distributed.checkpoint.load does with what state_dict() gives it."""
    network, optimizer = stepped(make)
    saved, fresh = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(network)
    other = make(fresh.parameters())
    train(copy.deepcopy(fresh), make(fresh.parameters()), range(1))
    other.init_state()
    for key, values in other.state_dict()["state"].items():
        for name, value in values.items():
            value.copy_(saved["state"][key][name])
    train(network, optimizer, range(3, 5))
    train(fresh, other, range(3, 5))
    assert same_bits(network, fresh)


@each_counting
def test_entries_stay_the_tensors_that_they_are(make: Any) -> None:
    """Averagers and shared memory hold on to them, whatever joins, leaves or changes its place."""
    network = Network()
    optimizer = make([p for p in network.parameters() if p is not network.output.bias])
    optimizer.init_state()
    tensors = {id(p): dict(values) for p, values in optimizer.state.items()}
    train(network, optimizer, range(2))
    optimizer.add_param_group({"params": [network.output.bias]})
    train(network, optimizer, range(2, 3))
    optimizer.param_groups[0]["params"].reverse()
    train(network, optimizer, range(3, 4))
    for parameter, values in optimizer.state.items():
        for name, value in tensors.get(id(parameter), {}).items():
            assert values[name] is value, name
    assert {int(values["step"]) for values in tensors.values()} == {4}


@each_counting
def test_nothing_that_was_removed_is_kept_alive(make: Any) -> None:
    """An offloader frees memory by replacing state; a parameter that leaves takes its memory with it."""
    network, optimizer = stepped(make)
    moments = [weakref.ref(value) for values in optimizer.state.values() for value in values.values() if value.dim()]
    for values in optimizer.state.values():
        values.update({name: value.clone() for name, value in values.items()})
    value = values = None
    assert not any(moment() is not None for moment in moments)
    last = optimizer.param_groups[0]["params"].pop()
    del optimizer.state[last]
    network.output.bias, gone = None, weakref.ref(last)
    del last
    train(network, make(network.parameters()), range(0))
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    gc.collect()
    assert gone() is None


# ---- Refusals write nothing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spoil", "text"), [
    (lambda group: group.update(lr_mult=(1.0, 2.0, 3.0)), "lr_mult has 3 values"),
    (lambda group: group.update(lr=-1.0), "lr is -1"),
    (lambda group: group.update(lr=torch.tensor(-1.0)), "lr is -1"),
    (lambda group: group.update(lr=torch.ones(2)), "lr is a tensor of 2 elements"),
    (lambda group: group.update(lr="1e-3"), "lr is '1e-3'"),
    (lambda group: group.update(lr=None), "lr is None"),
    (lambda group: group.update(eps=-1.0), "eps is -1"),
    (lambda group: group.update(threads=-1), "threads is -1"),
    (lambda group: group.update(threads="2"), "threads is '2'"),
    (lambda group: group.update(eps=None), "eps is None"),
    (lambda group: group["params"].append(group["params"][0]), "is in param_groups 2 times"),
    (lambda group: group["params"][0].__setattr__("grad", torch.ones(32).to_sparse()), "sparse|strides|layout"),
], ids=["multipliers", "lr", "tensor lr", "two lr", "string lr", "no lr", "option", "threads", "string threads",
                                       "no option", "repeated", "sparse"])
@pytest.mark.parametrize("make", [
    lambda groups: NovoGrad(groups, 0.1), lambda groups: LARCSGD(groups, 0.1),
    lambda groups: LARC(torch.optim.SGD(groups, 0.1))], ids=["NovoGrad", "LARCSGD", "LARC"])
def test_what_is_refused_in_the_last_group_leaves_the_first_as_it_was(make: Any, spoil: Any, text: str) -> None:
    network = Network()
    optimizer = make([{"params": [network.hidden.weight]}, {"params": [network.hidden.bias]}])
    train(network, optimizer, range(1))
    backward(network, 1)
    before, grad = copy.deepcopy(network), network.hidden.weight.grad.clone()
    group = optimizer.param_groups[1]
    spoil(group)
    if isinstance(optimizer, LARC):  # its own are not the group's
        optimizer.options.update({name: group[name] for name in ("eps", "threads") if name in group})
    with pytest.raises((ValueError, TypeError, RuntimeError), match=text):
        optimizer.step()
    assert same_bits(network, before) and torch.equal(network.hidden.weight.grad, grad)


def test_larc_scales_no_gradient_where_the_inner_optimizer_refuses_the_step() -> None:
    """After a second try they would be scaled twice."""
    network = Network()
    inner = NovoGrad(network.parameters(), 0.1)
    optimizer = LARC(inner)
    backward(network, 0)
    before = [parameter.grad.clone() for parameter in network.parameters()]
    inner.state[network.output.bias] = {"exp_avg": torch.ones(5), "exp_avg_sq": torch.ones(5), "step": 3}
    with pytest.raises(ValueError, match="is Adam's"):
        optimizer.step()
    assert all(torch.equal(parameter.grad, grad) for parameter, grad in zip(network.parameters(), before, strict=True))


@pytest.mark.parametrize(("spoil", "text"), [
    (lambda saved: saved["param_groups"][0].update(lr_mult=[1.0]), "lr_mult has shape"),
    (lambda saved: saved["param_groups"][0].update(lr=torch.ones(2)), "lr is a tensor of 2 elements"),
    (lambda saved: saved["param_groups"][0].update(betas=None), "betas is None"),
    (lambda saved: saved["param_groups"][0].update(norm="l3"), "norm is 'l3'"),
    (lambda saved: saved["state"][1].update(step=float("nan")), "step of parameter 1 is nan"),
    (lambda saved: saved["state"][1].update(step=torch.tensor(-2)), "step of parameter 1 is -2"),
    (lambda saved: saved["state"][1].update(step=2.5), "step of parameter 1 is 2.5"),
    (lambda saved: saved["state"][1].update(step=1e30), "step of parameter 1 is 1e"),
    (lambda saved: saved["state"].update({1: [1, 2]}), "the state of parameter 1 is a list"),
])
def test_a_load_that_is_refused_loads_nothing(spoil: Any, text: str) -> None:
    network, optimizer = stepped(COUNTING["NovoGrad"])
    saved, before = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][0]["lr"] = 0.5
    for value in saved["state"][0].values():
        value.add_(1)
    spoil(saved)
    with pytest.raises((ValueError, TypeError), match=text):
        optimizer.load_state_dict(saved)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert all(torch.equal(after["state"][key][name], value) for key, values in before["state"].items()
               for name, value in values.items())


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
    lambda group: NovoGrad([group], 1.0, betas=(0.0, 0.0), eps=0.0, weight_decay=0.0),
    lambda group: LARCSGD([group], 1.0, momentum=0.0, skip_larc=True)], ids=["NovoGrad", "LARCSGD"])
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


# ---- Checkpoints -----------------------------------------------------------------------------------------------------


@each_counting
def test_entries_of_a_state_dict_share_no_memory(make: Any) -> None:
    """safetensors refuses tensors that do, and torch.load gives back what was one memory as one memory."""
    _, optimizer = stepped(make)
    tensors = [value for values in optimizer.state_dict()["state"].values() for value in values.values()]
    storages = [tensor.untyped_storage() for tensor in tensors]
    assert len({storage.data_ptr() for storage in storages}) == len(storages)
    assert all(storage.nbytes() == tensor.nbytes for storage, tensor in zip(storages, tensors, strict=True))


@pytest.mark.parametrize("kind", ["LARCSGD", "LARC", "NovoGrad"])
def test_options_that_a_checkpoint_lacks_stay_as_they_are_in_the_group(kind: str) -> None:
    """torch.optim.SGD's has none of LARC's; an older NovoGrad's may lack newer ones."""
    network = Network()
    hidden, output = [*network.hidden.parameters()], [*network.output.parameters()]
    if kind == "NovoGrad":
        groups = [{"params": hidden, "norm": "inf", "lr_mult": [1.0, 2.0]},
                  {"params": output, "threads": 1, "eps": 0.5}]
        optimizer = NovoGrad(groups, 0.1)
    else:
        groups = [{"params": hidden, "skip_larc": [True, False]}, {"params": output, "skip_larc": True, "lr_mult": 0.5}]
        optimizer = (LARCSGD(groups, 0.1, clip=False) if kind == "LARCSGD"
                     else LARC(torch.optim.SGD(groups, 0.1, momentum=0.9)))
    lacking = {"norm", "lr_mult", "threads", "eps", "skip_larc", "clip", "zero_norm", "param_names"}
    before = [{name: value for name, value in group.items() if name in lacking} for group in optimizer.param_groups]
    saved = optimizer.state_dict()
    saved = {**saved, "param_groups": [
        {name: value for name, value in group.items() if name not in lacking} | {"lr": 0.25}
        for group in saved["param_groups"]]}
    optimizer.load_state_dict(saved)
    after = [{name: value for name, value in group.items() if name in lacking} for group in optimizer.param_groups]
    assert after == before
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def foreign(kind: str, parameter: Any) -> Any:
    """The state dict of another optimizer of one parameter that has stepped."""
    makers: dict[str, Any] = {
        **{name: getattr(torch.optim, name) for name in ("Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax")},
        "AdamW amsgrad": lambda params, lr: torch.optim.AdamW(params, lr, amsgrad=True),
        "SGD": lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9), "NovoGrad": NovoGrad, "LARCSGD": LARCSGD}
    if kind == "apex":  # its layout, as its code writes it
        return {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [
            {"lr": 0.1, "betas": (0.9, 0.9), "step": 3, "exp_avg_sq": [torch.zeros(0), torch.ones(1)], "params": [0]}]}
    optimizer = makers[kind]([parameter], 0.1)
    parameter.grad = torch.ones(3)
    optimizer.step()
    return copy.deepcopy(optimizer.state_dict())


@pytest.mark.parametrize(("kind", "into", "text"), [
    *((kind, NovoGrad, text) for kind, text in (
        ("Adam", "exp_avg, exp_avg_sq and is Adam's.*load_timm_state_dict"), ("AdamW amsgrad", "Adam's.*load_timm"),
        ("apex", "apex's FusedNovoGrad's.*load_apex_state_dict"), ("RMSprop", "RMSprop's"), ("Adagrad", "Adagrad's"),
        ("Adadelta", "another optimizer's|RMSprop's"), ("Adamax", "exp_avg, exp_inf"),
        ("SGD", "SGD's or layerwise's LARCSGD's"), ("LARCSGD", "LARCSGD's"))),
    *((kind, LARCSGD, text) for kind, text in (
        ("Adam", "Adam's"), ("NovoGrad", "layerwise's NovoGrad"), ("apex", "apex's"))),
])
@pytest.mark.parametrize("way", ["loaded", "assigned"])
def test_state_of_another_optimizer_is_refused_by_name_and_nothing_is_changed(
        kind: str, into: Any, text: str, way: str) -> None:
    saved = foreign(kind, torch.nn.Parameter(torch.ones(3)))
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = into([("fc.weight", parameter)], 0.5)
    before = copy.deepcopy(optimizer.state_dict()["param_groups"])
    parameter.grad = torch.ones(3)
    if way == "loaded":
        with pytest.raises(ValueError, match=f"(?s)the state of .*{text}"):
            optimizer.load_state_dict(saved)
        assert not optimizer.state and optimizer.state_dict()["param_groups"] == before
    else:
        optimizer.state[parameter] = saved["state"][0]
        with pytest.raises(ValueError, match=f"(?s)the state of fc.weight has .*{text}"):
            optimizer.step()
    assert parameter.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("change", "kind", "text"), [
    (lambda state: state.pop("second_moment"), ValueError, "fc.weight has no second_moment, but"),
    (lambda state: state.pop("first_moment"), ValueError, "fc.weight has no first_moment, but"),
    (lambda state: state.pop("step"), ValueError, "fc.weight has no step, on which the result depends"),
    (lambda state: state.update(first_moment=torch.zeros(2)), ValueError, r"first_moment of fc.weight has shape \(2,"),
    (lambda state: state.update(second_moment=torch.zeros(2)), ValueError, r"second_moment of fc.weight has shape"),
    (lambda state: state.update(first_moment=torch.zeros(3, device="meta")), TypeError, "first_moment of fc.weight is"),
    (lambda state: state.update(first_moment=torch.zeros(3).to_sparse()), TypeError, "first_moment of fc.weight is"),
    (lambda state: state.update(first_moment=[0.0] * 3), TypeError, "first_moment of fc.weight is a list"),
    (lambda state: state.update(step="3"), TypeError, "step of fc.weight is a str"),
])
def test_state_that_cannot_be_the_parameters_is_refused_before_anything_is_written(
        change: Any, kind: Any, text: str) -> None:
    first, second = torch.nn.Parameter(torch.ones(4)), torch.nn.Parameter(torch.ones(3))
    optimizer = COUNTING["NovoGrad"]([("fc.bias", first), ("fc.weight", second)])
    for parameter in (first, second):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    before = [first.tolist(), second.tolist()]
    change(optimizer.state[second])
    with pytest.raises(kind, match=text):
        optimizer.step()
    assert [first.tolist(), second.tolist()] == before


@each_counting
def test_a_users_own_entries_stay(make: Any) -> None:
    network, optimizer = stepped(make, 1)
    for parameter in network.parameters():
        optimizer.state[parameter].update(note="mine", average=torch.ones_like(parameter))
    train(network, optimizer, range(1, 3))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = make(network.parameters())
    other.load_state_dict(torch.load(file, weights_only=True))
    train(network, other, range(3, 4))
    for parameter in network.parameters():
        assert other.state[parameter]["note"] == "mine" and other.state[parameter]["average"].min() == 1
    early = torch.nn.Parameter(torch.ones(3))
    optimizer = make([early])
    optimizer.state[early]["average"] = torch.ones(3)
    early.grad = torch.ones(3)
    optimizer.step()
    assert int(optimizer.state[early]["step"]) == 1 and optimizer.state[early]["average"].sum() == 3


# ---- State without a step --------------------------------------------------------------------------------------------


MAKERS_OF_STATE = {**COUNTING, "LARC(NovoGrad)": lambda params: LARC(COUNTING["NovoGrad"](params))}


@pytest.mark.parametrize("make", MAKERS_OF_STATE.values(), ids=MAKERS_OF_STATE)
def test_init_state_makes_all_state_and_changes_no_step(make: Any) -> None:
    network, twin = Network(), Network()
    optimizer, plain = make(network.parameters()), make(twin.parameters())
    network.output.bias.requires_grad_(False)
    twin.output.bias.requires_grad_(False)
    optimizer.init_state()
    assert {p for p in network.parameters() if p.requires_grad} == set(optimizer.state)
    train(network, optimizer, range(4))
    train(twin, plain, range(4))
    assert same_bits(network, twin)
    kinds = [{key: {name: (value.dtype, value.shape) for name, value in values.items()}
              for key, values in each.state_dict()["state"].items()} for each in (optimizer, plain)]
    assert kinds[0] == kinds[1]
    with pytest.raises(TypeError, match="SGD cannot make its state without a step"):
        LARC(torch.optim.SGD(network.parameters(), 0.1)).init_state()


@each_counting
def test_a_checkpoint_is_loaded_in_place_into_a_fresh_optimizer(make: Any) -> None:
    """As torch.distributed.checkpoint does, with what init_state has made."""
    network, optimizer = stepped(make)
    fresh = copy.deepcopy(network)
    other = make(fresh.parameters())
    other.init_state()
    for mine, theirs in zip(other.state.values(), optimizer.state_dict()["state"].values(), strict=True):
        for name, value in theirs.items():
            mine[name].copy_(value)
    train(network, optimizer, range(3, 6))
    train(fresh, other, range(3, 6))
    assert same_bits(network, fresh)


@pytest.mark.parametrize("make", MAKERS_OF_STATE.values(), ids=MAKERS_OF_STATE)
@pytest.mark.parametrize("lr", [0.0, torch.tensor(0.0)], ids=["number", "tensor"])
def test_a_step_that_only_asks_for_state_is_none(make: Any, lr: Any) -> None:
    """torch.distributed.checkpoint makes the state of an optimizer by a step of zero gradients at lr 0. Right is the
    run without it."""
    network, twin = Network(), Network()
    optimizer, plain = make(network.parameters()), make(twin.parameters())
    group = optimizer.param_groups[0]
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before, group["lr"] = group["lr"], lr
    optimizer.step()
    group["lr"] = before
    assert all(int(values["step"]) == 0 for values in optimizer.state.values()) and len(optimizer.state) == 8
    train(network, optimizer, range(3))
    train(twin, plain, range(3))
    assert same_bits(network, twin)


@pytest.mark.parametrize("make", MAKERS_OF_STATE.values(), ids=MAKERS_OF_STATE)
def test_a_warmup_that_begins_at_zero_counts_its_first_step(make: Any) -> None:
    network = Network()
    optimizer = make(network.parameters())
    optimizer.param_groups[0]["lr"] = 0.0
    train(network, optimizer, range(1))
    assert all(int(values["step"]) == 1 for values in optimizer.state.values())


@each_optimizer
def test_torchs_distributed_checkpoint_state_resumes_to_the_same_bits(make: Any) -> None:
    """get_optimizer_state_dict and set_optimizer_state_dict, into a fresh optimizer; right is the uninterrupted run."""
    api = pytest.importorskip("torch.distributed.checkpoint.state_dict")
    network, optimizer = stepped(make)
    saved = copy.deepcopy(api.get_optimizer_state_dict(network, optimizer))
    fresh = copy.deepcopy(network)
    other = make(fresh.parameters())
    api.set_optimizer_state_dict(fresh, other, saved)
    train(network, optimizer, range(3, 6))
    train(fresh, other, range(3, 6))
    assert same_bits(network, fresh)
