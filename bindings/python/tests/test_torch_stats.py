"""layer_stats, the summaries for TensorBoard, the fan-in rule and OpenSeq2Seq's dictionaries."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch_models  # skips where PyTorch is missing
from torch_models import LARC, LARCSGD, NovoGrad

import layerwise
from layerwise.torch import write_summaries

torch = torch_models.torch


def named_parameters(grads: tuple[Any, ...] = ((0.3, 0.4), (0.3, 0.4))) -> list[tuple[str, Any]]:
    """Two layers (3, 4), |w| = 5, with these gradients."""
    pairs = []
    for name, grad in zip(("first", "second"), grads, strict=True):
        parameter = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        parameter.grad = None if grad is None else torch.tensor(grad)
        pairs.append((name, parameter))
    return pairs


def test_statistics_come_by_name_for_layers_that_took_part() -> None:
    """By hand: |w| = 5, |g| = .5, eta .02, lr 1: r = .02*5/.5 = .2."""
    optimizer = LARCSGD(named_parameters(((0.3, 0.4), None)), 1.0, trust_coefficient=0.02, eps=0.0)
    assert optimizer.layer_stats() == {}
    optimizer.step()
    stats = optimizer.layer_stats()
    assert list(stats) == ["first"]
    row = stats["first"]
    assert (row.weight_norm, row.grad_norm, row.factor, row.effective_lr) == pytest.approx((5, 0.5, 0.2, 0.2), rel=1e-6)
    assert math.isnan(row.second_moment) and row.clipped is False


def test_statistics_of_groups_and_dtypes_keep_the_order_of_the_parameters() -> None:
    pairs = named_parameters()
    pairs[0][1].grad = None
    pairs[0][1].data = pairs[0][1].data.bfloat16()
    pairs[0][1].grad = torch.tensor([0.25, 0.5], dtype=torch.bfloat16)
    unnamed = NovoGrad([{"params": [parameter]} for _, parameter in reversed(pairs)], 0.1)
    unnamed.step()
    assert list(unnamed.layer_stats()) == ["0.0", "1.0"]
    named = NovoGrad(pairs, 0.1)
    named.step()
    stats = named.layer_stats()
    assert list(stats) == ["first", "second"]
    assert stats["first"].second_moment == 0.3125 and stats["second"].second_moment == pytest.approx(0.25)


class Writer:
    def __init__(self) -> None:
        self.scalars: dict[str, float] = {}

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None) -> None:
        assert global_step == 12
        self.scalars[tag] = scalar_value


def test_summaries_have_openseq2seqs_names_and_meanings() -> None:
    """larc_clip_on is 1 where the factor is below 1: by hand .2 for the first layer; 2, cut to 1, for the second."""
    for optimizer in (
            LARCSGD(named_parameters(((0.3, 0.4), (0.03, 0.04))), 1.0, trust_coefficient=0.02),
            LARC(torch.optim.SGD(named_parameters(((0.3, 0.4), (0.03, 0.04))), 1.0), 0.02)):
        optimizer.step()
        writer = Writer()
        write_summaries(writer, optimizer, 12)
        assert writer.scalars["larc_clip_on/first"] == 1 and writer.scalars["larc_clip_on/second"] == 0
        assert writer.scalars["larc_grad_update/first"] == pytest.approx(0.2)
        assert writer.scalars["larc_final_lr/second"] == pytest.approx(1.0)
        assert writer.scalars["variable_norm/first"] == pytest.approx(5.0)


def test_summaries_of_the_other_kinds() -> None:
    scaling, novograd = Writer(), Writer()
    for writer, optimizer in ((scaling, LARCSGD(named_parameters(), 1.0, clip=False)),
                              (novograd, NovoGrad(named_parameters(), 0.5))):
        optimizer.step()
        write_summaries(writer, optimizer, 12)
    assert "larc_clip_on/first" not in scaling.scalars and "larc_grad_update/first" in scaling.scalars
    assert novograd.scalars["second_moment/first"] == pytest.approx(0.25)
    assert novograd.scalars["novograd_factor/first"] == pytest.approx(2.0)
    assert novograd.scalars["novograd_lr/second"] == 0.5


def test_summaries_have_openseq2seqs_own_tags_where_its_variables_are_named() -> None:
    """The tags of its event files (commit 8681d381, TensorFlow 1.15.5); |g| = .5 and 1 by hand."""
    optimizer = LARCSGD(named_parameters(((0.3, 0.4), (0.6, 0.8))), 0.5, trust_coefficient=0.02)
    optimizer.step()
    short, given, named = Writer(), Writer(), Writer()
    write_summaries(short, optimizer, 12)
    variables = {"first": "conv1/kernel", "second": "Loss_Optimization/FP32-master-copy/conv1/bias"}
    write_summaries(given, optimizer, 12, variables)
    write_summaries(named, optimizer, 12, variables=variables.__getitem__)
    expected = {f"Loss_Optimization/{kind}/{variables[name]}_0": value for tag, value in short.scalars.items()
                for kind, name in [tag.split("/")]}
    assert set(expected) >= {"Loss_Optimization/larc_clip_on/conv1/kernel_0",
                             "Loss_Optimization/larc_final_lr/Loss_Optimization/FP32-master-copy/conv1/bias_0"}
    norm = given.scalars["Loss_Optimization/global_gradient_norm"]
    assert given.scalars == named.scalars == {**expected, "learning_rate": 0.5,
                                              "Loss_Optimization/global_gradient_norm": norm}
    assert norm == pytest.approx(1.25**0.5)


def test_the_norm_of_all_gradients_is_written_before_it_is_limited_and_after() -> None:
    """|all g| is sqrt(.25 + 1) = 1.118, and .5 after max_grad_norm."""
    config = {"optimizer": "NovoGrad", "max_grad_norm": 0.5}
    optimizer: Any = layerwise.from_openseq2seq(config, named_parameters(((0.3, 0.4), (0.6, 0.8))), 0.1)
    optimizer.step()
    writer = Writer()
    write_summaries(writer, optimizer, 12, str.upper)
    assert writer.scalars["Loss_Optimization/global_gradient_norm"] == pytest.approx(1.25**0.5)
    assert writer.scalars["Loss_Optimization/global_clipped_gradient_norm"] == pytest.approx(0.5)
    assert writer.scalars["Loss_Optimization/gradient_norm/SECOND_0"] == pytest.approx(0.5 / 1.25**0.5)


def test_a_parameter_without_a_variables_name_is_refused_before_anything_is_written() -> None:
    optimizer, writer = LARCSGD(named_parameters(), 1.0), Writer()
    optimizer.step()
    with pytest.raises(ValueError, match="variables lacks 'second'"):
        write_summaries(writer, optimizer, 12, {"first": "conv1/kernel"})
    assert not writer.scalars


def test_multipliers_reach_their_layers_through_masks_and_groups() -> None:
    """By hand: NovoGrad's first step without decay moves by lr * lr_mult * g/|g|, here (.6, .8) * lr * lr_mult."""
    pairs = named_parameters()
    missing = torch.nn.Parameter(torch.ones(2, 2))
    parameters = [missing, *(parameter for _, parameter in pairs)]
    multipliers = layerwise.fan_in_lr_multipliers([(8, 4), (6,), (6,)])
    assert multipliers.tolist() == [0.5, 1.0, 1.0]
    NovoGrad(parameters, 1.0, weight_decay=0.0, lr_mult=[9.0, 0.5, 0.25]).step()
    torch.testing.assert_close(pairs[0][1].detach(), torch.tensor([3 - 0.3, 4 - 0.4]))
    torch.testing.assert_close(pairs[1][1].detach(), torch.tensor([3 - 0.15, 4 - 0.2]))


def test_decay_and_larc_can_be_left_out_for_a_layer() -> None:
    pairs = named_parameters()
    optimizer = LARCSGD(pairs, 1.0, momentum=0.0, weight_decay=0.1, trust_coefficient=0.02, wd_mult=[1.0, 0.0],
                        skip_larc=[False, True])
    optimizer.step()
    torch.testing.assert_close(pairs[0][1].detach(), torch.tensor([3 - 0.06 - 0.3, 4 - 0.08 - 0.4]))
    torch.testing.assert_close(pairs[1][1].detach(), torch.tensor([3 - 0.3, 4 - 0.4]))
    by_group = [{"params": [pair], "skip_larc": skip} for pair, skip in
                zip(named_parameters(), (True, False), strict=True)]
    for groups in (by_group, [{"params": named_parameters(), "skip_larc": [True, False]}]):
        around = LARC(torch.optim.SGD(groups, 1.0), 0.02)
        around.step()
        assert [row.factor for row in around.layer_stats().values()] == pytest.approx([1.0, 0.2])


# ---- OpenSeq2Seq -----------------------------------------------------------------------------------------------------

JASPER = {"optimizer": "NovoGrad",
          "optimizer_params": {"beta1": 0.95, "beta2": 0.98, "epsilon": 1e-08, "weight_decay": 0.001},
          "larc_params": {"larc_eta": 0.002}}


def test_a_dictionary_as_it_stands_gives_larc_around_novograd() -> None:
    optimizer = layerwise.from_openseq2seq(JASPER, named_parameters(), 0.01)
    assert isinstance(optimizer, LARC) and isinstance(optimizer.optimizer, NovoGrad)
    group = optimizer.param_groups[0]
    assert (group["betas"], group["eps"], group["eps_root"], group["weight_decay"]) == ((0.95, 0.98), 0, 1e-8, 0.001)
    assert optimizer.options == {"trust_coefficient": 0.002, "clip": True, "min_update": 1e-7, "max_update": 0,
                                 "eps": 1e-7, "zero_norm": "floor", "zero_grad_norm": "as_weight",
                                 "weight_norm_threshold": 0, "fold_weight_decay": False, "skip_larc": False,
                                 "always_adapt": True, "group_multipliers": "refuse", "threads": 0}
    optimizer.step()


def test_every_larc_param_and_momentums_params_are_included() -> None:
    config = {"optimizer": "Momentum", "optimizer_params": {"momentum": 0.8, "use_nesterov": True},
              "larc_params": {"larc_eta": 0.1, "larc_mode": "scale", "min_update": 1e-3, "epsilon": 1e-5}}
    optimizer = layerwise.from_openseq2seq(config, named_parameters(), 0.5, lr_mult=2.0)
    assert isinstance(optimizer, LARCSGD)
    expected = {"lr": 0.5, "momentum": 0.8, "nesterov": True, "trust_coefficient": 0.1, "clip": False,
                "min_update": 1e-3, "eps": 1e-5, "zero_norm": "floor", "weight_decay": 0.0, "lr_mult": 2.0,
                "skip_larc": False}
    group = optimizer.param_groups[0]
    assert {name: group[name] for name in expected} == expected


def test_without_larc_params_sgd_is_plain_and_novograd_is_bare() -> None:
    [(_, parameter), _] = pairs = named_parameters()
    layerwise.from_openseq2seq({"optimizer": "SGD"}, pairs, 0.5).step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([3 - 0.15, 4 - 0.2]))
    bare = layerwise.from_openseq2seq({"optimizer": "NovoGrad", "optimizer_params": {}}, pairs, 0.5)
    assert isinstance(bare, NovoGrad) and bare.param_groups[0]["weight_decay"] == 0.0


@pytest.mark.parametrize(("config", "text"), [
    ({**JASPER, "lr_polcy": None, "max_grad_norm": 1.0}, "config has unknown keys: 'lr_polcy'; known"),
    ({**JASPER, "optimizer": "Ftrl"}, "optimizer is 'Ftrl': it must be one of NovoGrad, Momentum, SGD"),
    ({**JASPER, "optimizer_params": {"beta3": 0.1}}, "optimizer_params of NovoGrad has unknown keys: 'beta3'"),
    ({**JASPER, "larc_params": {"larc_eta": 0.1, "eta": 1}}, "larc_params has unknown keys: 'eta'"),
    ({**JASPER, "larc_params": {}}, "larc_params lacks larc_eta"),
    ({**JASPER, "larc_params": {"larc_eta": 0.1, "larc_mode": "cut"}}, "larc_mode is 'cut'"),
    ({"optimizer": "Momentum", "optimizer_params": {}}, "lacks momentum"),
    ({**JASPER, "optimizer_params": {"beta1": 1.5}}, "beta1 is 1.5")])
def test_unknown_keys_and_wrong_values_are_refused_by_name(config: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        layerwise.from_openseq2seq(config, named_parameters(), 0.01)
