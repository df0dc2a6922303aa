"""What OpenSeq2Seq's own code computed, from its dictionaries alone.

openseq2seq/*.json hold runs of its code (commit 8681d381, TensorFlow 1.15.5): the dictionary, the layers, the gradients
of every step and the weights after the last. Equal to 2e-6 of a layer's largest weight and to 1e-4 of the way it moved.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing

import layerwise

torch = torch_models.torch
FOLDER = Path(__file__).resolve().parent / "openseq2seq"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json") if "gradients" in json.loads(path.read_text()))


def layers(run: Any, key: str) -> list[Any]:
    return np.split(np.float32(run[key]), np.cumsum(run["layer_sizes"])[:-1])


def trained(run: Any, **options: Any) -> list[Any]:
    """The layers after the run's steps, at the rates of its policy."""
    parameters = [torch.nn.Parameter(torch.tensor(layer)) for layer in layers(run, "initial_weights")]
    optimizer = layerwise.from_openseq2seq(run["config"], parameters, **options)
    scheduler = layerwise.schedule_from_openseq2seq(run["config"], optimizer)
    for gradient in run["gradients"]:
        for parameter, layer in zip(parameters, layers({**run, "gradient": gradient}, "gradient"), strict=True):
            parameter.grad = torch.tensor(layer)
        optimizer.step()
        scheduler.step()
    return [parameter.detach().numpy() for parameter in parameters]


def of_the_way(run: Any, got: list[Any]) -> float:
    """The largest distance from the original's weights, as a part of the way that the layer moved."""
    return max(float(np.abs(one - other).max() / np.abs(other - start).max())
               for one, other, start in zip(got, layers(run, "expected_weights"), layers(run, "initial_weights"),
                                            strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_reproduced_from_its_dictionary(name: str) -> None:
    run = json.loads((FOLDER / f"{name}.json").read_text())
    got = trained(run, as_run=run["as_run"])
    for one, other in zip(got, layers(run, "expected_weights"), strict=True):
        assert np.abs(one - other).max() <= 2e-6 * np.abs(other).max()
    assert of_the_way(run, got) <= 1e-4


def test_the_default_keeps_the_average_that_the_original_never_stored() -> None:
    """The run and the page's formula differ by .9 of the way that a layer moved."""
    run = json.loads((FOLDER / "novograd-as-run.json").read_text())
    assert of_the_way(run, trained(run)) == pytest.approx(0.91, abs=0.005)
    beta2 = [layerwise.from_openseq2seq(run["config"], [torch.nn.Parameter(torch.ones(1))], as_run=as_run)
             .param_groups[0]["betas"][1] for as_run in (False, True)]
    assert beta2 == [0.98, 0.0]


def test_the_readmes_numbers_of_both_formulas() -> None:
    """v and the first component of w, of its graph and, for the page's formula, of its eager mode."""
    config = {"optimizer": "NovoGrad", "optimizer_params": {"beta1": 0.95, "beta2": 0.98, "epsilon": 1e-8}}
    for as_run, second_moments, weights in (
            (True, [1, 4, 9, 0.25, 16], [2.94, 2.823, 2.65185, 2.429257, 2.157794]),
            (False, [1, 1.06, 1.2188, 1.199424, 1.495435], [2.94, 2.766446, 2.438525, 2.099607, 1.581377])):
        weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        optimizer = layerwise.from_openseq2seq(config, [weight], 0.1, as_run=as_run)
        for norm, second_moment, value in zip((1, 2, 3, 0.5, 4), second_moments, weights, strict=True):
            weight.grad = torch.tensor([0.6, 0.8]) * norm
            optimizer.step()
            assert float(optimizer.state[weight]["second_moment"]) == pytest.approx(second_moment, rel=1e-6)
            assert float(weight[0].detach()) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("dtype", ["mixed", "float32"])
def test_the_readmes_loop_runs(dtype: str) -> None:
    readme = Path(__file__).resolve().parents[1] / "README.md"
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(), re.S)
    [block] = [block for block in blocks if "scaler_from_openseq2seq" in block]
    run = json.loads((FOLDER / "larc-clip-momentum-warmup.json").read_text())
    tags: dict[str, float] = {}
    writer = type("Writer", (), {"add_scalar": lambda self, tag, value, step: tags.update({tag: value})})()
    model = torch.nn.Linear(3, 1)
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.1)  # no overflow of the scaled loss, which takes no step of the schedule
    names = {"base_params": {**run["config"], "dtype": dtype, "loss_scaling": "Backoff", "num_epochs": 1},
             "model": model, "batches": [(torch.ones(2, 3), torch.ones(2, 1))] * 4, "writer": writer,
             "device": torch.device("cpu"), "loss_of": torch.nn.functional.mse_loss, "torch": torch,
             "layerwise": layerwise, "variables": {"weight": "dense/kernel", "bias": "dense/bias"}}
    exec(block, names)
    assert names["scheduler"].last_epoch == 4
    assert tags["Loss_Optimization/larc_final_lr/dense/kernel_0"] > 0


def test_as_run_and_betas_are_not_both_taken() -> None:
    config = {"optimizer": "NovoGrad", "optimizer_params": {"beta1": 0.9}}
    with pytest.raises(ValueError, match=r"betas is \(0.9, 0.5\) beside as_run=True"):
        layerwise.from_openseq2seq(config, [torch.nn.Parameter(torch.ones(1))], 0.1, as_run=True, betas=(0.9, 0.5))


@pytest.mark.parametrize("optimizer", [{"optimizer": "NovoGrad", "optimizer_params": {"weight_decay": 0.001}},
                                       {"optimizer": "Momentum", "optimizer_params": {"momentum": 0.9}}])
def test_larcs_keywords_win_over_the_dictionarys_whatever_it_goes_around(optimizer: Any) -> None:
    config = {**optimizer, "larc_params": {"larc_eta": 0.001, "min_update": 0.5}}
    given = {"trust_coefficient": 0.25, "clip": False, "min_update": 0.125, "zero_norm": "keep"}
    made: Any = layerwise.from_openseq2seq(config, [torch.nn.Parameter(torch.ones(1))], 0.1, weight_decay=0.5, **given)
    options = {**made.param_groups[0], **getattr(made, "options", {})}
    assert {name: options[name] for name in given} == given and made.param_groups[0]["weight_decay"] == 0.5


@pytest.mark.parametrize("optimizer", [{"optimizer": "Momentum", "optimizer_params": {"momentum": 0.9}},
                                       {"optimizer": "NovoGrad"}, {"optimizer": "Adam"}],
                         ids=lambda config: config["optimizer"])
@pytest.mark.parametrize("policy", ["poly_decay", "cosine_decay"])
def test_a_warm_up_from_0_leaves_layers_of_zeros_alone_and_goes_on(optimizer: Any, policy: str) -> None:
    """At lr 0 LARC clip's factor of a layer of zeros is 0/0: nan for ever in the original (seen by running it). Here
    the layer stays 0 in that step, and is trained from the next one on."""
    config = {**optimizer, "larc_params": {"larc_eta": 0.001}, "lr_policy": policy,
              "lr_policy_params": {"learning_rate": 0.05, "decay_steps": 6, "begin_decay_at": 3, "warmup_steps": 3}}
    zeros, other = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.ones(3))
    made = layerwise.from_openseq2seq(config, [zeros, other])
    scheduler = layerwise.schedule_from_openseq2seq(config, made)
    for step in range(4):
        for parameter in (zeros, other):
            parameter.grad = torch.tensor([0.1, 0.2, 0.3])
        made.step()
        scheduler.step()
        assert bool(zeros.detach().any()) == (step > 0) and other.detach().equal(torch.ones(3)) == (step == 0)
    assert zeros.detach().isfinite().all() and other.detach().isfinite().all()
