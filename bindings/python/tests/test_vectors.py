"""The binding carries every option to the library: the shared vectors and TensorFlow Addons' literal cases.

Expectations come from other implementations, in float64 (tests/vectors/README.md says which, file by file).

The bound. A step rounds each float32 value fewer than 8 times, every time by at most 2**-24 of a term no larger than
the layer's largest value; what earlier steps rounded is carried on by factors below 1. So after T steps a value is off
by at most 8 * T * 2**-24 of the layer's largest. v and the factors are computed in double from sums with a relative
error of a few 2**-24; 8 * T covers them likewise, and weights that drift apart by that much in between.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from conftest import VECTORS

import layerwise

FILES = sorted(VECTORS.glob("*.json"))
NOVOGRAD = [path for path in FILES if path.name.startswith("novograd-")]
LARC = [path for path in FILES if path.name.startswith("larc-")]


def load(path: Any) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(path.read_text())
    return case


def assert_layers_close(got: Any, expected: Any, scale: Any, sizes: list[int], steps: int, what: str) -> None:
    """Every element within 8 * steps * 2**-24 of the largest value that its layer met."""
    ends = np.cumsum(sizes)[:-1]
    for layer, (a, b, c) in enumerate(zip(*(np.split(np.asarray(x, np.float64), ends) for x in (got, expected, scale)),
                                          strict=True)):
        bound = 8 * steps * 2.0**-24 * max(np.abs(b).max(), np.abs(c).max())
        worst = np.abs(a - b).argmax()
        assert abs(a[worst] - b[worst]) <= bound, f"{what}, layer {layer}, element {worst}: {a[worst]} not {b[worst]}"


def novograd_options(hyper: dict[str, Any]) -> dict[str, Any]:
    options = {name: hyper[name] for name in (
        "lr", "beta1", "beta2", "eps", "weight_decay", "grad_averaging", "average_first_step", "amsgrad",
        "bias_correction", "norm", "lr_in_momentum", "maximize") if name in hyper}
    options["eps_root"] = hyper.get("eps_inside_sqrt", 0.0)
    options["seed_second_moment"] = hyper["first_step"] != "zero"
    options["decoupled_weight_decay"] = hyper.get("decay", "").startswith("decoupled")
    return options


def test_vectors_are_there() -> None:
    assert len(NOVOGRAD) == 12 and len(LARC) == 7


@pytest.mark.parametrize("path", NOVOGRAD, ids=lambda path: path.stem)
def test_novograd_follows_the_other_implementation(path: Any) -> None:
    case = load(path)
    sizes, hyper = case["layer_sizes"], case["hyper_parameters"]
    options = novograd_options(hyper)
    start = np.array(case["initial_weights"], np.float32)
    weights, first_moment = start.copy(), np.zeros_like(start)
    second_moment = np.zeros(len(sizes), np.float32)
    maximum = np.zeros_like(second_moment) if options.get("amsgrad") else None
    with layerwise.Plan(sizes) as plan:
        for step, grads in enumerate(case["gradients"], start=1):
            plan.novograd_step(weights, np.array(grads, np.float32), first_moment, second_moment,
                               max_second_moment=maximum, step=step, **options)
    steps = case["steps"]
    assert_layers_close(weights, case["expected_weights"], start, sizes, steps, "weights")
    assert_layers_close(first_moment, case["expected_first_moment"], 0 * start, sizes, steps, "first_moment")
    v = case.get("expected_second_moment")
    if v is None:
        v = np.array(case["expected_norms"]) ** (1 if hyper["norm"] == "inf" else 2)
    np.testing.assert_allclose(second_moment, v, rtol=8 * steps * 2.0**-24)
    if maximum is not None:
        np.testing.assert_allclose(maximum, case["expected_max_second_moment"], rtol=8 * steps * 2.0**-24)


def larc_options(hyper: dict[str, Any]) -> dict[str, Any]:
    zero_norm = hyper.get("zero_norm", "floor")  # OpenSeq2Seq's: min_update
    return {
        "lr": hyper["lr"],
        "eta": hyper.get("larc_eta", hyper.get("trust_coefficient")),
        "eps": hyper.get("epsilon", hyper.get("eps")),
        "mode": hyper.get("larc_mode", hyper.get("mode")),
        "min_update": hyper.get("min_update", 0.0),
        "weight_decay": hyper.get("weight_decay", 0.0),
        "fold_weight_decay": hyper.get("fold_weight_decay", hyper.get("weight_decay_in_norm", False)),
        "zero_norm": "untouched" if "left unscaled" in zero_norm else zero_norm}


@pytest.mark.parametrize("path", LARC, ids=lambda path: path.stem)
def test_larc_follows_the_other_implementation(path: Any) -> None:
    case = load(path)
    sizes, steps, options = case["layer_sizes"], case["steps"], larc_options(case["hyper_parameters"])
    momentum = case["hyper_parameters"].get("momentum", 0.0)
    start = np.array(case["initial_weights"], np.float32)
    weights = start.copy()
    buffer = np.zeros_like(weights) if momentum else None
    stats = np.full((len(sizes), layerwise.STAT_COUNT), np.nan)
    with layerwise.Plan(sizes) as plan:
        for step in range(steps):
            grads = np.array(case["gradients"][step], np.float32)
            scaled = grads.copy()
            plan.larc_scale(weights, scaled, layer_stats=stats, **options)
            if "expected_factors" in case:
                np.testing.assert_allclose(stats[:, layerwise.Stat.FACTOR], case["expected_factors"][step],
                                           rtol=8 * steps * 2.0**-24)
            assert_layers_close(scaled, case["expected_scaled_gradients"][step], 0 * start, sizes, steps, "scaled")
            plan.larc_sgd_step(weights, grads, buffer, momentum=momentum, **options)
    assert_layers_close(weights, case["expected_weights"], start, sizes, steps, "weights")


ADDONS = [  # TensorFlow Addons, optimizers/tests/novograd_test.py
    ("plain", 1, {}, [0.9552786425, 1.9105572849, 2.94, 3.92]),
    ("weight decay", 1, {"weight_decay": 0.1}, [0.945278642, 1.8905572849, 2.91, 3.88]),
    ("averaging", 2, {"grad_averaging": True, "lr_in_momentum": True, "average_first_step": False},
     [0.9105572849, 1.8211145698, 2.88, 3.84])]


@pytest.mark.parametrize(("steps", "options", "expected"), [case[1:] for case in ADDONS], ids=[c[0] for c in ADDONS])
def test_novograd_gives_tensorflow_addons_literals(steps: int, options: Any, expected: Any) -> None:
    weights = np.array([1, 2, 3, 4], np.float32)
    grads = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    first_moment, second_moment = np.zeros(4, np.float32), np.zeros(2, np.float32)
    options = {"weight_decay": 0.0, **options}
    with layerwise.Plan([2, 2]) as plan:
        for step in range(1, steps + 1):
            plan.novograd_step(weights, grads, first_moment, second_moment, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8,
                               step=step, **options)
    np.testing.assert_allclose(weights, expected, rtol=8 * steps * 2.0**-24)
