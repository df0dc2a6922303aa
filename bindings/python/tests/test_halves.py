"""The first half of a step and the second, LARC before NovoGrad, random rounding and split weights, from Python.

What they compute is held by the library's own tests; here that each argument arrives where it belongs.
"""

from __future__ import annotations

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import layerwise
from layerwise import Stat


def copy(model: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(**{name: value.copy() if isinstance(value, np.ndarray) else value
                              for name, value in vars(model).items()})


def same(a: SimpleNamespace, b: SimpleNamespace) -> bool:
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes()
               for name in ("weights", "grads", "first_moment", "second_moment"))


def test_the_halves_give_the_bits_of_the_whole_step(model: SimpleNamespace) -> None:
    halves = copy(model)
    grad_sums, weight_sums = np.zeros(len(model.sizes)), np.zeros(len(model.sizes))
    with layerwise.Plan(model.sizes) as plan:
        plan.partial_norms(halves.grads, grad_sums, weights=halves.weights, weight_sums=weight_sums)
        assert np.isclose(grad_sums[0], np.sum(model.grads[:5].astype(np.float64) ** 2))
        assert np.isclose(weight_sums[0], np.sum(model.weights[:5].astype(np.float64) ** 2))
        plan.novograd_step(model.weights, model.grads, model.first_moment, model.second_moment, lr=0.01)
        plan.novograd_step(halves.weights, halves.grads, halves.first_moment, halves.second_moment, lr=0.01,
                           grad_sums=grad_sums)
        assert same(model, halves)
        plan.partial_norms(halves.grads, grad_sums, weights=halves.weights, weight_sums=weight_sums)
        plan.larc_sgd_step(model.weights, model.grads, model.first_moment, lr=0.1)
        plan.larc_sgd_step(halves.weights, halves.grads, halves.first_moment, lr=0.1, grad_sums=grad_sums,
                           weight_sums=weight_sums)
        assert same(model, halves)
        plan.partial_norms(halves.grads, grad_sums, weights=halves.weights, weight_sums=weight_sums)
        plan.larc_scale(model.weights, model.grads, lr=0.1)
        plan.larc_scale(halves.weights, halves.grads, lr=0.1, grad_sums=grad_sums, weight_sums=weight_sums)
        assert same(model, halves)
        with pytest.raises(layerwise.ArgumentError, match="weight_sums"):
            plan.larc_scale(halves.weights, halves.grads, lr=0.1, grad_sums=grad_sums)


def test_the_largest_magnitude_is_a_partial_norm(model: SimpleNamespace) -> None:
    sums = np.zeros(len(model.sizes))
    with layerwise.Plan(model.sizes) as plan:
        plan.partial_norms(model.grads, sums, norm="inf")
        assert sums[0] == np.abs(model.grads[:5]).max()
        with pytest.raises(layerwise.ArgumentError, match="infinity norm"):
            plan.partial_norms(model.grads, sums, weights=model.weights, weight_sums=sums.copy(), norm="inf")


# |w| = 5, |g| = 1: r = 0.1 * 5 / 1 / lr = 0.5, v = 0.25, u = g'/|g'| = (0.6, 0.8).
def test_larc_before_novograd() -> None:
    weights, grads = np.array([3, 4], np.float32), np.array([0.6, 0.8], np.float32)
    moment, second, stats = np.zeros(2, np.float32), np.zeros(1, np.float32), np.zeros((1, 6))
    with layerwise.Plan([2]) as plan:
        plan.novograd_step(weights, grads, moment, second, lr=1, eps=0, weight_decay=0, layer_stats=stats,
                           larc={"eta": 0.1, "eps": 0})
        assert np.allclose(weights, [2.4, 3.2])
        assert np.isclose(second[0], 0.25)
        assert np.isclose(stats[0, Stat.FACTOR], 0.5)
        with pytest.raises(layerwise.ArgumentError, match="grad_sums"):
            plan.novograd_step(weights, grads, moment, second, lr=1, larc={}, grad_sums=np.ones(1))


def test_random_rounding_depends_on_the_seed_alone(model: SimpleNamespace) -> None:
    def moments(seed: int) -> bytes:
        moment = np.zeros(model.weights.size, ml_dtypes.bfloat16)
        with layerwise.Plan(model.sizes, first_moment_dtype="bfloat16") as plan:
            plan.novograd_step(model.weights.copy(), model.grads, moment, model.second_moment.copy(), lr=0.01, step=1,
                               rounding="stochastic", seed=seed)
        return moment.tobytes()

    assert moments(-5) == moments(-5)
    assert moments(-5) != moments(6)


def test_split_weights_are_the_float32_master(model: SimpleNamespace) -> None:
    bits = model.weights.view(np.uint32) & np.uint32(0xffff0000)  # what bfloat16 holds
    master = copy(model)
    master.weights = bits.view(np.float32)
    upper, lower = master.weights.astype(ml_dtypes.bfloat16), np.zeros(model.weights.size, np.int16)
    with layerwise.Plan(model.sizes) as whole, \
            layerwise.Plan(model.sizes, weights_dtype="bfloat16", weights_extra_dtype="remainder16") as split:
        for _ in range(4):
            whole.novograd_step(master.weights, master.grads, master.first_moment, master.second_moment, lr=0.01)
            split.novograd_step(upper, model.grads, model.first_moment, model.second_moment, lr=0.01, weights_extra=lower)
        with pytest.raises(layerwise.ArgumentError, match="weights_extra is None"):
            split.novograd_step(upper, model.grads, model.first_moment, model.second_moment, lr=0.01)
    low = lower.view(np.uint16).astype(np.uint32)
    joined = ((upper.view(np.uint16).astype(np.uint32) - (low >> 15)) << 16) | low
    assert joined.astype(np.uint32).view(np.float32).tobytes() == master.weights.tobytes()
