"""State that a user keeps, and refusals: a step and a load write where they should, and nowhere else.

Where the right value is another run's, it is the same done with copies, which can share nothing.
"""

from __future__ import annotations

import collections
import copy
import gc
import weakref
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

torch = torch_models.torch


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
    del values
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
    lambda groups: LARC(torch.optim.SGD(groups, 0.1), group_multipliers="apply")],
    ids=["NovoGrad", "LARCSGD", "LARC"])
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
