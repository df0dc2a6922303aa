"""What users rely on across steps: resuming, the two layouts, values read from memory, masks, statistics, dtypes.

Where bits are compared the expectation is the library's own result of the same computation said another way.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from conftest import make_model, split

import layerwise
from layerwise import Stat


def gradient(weights: Any, step: int) -> Any:
    """A gradient that depends on weights and step: that of a bowl, shaken."""
    noise = np.random.default_rng(step).standard_normal(weights.size).astype(np.float32)
    return weights + np.float32(0.1) * noise


def train(plan: layerwise.Plan, state: SimpleNamespace, steps: range) -> None:
    for t in steps:
        plan.novograd_step(state.weights, gradient(state.weights, t), state.first_moment, state.second_moment, lr=0.01,
                           step=t, bias_correction=True)


def test_a_resumed_run_gives_the_bits_of_an_uninterrupted_one(tmp_path: Any) -> None:
    sizes = [7, 300, 10000]
    whole, first_half = make_model(sizes), make_model(sizes)
    with layerwise.Plan(sizes) as plan:
        train(plan, whole, range(1, 101))
        train(plan, first_half, range(1, 51))
        np.savez(tmp_path / "checkpoint.npz", fingerprint=plan.fingerprint, weights=first_half.weights,
                 first_moment=first_half.first_moment, second_moment=first_half.second_moment)
    saved = np.load(tmp_path / "checkpoint.npz")
    resumed = SimpleNamespace(**{name: saved[name] for name in ("weights", "first_moment", "second_moment")})
    with layerwise.Plan(sizes, threads=1) as plan:
        assert plan.fingerprint == saved["fingerprint"]
        train(plan, resumed, range(51, 101))
    for name in ("weights", "first_moment", "second_moment"):
        assert getattr(resumed, name).tobytes() == getattr(whole, name).tobytes(), name


def test_scattered_layers_give_the_bits_of_packed_ones(model: SimpleNamespace) -> None:
    parts = {name: split(getattr(model, name), model.sizes) for name in ("weights", "grads", "first_moment")}
    second = model.second_moment.copy()
    with layerwise.Plan(model.sizes) as packed, layerwise.Plan(model.sizes, layout="scattered") as scattered:
        for _ in range(3):
            packed.novograd_step(model.weights, model.grads, model.first_moment, model.second_moment, lr=0.01)
            scattered.novograd_step(parts["weights"], parts["grads"], parts["first_moment"], second, lr=0.01)
        packed.larc_sgd_step(model.weights, model.grads, model.first_moment, lr=0.1)
        scattered.larc_sgd_step(parts["weights"], parts["grads"], parts["first_moment"], lr=0.1)
        packed.larc_scale(model.weights, model.grads, lr=0.1)
        scattered.larc_scale(parts["weights"], parts["grads"], lr=0.1)
    for name, arrays in parts.items():
        assert np.concatenate(arrays).tobytes() == getattr(model, name).tobytes(), name
    assert second.tobytes() == model.second_moment.tobytes()


def test_a_pointer_table_can_be_made_once_and_used_for_every_step(model: SimpleNamespace) -> None:
    lists = {name: split(getattr(model, name), model.sizes) for name in ("weights", "grads", "first_moment")}
    with layerwise.Plan(model.sizes) as packed, layerwise.Plan(model.sizes, layout="scattered") as scattered:
        tables = {name: scattered.pointer_table(arrays, name) for name, arrays in lists.items()}
        second = model.second_moment.copy()
        for _ in range(2):
            packed.novograd_step(model.weights, model.grads, model.first_moment, model.second_moment, lr=0.01)
            scattered.novograd_step(tables["weights"], tables["grads"], tables["first_moment"], second, lr=0.01)
    assert np.concatenate(lists["weights"]).tobytes() == model.weights.tobytes()


def test_a_scattered_gradient_of_none_leaves_its_layer_out() -> None:
    weights = [np.ones(3, np.float32), np.ones(4, np.float32)]
    moments = [np.zeros(3, np.float32), None]  # a layer that never takes part needs no state
    with layerwise.Plan([3, 4], layout="scattered") as plan:
        plan.novograd_step(weights, [np.ones(3, np.float32), None], moments, np.zeros(2, np.float32), lr=0.1)
    assert (weights[0] != 1).all() and (weights[1] == 1).all()


def test_values_read_from_memory_give_the_bits_of_host_values(model: SimpleNamespace) -> None:
    other = make_model(model.sizes)
    lr, scale, step = np.array(0.01, np.float32), np.array([4], np.float32), np.array([0], np.int64)
    with layerwise.Plan(model.sizes) as plan:
        for t in (1, 2):
            plan.novograd_step(model.weights, model.grads, model.first_moment, model.second_moment,
                               lr=float(lr), grad_scale=4.0, step=t, bias_correction=True)
            plan.novograd_step(other.weights, other.grads, other.first_moment, other.second_moment, lr=lr,
                               grad_scale=scale, step=step, advance_step=True, bias_correction=True)
    assert step[0] == 2
    assert other.weights.tobytes() == model.weights.tobytes()


def test_found_inf_changes_nothing_and_does_not_advance_the_step(model: SimpleNamespace) -> None:
    before, step = model.weights.copy(), np.array(3, np.int64)
    with layerwise.Plan(model.sizes) as plan:
        plan.novograd_step(model.weights, model.grads, model.first_moment, model.second_moment, lr=0.1, step=step,
                           advance_step=True, found_inf=np.ones(1, np.float32))
    assert step == 3 and (model.weights == before).all() and not model.second_moment.any()


def test_a_layer_with_a_gradient_that_is_not_finite_is_counted_and_skipped() -> None:
    weights, skipped = np.ones(4, np.float32), np.zeros(1, np.int64)
    with layerwise.Plan([2, 2]) as plan:
        plan.larc_sgd_step(weights, np.array([np.inf, 1, 1, 1], np.float32), np.zeros(4, np.float32), lr=0.5,
                           nonfinite_layers=skipped)
    assert skipped[0] == 1 and (weights[:2] == 1).all() and (weights[2:] < 1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_])
def test_masked_layers_and_their_statistics_keep_their_bits(model: SimpleNamespace, dtype: Any) -> None:
    before = model.weights.copy()
    mask = np.array([1, 0, 1, 0, 1], dtype)
    stats = np.full((5, layerwise.STAT_COUNT), -7.0)
    with layerwise.Plan(model.sizes) as plan:
        plan.novograd_step(model.weights, model.grads, model.first_moment, model.second_moment, lr=0.1, layer_mask=mask,
                           layer_stats=stats)
    changed = [(a != b).any() for a, b in zip(split(model.weights, model.sizes), split(before, model.sizes),
                                               strict=True)]
    assert changed == [True, False, True, False, True]
    assert (stats[[1, 3]] == -7).all()
    assert (stats[[0, 2, 4], Stat.SECOND_MOMENT] == model.second_moment[[0, 2, 4]]).all()


def test_statistics_name_norms_factor_and_effective_rate() -> None:
    """By hand: |w| = 5, |g| = 0.5, eta 0.02, lr 1: r = 0.02 * 5 / 0.5 = 0.2; layer 1 has twice the rate: r = 0.1."""
    stats = np.zeros((3, layerwise.STAT_COUNT))
    with layerwise.Plan([2, 2, 2]) as plan:
        plan.set_layers(lr_mult=[1, 2, 1], skip_larc=[False, False, True])
        plan.larc_scale(np.array([3, 4] * 3, np.float32), np.array([0.3, 0.4] * 3, np.float32), lr=1.0, eta=0.02, eps=0,
                        layer_stats=stats)
    np.testing.assert_allclose(stats[:, Stat.WEIGHT_NORM], 5, rtol=1e-6)
    np.testing.assert_allclose(stats[:, Stat.GRAD_NORM], 0.5, rtol=1e-6)
    np.testing.assert_allclose(stats[:, Stat.FACTOR], [0.2, 0.1, 1], rtol=1e-6)
    np.testing.assert_allclose(stats[:, Stat.EFFECTIVE_LR], [0.2, 0.2, 1], rtol=1e-6)
    assert np.isnan(stats[:, Stat.SECOND_MOMENT]).all() and not stats[:2, Stat.CLIPPED].any()


def test_skipping_larc_for_every_layer_is_plain_momentum() -> None:
    """By hand: b = g, w = 1 - 0.5 g; then b = 0.5 g + g, w = 1 - 0.5 g - 0.75 g; all exact in binary."""
    weights, buffer = np.ones(3, np.float32), np.zeros(3, np.float32)
    grads = np.array([1, -2, 0.5], np.float32)
    with layerwise.Plan([2, 1]) as plan:
        plan.set_layers(skip_larc=np.ones(2, bool))
        for _ in range(2):
            plan.larc_sgd_step(weights, grads, buffer, lr=0.5, momentum=0.5)
    assert (weights == 1 - 1.25 * grads).all()


def test_declared_uint16_and_ml_dtypes_bfloat16_are_the_same_memory(model: SimpleNamespace) -> None:
    bits = [model.weights.astype(ml_dtypes.bfloat16) for _ in range(2)]
    grads = model.grads.astype(ml_dtypes.bfloat16)
    dtypes = {"weights_dtype": "bfloat16", "grads_dtype": ml_dtypes.bfloat16, "first_moment_dtype": "bfloat16",
              "second_moment_dtype": np.float64}
    for weights, bare in zip(bits, (False, True), strict=True):
        moment = np.zeros(grads.size, np.uint16)
        view = layerwise.bfloat16(weights.view(np.uint16)) if bare else weights
        with layerwise.Plan(model.sizes, **dtypes) as plan:
            plan.novograd_step(view, grads, layerwise.bfloat16(moment), np.zeros(5), lr=0.125)
    assert bits[0].tobytes() == bits[1].tobytes() != model.weights.astype(ml_dtypes.bfloat16).tobytes()


def test_the_low_precision_copy_is_the_rounded_new_weights(model: SimpleNamespace) -> None:
    copy = np.zeros(model.weights.size, np.float16)
    with layerwise.Plan(model.sizes, weights_extra_dtype="float16") as plan:
        plan.novograd_step(model.weights, model.grads, model.first_moment, model.second_moment, lr=0.1,
                           weights_extra=copy)
    assert (copy == model.weights.astype(np.float16)).all()


def test_gaps_between_layers_and_arrays_of_any_shape_are_welcome() -> None:
    weights = np.ones((4, 4), np.float32)
    with layerwise.Plan([4, 4], offsets=[8, 0]) as plan:
        assert plan.extent == 12
        plan.larc_sgd_step(weights, np.ones((2, 8), np.float32), None, lr=1.0, momentum=0.0)
    assert (weights[[1, 3]] == 1).all() and (weights[[0, 2]] < 1).all()


def test_the_readmes_example_runs_as_it_stands() -> None:
    """Expected by hand: v is |g|^2, so m = g/|g| + 0.001 w and w moves by 0.01 m."""
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    names: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    grads = [np.array([0.1, 0.2]), np.array([0.3, 0.4, 0.5])]
    start = np.arange(1.0, 6.0)
    expected = start - 0.01 * (np.concatenate([g / np.linalg.norm(g) for g in grads]) + 0.001 * start)
    np.testing.assert_allclose(names["weights"], expected, rtol=1e-6)
