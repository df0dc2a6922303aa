"""Whose lr_mult and wd_mult in a parameter group are: this package's, or a framework's key of the same name.

mmengine's custom_keys, TSN's code and re-identification's write lr_mult beside an lr that they have multiplied already;
Megatron-core writes wd_mult and lr_mult beside weight_decay and lr. Right values are worked out by hand in float64: one
parameter, momentum 0, so that a step is lr * g, or lr * g / |g| for NovoGrad.
"""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, NovoGrad

import layerwise

torch = torch_models.torch

WEIGHTS, GRAD = np.array([1.0, 2.0]), np.array([0.3, 0.4])  # |g| is 0.5
MAKERS: dict[str, Any] = {
    "NovoGrad": lambda groups, **options: NovoGrad(groups, **{
        "lr": 0.01, "betas": (0.0, 0.0), "eps": 0.0, "weight_decay": 0.0, **options}),
    "LARCSGD": lambda groups, **options: LARCSGD(groups, **{"lr": 0.01, "momentum": 0.0, "skip_larc": True, **options}),
    "LARC": lambda groups, **options: LARC(torch.optim.SGD(groups, 0.01), **options),
    "LARC around NovoGrad": lambda groups, **options: LARC(MAKERS["NovoGrad"](groups, **options)),
}
# What lr is multiplied by to get the step: r is 0.002 |w| / |g|, cut to 1 after it is divided by lr.
LOCAL = 0.002 * np.linalg.norm(WEIGHTS) / 0.5
OWN = ["NovoGrad", "LARCSGD"]


def moves(kind: str, lr: float, multiplier: float = 1.0) -> np.ndarray[Any, Any]:
    """The step with a learning rate, and with a multiplier of it that is applied."""
    if kind == "LARC":
        return lr * min(LOCAL / (lr * multiplier), 1) * GRAD
    return lr * multiplier * (GRAD if kind == "LARCSGD" else GRAD / 0.5)


def parameter() -> Any:
    return torch.nn.Parameter(torch.tensor(WEIGHTS, dtype=torch.float32))


def moved(optimizer: Any) -> np.ndarray[Any, Any]:
    """How far a step moves the last parameter."""
    for group in optimizer.param_groups:
        for each in group["params"]:
            each.grad = torch.tensor(GRAD, dtype=torch.float32)
    before = each.detach().double().numpy().copy()
    optimizer.step()
    return np.asarray(before - each.detach().double().numpy())


def close(found: Any, expected: Any) -> bool:
    return bool(np.allclose(found, expected, rtol=1e-4, atol=0))


@pytest.mark.parametrize("name", ["lr_mult", "wd_mult"])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_group_that_brings_a_multiplier_is_refused_by_name_until_it_is_said_whose_it_is(kind: str, name: str) -> None:
    group = {"params": [parameter()], name: 0.25}
    for value in (0.25, 1, [0.25], "a framework's"):
        with pytest.raises(ValueError, match=rf"{name}=.*group_multipliers='apply'.*group_multipliers='ignore'"):
            MAKERS[kind]([{**group, name: value}])
    optimizer = MAKERS[kind]([parameter()])
    with pytest.raises(ValueError, match=f"{name}=0.25"):
        optimizer.add_param_group(dict(group))
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": [parameter()], name: None})  # None is none


@pytest.mark.parametrize("kind", MAKERS)
def test_frameworks_multipliers_are_left_alone_where_they_are_ignored(kind: str) -> None:
    """As mmengine builds and schedules them: lr holds the product."""
    base = kind.split()[-1]
    for value in (10.0, None, "ten", object(), [1, 2, 3]):
        key = [{"params": [parameter()], "lr": 0.001, "lr_mult": value, "wd_mult": value, "decay_mult": 0}]
        optimizer = MAKERS[kind](key, group_multipliers="ignore")
        group = optimizer.param_groups[0]
        assert group["lr_mult"] is value and group["wd_mult"] is value
        group["lr"] = 0.1
        assert close(moved(optimizer), moves(base, 0.1))
        assert group["lr_mult"] is value and group["wd_mult"] is value
    bare = MAKERS[kind]([parameter()], group_multipliers="ignore").param_groups[0]
    assert bare.get("lr_mult", 1.0) == 1.0 and "wd_mult" not in bare  # as a schedule reads it


@pytest.mark.parametrize("kind", ["NovoGrad", "LARCSGD", "LARC"])
def test_multipliers_that_a_group_brings_are_applied_where_that_is_asked_for(kind: str) -> None:
    optimizer = MAKERS[kind]([{"params": [parameter()], "lr_mult": 10}], group_multipliers="apply")
    assert close(moved(optimizer), moves(kind, 0.01, 10.0))
    optimizer.add_param_group({"params": [parameter()], "lr_mult": [3.0]})
    assert close(moved(optimizer), moves(kind, 0.01, 3.0))


def test_a_group_may_say_itself_whose_its_multipliers_are() -> None:
    groups = [{"params": [parameter()], "lr_mult": 10.0, "group_multipliers": "ignore"},
              {"params": [parameter()], "lr_mult": 3.0, "group_multipliers": "apply"}]
    optimizer = MAKERS["LARCSGD"](groups)
    assert close(moved(optimizer), moves("LARCSGD", 0.01, 3.0))
    first = groups[0]["params"][0].detach().double().numpy()  # type: ignore[index]
    assert close(WEIGHTS - first, moves("LARCSGD", 0.01))


@pytest.mark.parametrize("kind", ["NovoGrad", "LARCSGD", "LARC"])
def test_what_a_group_says_of_its_multipliers_is_checked_wherever_it_comes_from(kind: str) -> None:
    group = {"params": [parameter()], "lr": 0.1, "lr_mult": 10.0, "group_multipliers": "refuse"}
    with pytest.raises(ValueError, match=r"lr_mult=10\.0"):
        MAKERS[kind]([dict(group)])
    with pytest.raises(ValueError, match="group_multipliers is 'mine'"):
        MAKERS[kind]([{**group, "group_multipliers": "mine"}])
    optimizer = MAKERS[kind]([parameter()])
    for whose, text in (("refuse", r"lr_mult=10\.0"), ("mine", "group_multipliers is 'mine'")):
        optimizer.param_groups.append({**group, "group_multipliers": whose})
        with pytest.raises(ValueError, match=text):
            moved(optimizer)
        optimizer.param_groups.pop()
    optimizer.param_groups.append({**group, "params": [parameter()], "group_multipliers": "ignore"})
    if kind != "LARC":  # SGD itself completes no group
        assert close(moved(optimizer), moves(kind, 0.1))
    optimizer = MAKERS[kind]([parameter()])
    optimizer.param_groups[0]["group_multipliers"] = "mine"
    with pytest.raises(ValueError, match="group_multipliers is 'mine'"):
        moved(optimizer)


@pytest.mark.parametrize("kind", OWN)
def test_the_optimizers_own_multipliers_contradict_ignoring_the_groups(kind: str) -> None:
    for name in ("lr_mult", "wd_mult"):
        with pytest.raises(ValueError, match=f"{name} is given to the optimizer and group_multipliers is 'ignore'"):
            MAKERS[kind]([parameter()], group_multipliers="ignore", **{name: 2.0})
        optimizer = MAKERS[kind]([parameter()], **{name: 2.0})
        with pytest.raises(ValueError, match=f"{name} is given to the optimizer"):
            optimizer.add_param_group({"params": [parameter()], "group_multipliers": "ignore"})
    for wrong in ("yes", True, None, 1):
        with pytest.raises(ValueError, match=r"group_multipliers is .*: it must be 'refuse', 'apply' or 'ignore'"):
            MAKERS[kind]([parameter()], group_multipliers=wrong)


@pytest.mark.parametrize("whose", ["refuse", "apply"])
@pytest.mark.parametrize("kind", OWN)
def test_what_is_given_to_the_optimizer_or_assigned_to_its_groups_is_its_own(kind: str, whose: str) -> None:
    optimizer = MAKERS[kind]([parameter()], lr_mult=10.0, group_multipliers=whose)
    assert close(moved(optimizer), moves(kind, 0.01, 10.0))
    optimizer.param_groups[0]["lr_mult"] = 3.0
    assert close(moved(optimizer), moves(kind, 0.01, 3.0))


def test_larc_refuses_a_key_that_is_put_into_a_group_later() -> None:
    optimizer = MAKERS["LARC"]([parameter()])
    optimizer.param_groups[0]["lr_mult"] = 10.0
    before = optimizer.param_groups[0]["params"][0].detach().clone()
    with pytest.raises(ValueError, match=r"lr_mult=10\.0"):
        moved(optimizer)
    assert torch.equal(before, optimizer.param_groups[0]["params"][0])


@pytest.mark.parametrize("kind", OWN)
def test_a_group_that_was_appended_to_the_list_counts_as_one_that_was_added(kind: str) -> None:
    bare = {"params": [parameter()], "lr": 0.1}
    optimizer = MAKERS[kind]([parameter()])
    optimizer.param_groups.append({**bare, "lr_mult": 10.0})
    with pytest.raises(ValueError, match=r"lr_mult=10\.0"):
        moved(optimizer)
    optimizer.param_groups[-1] = dict(bare)
    assert close(moved(optimizer), moves(kind, 0.1))
    optimizer = MAKERS[kind]([parameter()], group_multipliers="ignore")
    optimizer.param_groups.append({**bare, "params": [parameter()], "lr_mult": 10.0})
    assert close(moved(optimizer), moves(kind, 0.1))


def carried(how: str, optimizer: Any, make: Any) -> Any:
    """The optimizer after it was carried over, on its own parameters or on copies."""
    if how == "deepcopy":
        return copy.deepcopy(optimizer)
    if how == "pickle":
        return pickle.loads(pickle.dumps(optimizer))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    fresh = make()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "checkpoint"])
@pytest.mark.parametrize("kind", MAKERS)
def test_whose_they_are_is_carried_over(kind: str, how: str) -> None:
    def ignoring() -> Any:
        return MAKERS[kind]([{"params": [parameter()], "lr": 0.1, "lr_mult": 10.0}], group_multipliers="ignore")

    optimizer = carried(how, ignoring(), ignoring)
    assert optimizer.param_groups[0]["lr_mult"] == 10.0
    assert close(moved(optimizer), moves(kind.split()[-1], 0.1))
    optimizer.add_param_group({"params": [parameter()], "lr_mult": 10.0})  # still ignored
    if kind in OWN:
        for options in ({}, {"group_multipliers": "apply"}):
            def given() -> Any:
                return MAKERS[kind]([parameter()], lr_mult=10.0, **options)  # noqa: B023

            assert close(moved(carried(how, given(), given)), moves(kind, 0.01, 10.0))


@pytest.mark.parametrize("kind", ["NovoGrad", "LARCSGD", "LARC"])
def test_a_checkpoint_of_anothers_with_the_key_is_refused_and_nothing_is_loaded(kind: str) -> None:
    """As of torch.optim.SGD under mmengine: its lr holds the multiplier."""
    other = torch.optim.SGD([{"params": [parameter()], "lr_mult": 10.0}], 0.1)
    saved = other.state_dict()
    optimizer = MAKERS[kind]([parameter()])
    with pytest.raises(ValueError, match=r"checkpoint has lr_mult=10\.0"):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.01 and close(moved(optimizer), moves(kind, 0.01))
    for whose, multiplier in (("ignore", 1.0), ("apply", 10.0)):
        optimizer = MAKERS[kind]([parameter()], group_multipliers=whose)
        optimizer.load_state_dict(saved)
        assert optimizer.param_groups[0]["lr_mult"] == 10.0
        assert close(moved(optimizer), moves(kind, 0.1, multiplier))


@pytest.mark.parametrize("kind", OWN)
def test_a_checkpoint_that_says_otherwise_is_refused(kind: str) -> None:
    def saved(whose: str) -> Any:
        groups = [{"params": [parameter()], "lr_mult": 10.0}]
        return MAKERS[kind](groups, group_multipliers=whose).state_dict()

    for theirs, ours in (("apply", "ignore"), ("ignore", "apply"), ("ignore", "refuse")):
        with pytest.raises(ValueError, match=r"checkpoint has lr_mult=10\.0"):
            MAKERS[kind]([parameter()], group_multipliers=ours).load_state_dict(saved(theirs))
    old = saved("apply")
    del old["param_groups"][0]["group_multipliers"]  # from before there was such an option
    optimizer = MAKERS[kind]([parameter()])
    optimizer.load_state_dict(old)
    assert close(moved(optimizer), moves(kind, 0.01, 10.0))
    with pytest.raises(ValueError, match=r"checkpoint has lr_mult=10\.0"):
        MAKERS[kind]([parameter()], group_multipliers="ignore").load_state_dict(old)


def test_openseq2seqs_dictionary_takes_the_option() -> None:
    config = {"optimizer": "NovoGrad", "larc_params": {"larc_eta": 0.002}}
    groups = [{"params": [parameter()], "lr_mult": 10.0}]
    with pytest.raises(ValueError, match="lr_mult"):
        layerwise.from_openseq2seq(config, groups, 0.1)
    optimizer = layerwise.from_openseq2seq(config, [dict(groups[0])], 0.1, group_multipliers="ignore")
    plain = layerwise.from_openseq2seq(config, [parameter()], 0.1)
    assert np.array_equal(moved(optimizer), moved(plain))


@pytest.mark.parametrize("kind", ["NovoGrad", "LARCSGD"])
def test_a_compiled_step_ignores_and_applies_as_an_eager_one(kind: str) -> None:
    for whose, multiplier in (("ignore", 1.0), ("apply", 10.0)):
        torch._dynamo.reset()
        optimizer = MAKERS[kind]([{"params": [parameter()], "lr_mult": 10.0}], group_multipliers=whose)
        optimizer.step = torch.compile(optimizer.step, backend="eager")
        assert close(moved(optimizer), moves(kind, 0.01, multiplier))
