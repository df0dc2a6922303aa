"""Checkpoints, those of others too, and state without a step. The right values are those of an uninterrupted run."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import (
    COUNTING,
    LARC,
    LARCSGD,
    Network,
    NovoGrad,
    each_counting,
    each_optimizer,
    same_bits,
    stepped,
    train,
)

torch = torch_models.torch


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
        optimizer = NovoGrad(groups, 0.1, group_multipliers="apply")
    else:
        groups = [{"params": hidden, "skip_larc": [True, False]}, {"params": output, "skip_larc": True, "lr_mult": 0.5}]
        optimizer = (LARCSGD(groups, 0.1, clip=False, group_multipliers="apply") if kind == "LARCSGD"
                     else LARC(torch.optim.SGD(groups, 0.1, momentum=0.9), group_multipliers="apply"))
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


@pytest.mark.parametrize("kind", ["LARCSGD", "NovoGrad"])
def test_what_a_checkpoint_says_of_the_process_is_not_taken_over(kind: str) -> None:
    """Saved on a node with many cores and a captured step; the values of the training are."""
    make = {"LARCSGD": LARCSGD, "NovoGrad": NovoGrad}[kind]
    there = {"threads": 7, "capturable": True, "flatten": True}
    for own in ({"threads": 2, "capturable": False, "flatten": False}, {**there, "threads": 0, "flatten": False}, there):
        saved_network, network = Network(), Network()
        saving = make(saved_network.parameters(), 0.25, weight_decay=0.5, **there)
        train(saved_network, saving, range(2))
        file = io.BytesIO()
        torch.save(saving.state_dict(), file)
        file.seek(0)
        optimizer = make(network.parameters(), 0.1, **own)
        network.load_state_dict(saved_network.state_dict())
        rate, storages = optimizer.param_groups[0]["lr"], {p.data_ptr() for p in network.parameters()}
        optimizer.load_state_dict(torch.load(file, weights_only=True))
        group = optimizer.param_groups[0]
        assert {name: group[name] for name in own} == own and group["weight_decay"] == 0.5
        assert {p.data_ptr() for p in network.parameters()} == storages
        assert group["lr"] == 0.25 and type(group["lr"]) is type(rate)
        assert not own["capturable"] or group["lr"] is rate  # a captured graph reads it there
        for each, its in ((saving, saved_network), (optimizer, network)):
            train(its, each, range(2, 4))
        assert same_bits(saved_network, network)
    again = pickle.loads(pickle.dumps(saving))  # the optimizer itself is another matter
    assert all(again.param_groups[0][name] == value for name, value in there.items())


def foreign(kind: str, parameter: Any) -> Any:
    """The state dict of another optimizer of one parameter that has stepped."""
    makers: dict[str, Any] = {
        **{name: getattr(torch.optim, name) for name in ("Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax")},
        "AdamW amsgrad": lambda params, lr: torch.optim.AdamW(params, lr, amsgrad=True),
        "SGD": lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9), "NovoGrad": NovoGrad, "LARCSGD": LARCSGD}
    if kind == "apex":  # its layout, as its code writes it
        return {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [
            {"lr": 0.1, "betas": (0.9, 0.9), "step": 3, "exp_avg_sq": [torch.zeros(0), torch.ones(1)], "params": [0]}]}
    entries = {"pytorch_optimizer": {"grads_ema": torch.ones(()), "moments": torch.ones(3)},
               "VISSL": {"mu": torch.ones(3)}, "fastai": {"grad_avg": torch.ones(3), "local_lr": torch.ones(())},
               "bitsandbytes": {"step": 1, "__bnb_optimizer_quant_state__": {"state1": torch.ones(3)}},
               "bitsandbytes flat": {"step": 1, "state1": torch.ones(3), "unorm_vec": torch.ones(1)}}
    if kind in entries:
        return {"state": {0: entries[kind]}, "param_groups": [{"lr": 0.1, "params": [0]}]}
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
    *((kind, into, text) for into in (NovoGrad, LARCSGD) for kind, text in (
        ("pytorch_optimizer", r'pytorch_optimizer.s NovoGrad.*like\("pytorch_optimizer.NovoGrad"'),
        ("VISSL", "VISSL's LARS.*like"), ("fastai", "fastai's.*like"), ("bitsandbytes", "bitsandbytes'"),
        ("bitsandbytes flat", "bitsandbytes'"))),
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
