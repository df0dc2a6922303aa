"""OpenSeq2Seq's configurations, whole: what is taken, what is left to the training loop, what is refused by name.

The rates are those of its own code (open_seq2seq/optimizers/lr_policies.py, commit 8681d381), run by TensorFlow 1.15.5
in float32 (openseq2seq/schedules.json).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import layerwise


def class_named(name: str) -> Any:
    return type(name, (), {})


def function_named(name: str) -> Any:
    def policy() -> None: ...

    policy.__name__ = name
    return policy


# The keys of its Jasper configuration.
JASPER = {
    "random_seed": 0, "use_horovod": True, "num_epochs": 400, "num_gpus": 8, "batch_size_per_gpu": 32, "iter_size": 1,
    "save_summaries_steps": 100, "print_loss_steps": 10, "print_samples_steps": 2200, "eval_steps": 2200,
    "save_checkpoint_steps": 1100, "num_checkpoints": 5, "logdir": "jasper", "optimizer": class_named("NovoGrad"),
    "optimizer_params": {"beta1": 0.95, "beta2": 0.98, "epsilon": 1e-8, "weight_decay": 0.001, "grad_averaging": False},
    "lr_policy": function_named("poly_decay"),
    "lr_policy_params": {"learning_rate": 0.02, "min_lr": 1e-5, "power": 2.0}, "larc_params": {"larc_eta": 0.001},
    "dtype": "mixed", "loss_scaling": "Backoff", "summaries": ["learning_rate", "larc_summaries"], "encoder": object,
    "encoder_params": {}, "decoder": object, "decoder_params": {}, "loss": object, "loss_params": {},
    "data_layer": object, "data_layer_params": {}, "initializer": object}


def close(rates: list[float]) -> list[Any]:
    """To one unit in the last place of float32, of the largest rate."""
    return [pytest.approx(rate, rel=0, abs=1.2e-7 * max(rates)) for rate in rates]


def parameters() -> list[Any]:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    return [torch.nn.Parameter(torch.tensor([3.0, 4.0]))]


@pytest.mark.parametrize("optimizer", ["NovoGrad", class_named("NovoGrad")], ids=["name", "class"])
def test_a_whole_configuration_gives_its_optimizer(optimizer: Any) -> None:
    made: Any = layerwise.from_openseq2seq({**JASPER, "optimizer": optimizer}, parameters())
    assert type(made).__name__ == "LARC" and type(made.optimizer).__name__ == "NovoGrad"
    group = made.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"], group["eps_root"], group["weight_decay"]) == (
        0.02, (0.95, 0.98), 0, 1e-8, 0.001)
    assert made.options["trust_coefficient"] == 0.001


@pytest.mark.parametrize(("optimizer", "params", "expected"), [
    (class_named("MomentumOptimizer"), {"momentum": 0.9, "use_locking": False}, ("LARCSGD", 0.9)),
    ("Momentum", {"momentum": 0.9}, ("LARCSGD", 0.9)), (class_named("GradientDescentOptimizer"), {}, ("LARCSGD", 0.0))])
def test_tensorflows_classes_stand_for_their_names(optimizer: Any, params: Any, expected: Any) -> None:
    config = {**JASPER, "optimizer": optimizer, "optimizer_params": params}
    made: Any = layerwise.from_openseq2seq(config, parameters())
    assert (type(made).__name__, made.param_groups[0]["momentum"]) == expected


def test_the_rate_that_is_passed_and_keywords_win_over_the_configurations() -> None:
    made = layerwise.from_openseq2seq(JASPER, parameters(), 0.5, betas=(0.9, 0.0), weight_decay=0.25)
    group = made.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.5, (0.9, 0.0), 0.25)


def test_without_the_kept_average_it_computes_what_openseq2seq_computed() -> None:
    """Its graph never stores the average: v is |g|^2 of each step. By hand, in float64; its run gave these too."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import numpy as np

    [weight] = parameters()
    optimizer = layerwise.from_openseq2seq({key: value for key, value in JASPER.items() if key != "larc_params"},
                                           [weight], 0.1, betas=(0.95, 0.0))
    w, m, direction = np.float64([3, 4]), np.zeros(2), np.float64([0.6, 0.8])
    for norm in (1, 2, 3, 0.5, 4):
        weight.grad = torch.tensor(direction * norm, dtype=torch.float32)
        optimizer.step()
        m = 0.95 * m + direction * norm / np.sqrt(norm**2 + 1e-8) + 0.001 * w
        w = w - 0.1 * m
    np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-6)


@pytest.mark.parametrize(("change", "text"), [
    ({"larc_parms": {}}, "config has unknown keys: 'larc_parms'"), ({"lr": 0.1}, "config has unknown keys: 'lr'"),
    ({"optimizer": class_named("FtrlOptimizer")}, "FtrlOptimizer.*must be one of NovoGrad, Momentum, SGD"),
    ({"optimizer_params": {"beta1": None}}, "beta1 of optimizer_params of NovoGrad is None"),
    ({"optimizer_params": {"epsilon": None}}, "epsilon of optimizer_params of NovoGrad is None"),
    ({"optimizer": "Momentum", "optimizer_params": {"momentum": 0.9, "use_nesterov": None}}, "use_nesterov of .* is None"),
    ({"larc_params": {"larc_eta": None}}, "larc_eta of larc_params is None"),
    ({"larc_params": {"larc_eta": 0.1, "epsilon": None}}, "epsilon of larc_params is None"),
    ({"optimizer": None}, "optimizer is None"), ({"optimizer_params": {"beta_1": 0.9}}, "unknown keys: 'beta_1'"),
    ({"lr_policy_params": {"min_lr": 0.1}}, "lr is None, and lr_policy_params has no learning_rate"),
    ({"lr_policy_params": None}, "lr is None, and lr_policy_params")])
def test_what_is_unknown_or_missing_is_refused_by_name(change: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        layerwise.from_openseq2seq({**JASPER, **change}, parameters())


# ---- Learning-rate policies ------------------------------------------------------------------------------------------

RATES = json.loads((Path(__file__).resolve().parent / "openseq2seq" / "schedules.json").read_text())
POLICIES = [name for name in RATES if name != "source"]


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("kind", [str, function_named], ids=["name", "function"])
def test_a_policy_gives_the_rates_of_the_original(name: str, kind: Any) -> None:
    run = RATES[name]
    rate = layerwise.openseq2seq_schedule({**run, "lr_policy": kind(run["lr_policy"])})
    assert [rate(step) for step in range(13)] == close(run["rates"])


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("lr", [None, 3.0, "tensor"])
def test_the_scheduler_sets_the_rates_of_the_original(name: str, lr: Any) -> None:
    """Whatever lr the optimizer was made with: the configuration's, or another one; a group keeps its own multiple."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    run = {key: RATES[name][key] for key in ("lr_policy", "lr_policy_params")}
    config = {"optimizer": "Momentum", "optimizer_params": {"momentum": 0.9}, **run}
    halved = [{"params": parameters(), "lr": 1.5}] if lr == 3.0 else []
    groups = [*halved, {"params": parameters()}]
    optimizer = layerwise.from_openseq2seq(config, groups, torch.tensor(0.5) if lr == "tensor" else lr)
    scheduler = layerwise.schedule_from_openseq2seq(config, optimizer)
    rates = []
    for _ in range(13):
        rates.append(float(optimizer.param_groups[-1]["lr"]))
        assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(rates[-1] * (0.5 if lr == 3.0 else 1))
        optimizer.step()
        scheduler.step()
    assert rates == close(RATES[name]["rates"])
    again = layerwise.schedule_from_openseq2seq(config, optimizer, steps_taken=5)
    assert float(optimizer.param_groups[-1]["lr"]) == close(RATES[name]["rates"])[5] and again.last_epoch == 5


def test_a_policy_is_a_formula_between_the_steps_too() -> None:
    """Where a scheduler counts in epochs, a step may be a fraction. By the formulas, in float64."""
    poly = layerwise.openseq2seq_schedule({"lr_policy": "poly_decay", "lr_policy_params": {
        "learning_rate": 0.02, "decay_steps": 10, "power": 2.0, "min_lr": 1e-5}})
    assert poly(2.5) == pytest.approx((0.02 - 1e-5) * 0.75**2 + 1e-5, rel=1e-12)
    boundaries = {"learning_rate": 0.1, "boundaries": [0.5, 1.25], "decay_rates": [0.1, 0.01]}
    piecewise = layerwise.openseq2seq_schedule({
        "num_epochs": 3, "lr_policy": "piecewise_constant", "lr_policy_params": boundaries}, steps_per_epoch=10)
    assert [piecewise(step) for step in (5, 5.5, 12.5, 13)] == pytest.approx([0.1, 0.01, 0.01, 0.001])
    half = layerwise.openseq2seq_schedule({"num_epochs": 0.5, "lr_policy": "poly_decay", "lr_policy_params": {
        "learning_rate": 0.02}}, steps_per_epoch=10)
    assert half(2.5) == pytest.approx(0.01)


def test_a_decay_ends_with_the_training_and_begins_after_the_warm_up() -> None:
    """Its model.py fills decay_steps and begin_decay_at in, where a configuration leaves decay_steps out."""
    epochs = layerwise.openseq2seq_schedule({**JASPER, "num_epochs": 2}, steps_per_epoch=5)
    assert epochs(1) == pytest.approx(0.0162019) and epochs(10) == pytest.approx(1e-5)
    warmed = {"lr_policy": "poly_decay", "max_steps": 12,
              "lr_policy_params": {"learning_rate": 0.02, "power": 2.0, "warmup_steps": 4}}
    rate = layerwise.openseq2seq_schedule(warmed)
    assert [rate(step) for step in (0, 1, 4, 5, 12)] == pytest.approx([0.0, 0.005, 0.02, 0.0153125, 0.0])


def test_boundaries_are_epochs_where_the_configuration_counts_in_epochs() -> None:
    config = {"lr_policy": "piecewise_constant", "num_epochs": 3,
              "lr_policy_params": {"learning_rate": 0.1, "boundaries": [1, 2], "decay_rates": [0.1, 0.01]}}
    rate = layerwise.openseq2seq_schedule(config, steps_per_epoch=4)
    assert [rate(step) for step in (0, 4, 5, 8, 9)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_the_training_ends_where_it_is_said_to() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    optimizer = layerwise.from_openseq2seq(JASPER, parameters())
    scheduler = layerwise.schedule_from_openseq2seq(JASPER, optimizer, last_step=4)
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([(0.02 - 1e-5) * (1 - step / 4)**2 + 1e-5 for step in range(5)])


def test_a_rate_of_0_cannot_be_multiplied() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(ValueError, match="lr of the optimizer is 0"):
        layerwise.schedule_from_openseq2seq(JASPER, layerwise.from_openseq2seq(JASPER, parameters(), 0.0), last_step=4)


@pytest.mark.parametrize(("change", "text"), [
    ({"lr_policy": "step_decay"}, "lr_policy is 'step_decay': it must be one of fixed_lr"),
    ({"lr_policy": None}, "lr_policy is None"),
    ({"lr_policy_params": {"rate": 0.1}}, "unknown keys: 'rate'; poly_decay"),
    ({"lr_policy_params": {"decay_steps": 3}}, "lacks learning_rate, which poly_decay needs"),
    ({"num_epochs": None}, "lacks decay_steps, and config max_steps and num_epochs"),
    ({}, "steps_per_epoch is None: decay_steps follows from num_epochs"),
    ({"num_epochs": None, "max_steps": 0}, "the training ends at step 0.0, and the decay begins at 0"),
    ({"lr_policy_params": {"learning_rate": 0.1, "decay_steps": 0}}, "decay_steps is 0: it must be positive"),
    ({"max_steps": 10}, "config has max_steps 10 and num_epochs 400: give one of them")])
def test_a_schedule_that_does_not_follow_is_refused_by_name(change: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        layerwise.openseq2seq_schedule({**JASPER, **change})


@pytest.mark.parametrize(("policy", "params", "text"), [
    ("piecewise_constant", {"learning_rate": 0.1, "boundaries": [1, 2], "decay_rates": [0.5]}, "one rate for each"),
    ("piecewise_constant", {"learning_rate": 0.1, "boundaries": [1], "decay_rates": [0.5, 0.1]}, "one rate for each"),
    ("transformer_policy", {"learning_rate": 0.1, "d_model": 8, "warmup_steps": 0}, "warmup_steps is 0"),
    ("transformer_policy", {"learning_rate": 0.1, "d_model": 8, "warmup_steps": "3"}, r"\['warmup_steps'\] is '3'")])
def test_a_schedule_that_would_fail_in_training_is_refused_when_it_is_made(policy: str, params: Any, text: str) -> None:
    config = {"lr_policy": policy, "lr_policy_params": params}
    with pytest.raises((ValueError, TypeError), match=text):
        layerwise.openseq2seq_schedule(config, steps_per_epoch=1)


def test_without_pytorch_the_error_says_so() -> None:
    code = ("import sys; sys.modules['torch'] = None; import layerwise\n"
            "try: layerwise.from_openseq2seq({'optimizer': 'Adam'}, [], 0.1)\n"
            "except ImportError as problem: print(problem)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert "layerwise.torch needs PyTorch, which is not installed" in done.stdout
