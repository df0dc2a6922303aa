"""OpenSeq2Seq's configurations, whole: what is taken, what is left to the training loop, what is refused by name.

The rates are those of its own code (open_seq2seq/optimizers/lr_policies.py, commit 8681d381), run by TensorFlow 1.15.5
in float32: equal to 1e-7 of the learning rate.
"""

from __future__ import annotations

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

RUNS: list[tuple[str, dict[str, Any], list[float]]] = [
    ("fixed_lr", {"learning_rate": 0.02}, [0.0199999996, 0.0199999996]),
    ("piecewise_constant", {"learning_rate": 0.1, "boundaries": [3, 6], "decay_rates": [0.1, 0.01]}, [0.100000001,
     0.100000001, 0.100000001, 0.100000001, 0.00999999978, 0.00999999978, 0.00999999978, 0.00100000005]),
    ("exp_decay", {"learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5, "use_staircase_decay": False,
     "begin_decay_at": 3, "min_lr": 0.01}, [0.100000001, 0.100000001, 0.100000001, 0.100000001, 0.0707106814,
     0.0500000007, 0.0353553407, 0.0250000004, 0.0176776703, 0.0125000002, 0.00999999978, 0.00999999978]),
    ("exp_decay", {"learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5, "use_staircase_decay": True,
     "begin_decay_at": 3, "min_lr": 0.01}, [0.100000001, 0.100000001, 0.100000001, 0.100000001, 0.100000001,
     0.0500000007, 0.0500000007, 0.0250000004, 0.0250000004, 0.0125000002, 0.0125000002, 0.00999999978]),
    ("poly_decay", {"learning_rate": 0.02, "decay_steps": 10, "power": 2.0, "min_lr": 1e-05}, [0.0199999996,
     0.0162018985, 0.0128036002, 0.00980509911, 0.00720639993, 0.00500749983, 0.00320839952, 0.00180909992,
     0.000809599878, 0.000209899852, 9.99999975e-06, 9.99999975e-06]),
    ("poly_decay", {"learning_rate": 0.02, "decay_steps": 8, "power": 2.0, "warmup_steps": 4}, [0, 0.00382812484,
     0.00562499976, 0.005859375, 0.00499999989, 0.00281249988, 0.00124999997, 0.000312499993, 0, 0]),
    ("poly_decay", {"learning_rate": 0.02, "decay_steps": 8, "power": 2.0, "warmup_steps": 4, "begin_decay_at":
     4}, [0, 0.00499999989, 0.00999999978, 0.0149999997, 0.0199999996, 0.0153124994, 0.0112499995, 0.0078125]),
    ("cosine_decay", {"learning_rate": 0.02, "decay_steps": 10, "min_lr": 0.001}, [0.0199999996, 0.0195110552,
     0.0180920791, 0.0158819743, 0.0130970785, 0.0100099994, 0.00692291884, 0.00413802592, 0.00192791969,
     0.000508944562, 2.00000013e-05, 2.00000013e-05]),
    ("cosine_decay", {"learning_rate": 0.02, "decay_steps": 8, "warmup_steps": 4, "begin_decay_at": 4}, [0,
     0.00499999989, 0.00999999978, 0.0149999997, 0.0199999996, 0.0192387942, 0.0170710683, 0.013826834]),
    ("inv_poly_decay", {"learning_rate": 0.02, "decay_steps": 10, "min_lr": 0.0001, "power": 1.0,
     "begin_decay_at": 5, "warmup_steps": 3}, [0.0199999996, 0.000956937787, 0.000490196049, 0.000329489296]),
    ("transformer_policy", {"learning_rate": 2.0, "d_model": 512, "warmup_steps": 4, "max_lr": 0.04,
     "coefficient": 1.0}, [0.0110485433, 0.0220970865, 0.0331456289, 0.0399999991, 0.0395284705, 0.0360843912]),
]


@pytest.mark.parametrize(("policy", "params", "rates"), RUNS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("kind", [str, function_named], ids=["name", "function"])
def test_a_policy_gives_the_rates_of_the_original(policy: str, params: Any, rates: list[float], kind: Any) -> None:
    config = {"lr_policy": kind(policy), "lr_policy_params": params}
    rate = layerwise.openseq2seq_schedule(config)
    assert [rate(step) for step in range(len(rates))] == pytest.approx(rates, rel=0, abs=1e-7 * params["learning_rate"])


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


def test_a_scheduler_follows_the_schedule() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    optimizer = layerwise.from_openseq2seq(JASPER, parameters())
    rate, peak = layerwise.openseq2seq_schedule(JASPER, steps_per_epoch=1), optimizer.defaults["lr"]
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step) / peak)
    for step in range(5):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate(step))
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(("change", "text"), [
    ({"lr_policy": "step_decay"}, "lr_policy is 'step_decay': it must be one of fixed_lr"),
    ({"lr_policy": None}, "lr_policy is None"),
    ({"lr_policy_params": {"rate": 0.1}}, "unknown keys: 'rate'; poly_decay"),
    ({"lr_policy_params": {"decay_steps": 3}}, "lacks learning_rate, which poly_decay needs"),
    ({"num_epochs": None}, "lacks decay_steps, and config max_steps and num_epochs"),
    ({}, "steps_per_epoch is None: decay_steps follows from num_epochs"),
    ({"num_epochs": None, "max_steps": 0}, "decay_steps is 0: it must be positive")])
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
