"""What recipes leave out of weight decay and LARC: functions of name and parameter, and timm's always_adapt.

Right are the same optimizers with the values written out for each parameter, to the bit, and one step in float64.
"""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, Network, NovoGrad, same_bits, train

import layerwise
from layerwise.torch import is_bias_or_norm, is_weight

torch = torch_models.torch

EXCLUDED = [False, True, True, True, False, True, False, True]  # of Network's: weight, bias, the norm's two, two dense
DECAYS = [float(not excluded) for excluded in EXCLUDED]


def test_the_rules_are_timms() -> None:
    named = dict(Network().named_parameters())
    assert [is_bias_or_norm(name, parameter) for name, parameter in named.items()] == EXCLUDED
    assert [is_weight(name, parameter) for name, parameter in named.items()] == [not each for each in EXCLUDED]
    assert is_bias_or_norm("head.bias", torch.ones(8, 1, 1)) and is_bias_or_norm("bias", torch.ones(8, 1))
    assert not is_bias_or_norm(None, torch.ones(8, 1)) and is_bias_or_norm(None, torch.ones(()))
    assert not is_bias_or_norm("debias.weight", torch.ones(8, 1))


@pytest.mark.parametrize(("make", "by_rule", "by_hand"), [
    (NovoGrad, {"wd_mult": is_weight}, {"wd_mult": DECAYS}),
    (NovoGrad, {"lr_mult": lambda name, p: 2.0 if name.startswith("output") else 1, "wd_mult": lambda _, p: p.ndim > 1},
     {"lr_mult": [1.0] * 6 + [2.0] * 2, "wd_mult": DECAYS}),
    (NovoGrad, {"lr_mult": lambda _, p: np.float32(1 / p.ndim)}, {"lr_mult": [0.25, 1, 1, 1, 0.5, 1, 0.5, 1]}),
    (LARCSGD, {"wd_mult": is_weight, "skip_larc": is_bias_or_norm}, {"wd_mult": DECAYS, "skip_larc": EXCLUDED}),
    (LARCSGD, {"skip_larc": lambda name, _: np.bool_("bias" in name)}, {"skip_larc": [False, True] * 4}),
    (LARCSGD, {"wd_mult": is_weight, "always_adapt": False}, {"wd_mult": DECAYS, "skip_larc": EXCLUDED}),
    (LARCSGD, {"wd_mult": is_weight, "always_adapt": False, "skip_larc": lambda name, _: name == "output.weight"},
     {"wd_mult": DECAYS, "skip_larc": [*EXCLUDED[:6], True, True]}),
    (LARCSGD, {"wd_mult": 0.0, "always_adapt": False}, {"wd_mult": 0.0, "skip_larc": True}),
    (lambda named, lr, **options: LARC(torch.optim.SGD(named, lr, momentum=0.9), **options),
     {"skip_larc": is_bias_or_norm}, {"skip_larc": EXCLUDED}),
], ids=lambda value: str(value)[:40])
def test_a_rule_gives_each_parameter_the_value_written_out(make: Any, by_rule: Any, by_hand: Any) -> None:
    networks = []
    for options in (by_rule, by_hand):
        network = Network()
        more = {} if "lambda" in str(make) else {"weight_decay": 0.1}
        optimizer = make(network.named_parameters(), 0.1, **more, **options)
        train(network, optimizer, range(3))
        networks.append(network)
    assert same_bits(*networks)


def with_and_without_decay(network: Any) -> list[dict[str, Any]]:
    """As timm's param_groups_weight_decay makes them."""
    named = [*network.named_parameters()]
    return [{"params": [p for name, p in named if is_bias_or_norm(name, p)], "weight_decay": 0.0},
            {"params": [p for name, p in named if is_weight(name, p)], "weight_decay": 0.1}]


def test_groups_without_decay_stay_out_of_larc() -> None:
    makers = {
        "LARCSGD": lambda groups, **options: LARCSGD(groups, 0.1, **options),
        "LARC": lambda groups, **options: LARC(torch.optim.SGD(groups, 0.1, momentum=0.9), **options),
        "folded": lambda groups, **options: LARC(torch.optim.SGD(groups, 0.1, momentum=0.9), fold_weight_decay=True,
                                                 **options)}
    for name, make in makers.items():
        networks = []
        for options in ({"always_adapt": False}, {}, {"skip_larc": None}):
            network = Network()
            groups = with_and_without_decay(network)
            if "skip_larc" in options:
                groups[0]["skip_larc"], options = True, {}
            train(network, make(groups, **options), range(3))
            networks.append(network)
        assert same_bits(networks[0], networks[2]), name
        assert not same_bits(networks[0], networks[1]), name


def test_one_step_in_float64() -> None:
    weight, bias = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, -1.0])
    grads = np.full((2, 2), 0.5), np.array([0.25, 0.5])
    for make in (lambda named: LARCSGD(named, 0.1, momentum=0.0, weight_decay=0.5, wd_mult=is_weight,
                                       always_adapt=False),
                 lambda named: LARC(torch.optim.SGD([
                     {"params": [named[0]], "weight_decay": 0.5}, {"params": [named[1]], "weight_decay": 0}], 0.1),
                     always_adapt=False)):
        parameters = [torch.nn.Parameter(torch.tensor(array, dtype=torch.float32)) for array in (weight, bias)]
        optimizer = make([*zip(("weight", "bias"), parameters, strict=True)])
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = torch.tensor(grad, dtype=torch.float32)
        optimizer.step()
        factor = min(0.002 * np.linalg.norm(weight) / (np.linalg.norm(grads[0]) + 1e-8) / 0.1, 1)
        np.testing.assert_allclose(
            parameters[0].detach(), weight - 0.1 * (factor * grads[0] + 0.5 * weight), rtol=1e-6)
        np.testing.assert_allclose(parameters[1].detach(), bias - 0.1 * grads[1], rtol=1e-6)


def test_decay_that_is_scheduled_decides_at_each_step() -> None:
    network, other = Network(), Network()
    optimizer, plain = (LARCSGD(each.parameters(), 0.1, **options) for each, options in (
        (network, {"always_adapt": False}), (other, {})))
    for step in range(4):
        optimizer.param_groups[0]["weight_decay"] = plain.param_groups[0]["weight_decay"] = 0.1 * (step % 2)
        plain.param_groups[0]["skip_larc"] = step % 2 == 0
        train(network, optimizer, range(step, step + 1))
        train(other, plain, range(step, step + 1))
    assert same_bits(network, other)


def test_larc_needs_a_decay_to_be_told_by() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match="always_adapt is False, and a parameter group has no weight_decay"):
        LARC(torch.optim.Rprop([parameter], 0.1), always_adapt=False)
    LARC(torch.optim.Rprop([parameter], 0.1))


@pytest.mark.parametrize("value", [None, "0.5", 1j, [1.0], torch.ones(1)], ids=str)
def test_what_a_rule_may_not_give_is_refused_with_the_parameters_name(value: Any) -> None:
    def rule(name: str, _: Any) -> Any:
        return value if name == "output.bias" else 1

    for option, make in (("wd_mult", NovoGrad), ("lr_mult", LARCSGD), ("skip_larc", LARCSGD)):
        with pytest.raises(TypeError, match=rf"{option} of output\.bias is .*it must be a number or a bool"):
            make(Network().named_parameters(), 0.1, **{option: rule})
    with pytest.raises(TypeError, match=r"wd_mult of a parameter of shape \(3,\) is"):
        NovoGrad([torch.nn.Parameter(torch.ones(3))], 0.1, wd_mult=lambda *_: value)
    with pytest.raises(layerwise.ArgumentError, match="wd_mult"):
        NovoGrad([torch.nn.Parameter(torch.ones(3))], 0.1, wd_mult=lambda *_: -1)


def test_a_group_that_is_added_and_one_that_is_loaded_follow_the_rule() -> None:
    for make in (lambda named: LARCSGD(named, 0.1, wd_mult=is_weight, skip_larc=is_bias_or_norm),
                 lambda named: LARC(torch.optim.SGD(named, 0.1), skip_larc=is_bias_or_norm)):
        network = Network()
        named = [*network.named_parameters()]
        optimizer = make(named[:2])
        optimizer.add_param_group({"params": named[2:]})
        assert [group["skip_larc"] for group in optimizer.param_groups] == [(False, True), tuple(EXCLUDED[2:])]
        train(network, optimizer, range(2))
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        saved = torch.load(file, weights_only=True)  # the rule's results, not the rule
        twin = copy.deepcopy(network)
        for lacking in ((), ("skip_larc", "wd_mult", "always_adapt")):
            fresh = make([*twin.named_parameters()][:2])
            fresh.add_param_group({"params": [*twin.named_parameters()][2:]})
            fresh.load_state_dict({**saved, "param_groups": [
                {key: value for key, value in group.items() if key not in lacking} for group in saved["param_groups"]]})
            assert [group["skip_larc"] for group in fresh.param_groups] == [(False, True), tuple(EXCLUDED[2:])]
        inner = getattr(fresh, "optimizer", None)
        if inner is not None:  # loaded past LARC
            inner.load_state_dict(torch.optim.SGD([{"params": named[:2]}, {"params": named[2:]}], 0.1).state_dict())
            train(twin, fresh, range(1))
            assert [group["skip_larc"] for group in fresh.param_groups] == [(False, True), tuple(EXCLUDED[2:])]


def test_a_rule_survives_deepcopy_and_pickle() -> None:
    for make in (lambda named: LARCSGD(named, 0.1, skip_larc=is_bias_or_norm, always_adapt=False),
                 lambda named: LARC(torch.optim.SGD(named, 0.1, weight_decay=0.1), skip_larc=is_bias_or_norm,
                                    always_adapt=False)):
        optimizer = make([*Network().named_parameters()])
        for again in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
            again.add_param_group({"params": [("new.bias", torch.nn.Parameter(torch.ones(2)))]})
            assert [group["skip_larc"] for group in again.param_groups] == [tuple(EXCLUDED), (True,)]


def test_openseq2seqs_dictionary_takes_the_rules() -> None:
    config = {"optimizer": "NovoGrad", "larc_params": {"larc_eta": 0.002}}
    optimizer = layerwise.from_openseq2seq(config, Network().named_parameters(), 0.1, wd_mult=is_weight,
                                           skip_larc=is_bias_or_norm)
    group = optimizer.param_groups[0]
    assert group["skip_larc"] == tuple(EXCLUDED) and group["wd_mult"] == tuple(DECAYS)
    network, other = Network(), Network()
    for each, options in ((network, {"always_adapt": False}), (other, {"skip_larc": True})):
        train(each, layerwise.from_openseq2seq(config, each.named_parameters(), 0.1, **options), range(2))
    assert same_bits(network, other)  # whose decay is 0


@pytest.mark.parametrize("make", [
    lambda named: NovoGrad(named, 0.1, wd_mult=is_weight),
    lambda named: LARCSGD(named, 0.1, weight_decay=0.1, wd_mult=is_weight, always_adapt=False)])
def test_a_compiled_step_follows_the_rules(make: Any) -> None:
    torch._dynamo.reset()
    networks = []
    for compiled in (False, True):
        network = Network()
        optimizer = make(network.named_parameters())
        if compiled:
            optimizer.step = torch.compile(optimizer.step, backend="eager", fullgraph=True)
        train(network, optimizer, range(3))
        networks.append(network)
    assert same_bits(*networks)
