"""What PEERS.md says of defaults: what each does to a run, and the call of this package that has another's.

The numbers follow from the formulas of layerwise.h by hand: each test says how.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch_models  # noqa: F401  skips where PyTorch is missing

import torch

import layerwise.torch
from layerwise._peers import PEERS, REQUIRED, Of, Peer
from layerwise.torch import LARC, LARCSGD, NovoGrad
from layerwise.torch._peer_table import by_our_own_names


def after(make: Any, grads: list[float], start: float = 1.0) -> float:
    """One weight of a layer of its own after steps with these gradients."""
    weight = torch.nn.Parameter(torch.tensor([start]))
    optimizer = make([weight])
    for grad in grads:
        weight.grad = torch.tensor([grad])
        optimizer.step()
    return float(weight.detach())


def test_weight_decay_shrinks_what_has_no_gradient() -> None:
    """m settles at weight_decay*w/(1 - beta1), so w falls by lr*0.001*20 a step: exp(-5000*0.01*0.02) = 0.368."""
    assert after(lambda params: NovoGrad(params, 0.01), [0.0] * 5000) == pytest.approx(0.368, abs=0.005)
    assert after(lambda params: NovoGrad(params, 0.01, weight_decay=0.0), [0.0] * 50) == 1.0


@pytest.mark.parametrize("steps", [1, 40])
def test_grad_averaging_makes_every_step_a_twentieth(steps: int) -> None:
    moved = [after(lambda params, averages=averages: NovoGrad(params, 1e-4, weight_decay=0.0, grad_averaging=averages),
                   [1.0] * steps) - 1 for averages in (False, True)]
    assert moved[1] / moved[0] == pytest.approx(1 / 20, rel=0.01)


@pytest.mark.parametrize(("beta1", "times"), [(0.95, 20), (0.9, 10)])
def test_after_a_constant_gradient_a_step_is_lr_over_one_less_beta1(beta1: float, times: int) -> None:
    """g/|g| is 1, and m its sum with weights beta1^k."""
    at = [after(lambda params: NovoGrad(params, 1e-4, betas=(beta1, 0.98), weight_decay=0.0), [1.0] * steps)
          for steps in (300, 301)]
    assert (at[0] - at[1]) / 1e-4 == pytest.approx(times, rel=0.01)


def test_bias_correction_makes_the_first_averaged_step_whole() -> None:
    moved = [1 - after(lambda params, corrects=corrects: NovoGrad(
        params, 1e-3, weight_decay=0.0, grad_averaging=True, bias_correction=corrects, seed_second_moment="off"
        if corrects else True), [1.0]) for corrects in (False, True)]
    assert moved == pytest.approx([1e-3 / 20, 1e-3], rel=1e-3)


def test_seeding_on_the_first_step_alone_makes_the_second_seven_times_as_large() -> None:
    """v is 0 after a gradient of 0, and 0.02*|g|^2 after the next: g/sqrt(v) is sqrt(50)."""
    moved = [1 - after(lambda params, seeds=seeds: NovoGrad(params, 1e-3, weight_decay=0.0, seed_second_moment=seeds),
                       [0.0, 1.0]) for seeds in ("while_zero", "first_step")]
    assert moved[1] / moved[0] == pytest.approx(50**0.5, rel=1e-3)


def test_without_beta2_every_step_has_the_length_of_a_normalized_gradient() -> None:
    moved = [1 - after(lambda params, beta2=beta2: NovoGrad(params, 1e-3, betas=(0.0, beta2), weight_decay=0.0),
                       [1.0, 1e-3]) for beta2 in (0.98, 0.0)]
    assert moved == pytest.approx([1e-3 * (1 + 1e-3 / 0.98**0.5), 2e-3], rel=1e-3)


def test_the_factor_is_proportional_to_the_trust_coefficient() -> None:
    moved = [1 - after(lambda params, eta=eta: LARCSGD(params, 1.0, 0.0, trust_coefficient=eta), [1.0])
             for eta in (0.001, 0.002, 0.02)]
    assert moved == pytest.approx([0.001, 0.002, 0.02], rel=1e-3)


def test_decay_outside_the_factor_is_as_strong_as_without_larc() -> None:
    """|w| = |g| = 1 and eta 0.01: r is 0.01, and lr*weight_decay*w is 1e-3 outside of it, 1e-5 inside."""
    def step(decay: float, fold: Any) -> float:
        return after(lambda params: LARCSGD(params, 1.0, 0.0, weight_decay=decay, clip=False, trust_coefficient=0.01,
                                            fold_weight_decay=fold), [1.0])

    outside, inside = step(0.0, False) - step(1e-3, False), step(0.0, False) - step(1e-3, "norms")
    assert outside == pytest.approx(1e-3, rel=1e-2)
    # Inside, r is 0.01/1.001, and takes off as much of the gradient as the decay adds.
    assert abs(inside) < 1e-6


@pytest.mark.parametrize(("zero_norm", "expected"), [("keep", 1 - 0.1 * 0.5), ("untouched", 1.0)])
def test_a_layer_without_gradient_is_decayed_or_left_alone(zero_norm: str, expected: float) -> None:
    assert after(lambda params: LARCSGD(params, 0.1, 0.0, weight_decay=0.5, fold_weight_decay="norms",
                                        zero_norm=zero_norm), [0.0]) == pytest.approx(expected)


def test_apexs_larc_by_one_call_is_like_apexs() -> None:
    def run(make: Any) -> list[float]:
        torch.manual_seed(0)
        model = torch.nn.Linear(5, 3)
        optimizer = make(torch.optim.SGD(model.parameters(), 0.5, momentum=0.9, weight_decay=0.1))
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.ones(2, 5)).square().sum().backward()
            optimizer.step()
        return [float(value) for parameter in model.parameters() for value in parameter.flatten()]

    assert run(LARC.apex) == run(lambda inner: layerwise.torch.like("apex.parallel.LARC", inner))
    assert run(lambda inner: LARC.apex(inner, 0.001, clip=False)) == run(
        lambda inner: layerwise.torch.like("apex.parallel.LARC", inner, trust_coefficient=0.001, clip=False))
    assert run(LARC.apex) != run(LARC)


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.ours != "LARC" and by_our_own_names(peer)],
                         ids=lambda peer: peer.name)
def test_the_call_by_our_own_names_has_the_peers_defaults(peer: Peer) -> None:
    """Group by group what `like` makes of the other's defaults; lr, and what has no default there, apart."""
    needed = {name: 0.1 for name, default in peer.arguments.items() if default is REQUIRED and name not in ("params",)}
    if peer.inner:
        pytest.skip("its inner optimizer decides")
    theirs = layerwise.torch.like(peer.name, [torch.nn.Parameter(torch.ones(2))], **needed).param_groups[0]
    ours = eval(str(by_our_own_names(peer)), {"NovoGrad": NovoGrad, "LARCSGD": LARCSGD, "lr": 0.1,
                                              "params": [torch.nn.Parameter(torch.ones(2))]}).param_groups[0]
    undecided = {option for option, value in peer.options.items() if isinstance(value, Of) and any(
        peer.arguments.get(name) is REQUIRED for name in value.arguments)}
    compared = set(ours) - {"params", "lr", "group_multipliers"} - undecided
    assert {name: theirs[name] for name in compared} == {name: ours[name] for name in compared}
