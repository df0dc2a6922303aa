"""A plan's call after others: what was taken before decides nothing about what is taken now.

Options that come again are not converted again, and plain NumPy arrays are looked at briefly. Each case makes calls
before that would have it wrong where a value were taken for an equal one, or an array for what it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import layerwise


def call(plan: layerwise.Plan, weights: Any, grads: Any, **options: Any) -> None:
    count = plan.elements
    plan.novograd_step(weights, grads, np.zeros(count, np.float32), np.zeros(plan.layers, np.float32),
                       **{"lr": 0.1, **options})


@pytest.fixture
def plan() -> layerwise.Plan:
    plan = layerwise.Plan([3, 4])
    for options in ({}, {"eps": 1.0}, {"eps": 0.0}, {"grad_averaging": True}, {"norm": "l2"}, {"grad_averaging": 1}):
        call(plan, np.ones(7, np.float32), np.ones(7, np.float32), **options)
    return plan


@pytest.mark.parametrize(("options", "text"), [
    ({"eps": True}, "eps is True: it must be a number"),
    ({"eps": "1.0"}, "eps is '1.0': it must be a number"),
    ({"eps": float("nan")}, "eps is nan"),
    ({"grad_averaging": 1.0}, "grad_averaging is 1.0: it must be True or False"),
    ({"grad_averaging": "True"}, "grad_averaging is 'True'"),
    ({"norm": "L2"}, "norm is 'L2'"),
    ({"nonsense": 1.0}, "unexpected keyword argument 'nonsense'"),
    ({"lr": True}, "lr is True: it must be a number"),
    ({"lr": "0.1"}, "lr is '0.1': it must be a number"),
])
def test_values_that_are_equal_to_others_are_not_taken_for_them(
        plan: layerwise.Plan, options: dict[str, Any], text: str) -> None:
    for _ in range(2):
        with pytest.raises((TypeError, ValueError), match=text):
            call(plan, np.ones(7, np.float32), np.ones(7, np.float32), **options)


@pytest.mark.parametrize("zero", [0.0, -0.0, 0])
def test_options_that_come_in_turn_are_each_taken(zero: float) -> None:
    """By hand: w = 1 - 0.1*(1/sqrt(7)/(1 + eps/sqrt(7)) + decay), in the first step of gradients of 1."""
    plan = layerwise.Plan([7])
    for decay in (zero, 0.5, zero, 0.5):
        weights = np.ones(7, np.float32)
        call(plan, weights, np.ones(7, np.float32), weight_decay=decay, eps=zero)
        np.testing.assert_allclose(weights, 1 - 0.1 * (7**-0.5 + decay), rtol=1e-6)


def test_an_array_of_options_is_read_when_the_step_runs() -> None:
    plan, lr = layerwise.Plan([4]), np.array([0.5], np.float32)
    for rate in (0.5, 0.25, 0.0):
        lr[0] = rate
        weights = np.ones(4, np.float32)
        call(plan, weights, np.ones(4, np.float32), lr=lr, weight_decay=0.0, eps=0.0)
        np.testing.assert_allclose(weights, 1 - rate / 2, rtol=1e-6)


@pytest.mark.parametrize("layout", ["packed", "scattered"])
@pytest.mark.parametrize(("spoil", "text"), [
    (lambda array: array.setflags(write=False), "weights.* is read-only"),
    (lambda array: array.resize(5, refcheck=False), "weights.* has 5 elements"),
    (lambda array: setattr(array, "dtype", np.int32), "weights.* has dtype int32"),
    (lambda array: setattr(array, "dtype", ">f4"), "weights.* has dtype >f4"),
], ids=["read-only", "resized", "other dtype", "other byte order"])
def test_an_array_that_has_changed_is_looked_at_again(layout: Any, spoil: Any, text: str) -> None:
    plan = layerwise.Plan([7], layout=layout)
    weights, grads, moment = np.ones(7, np.float32), np.ones(7, np.float32), np.zeros(7, np.float32)

    def step() -> None:
        buffers = [[each] if layout == "scattered" else each for each in (weights, grads, moment)]
        plan.novograd_step(*buffers, np.zeros(1, np.float32), lr=0.1)

    step()
    spoil(weights)
    with pytest.raises((TypeError, ValueError), match=text):
        step()


@pytest.mark.parametrize("layout", ["packed", "scattered"])
def test_gradients_may_be_read_only_and_arrays_may_be_of_any_shape_or_subclass(layout: Any) -> None:
    class Own(np.ndarray):  # type: ignore[type-arg]
        pass

    plan = layerwise.Plan([6], layout=layout)
    for view in (lambda array: array, lambda array: array.reshape(2, 3), lambda array: array.view(Own)):
        weights, grads = np.ones(6, np.float32), np.ones(6, np.float32)
        grads.setflags(write=False)
        buffers = [view(array) for array in (weights, grads, np.zeros(6, np.float32))]
        plan.novograd_step(*([buffer] if layout == "scattered" else buffer for buffer in buffers),
                           np.zeros(1, np.float32), lr=0.1, weight_decay=0.0, eps=0.0)
        np.testing.assert_allclose(weights, 1 - 0.1 * 6**-0.5, rtol=1e-6)
