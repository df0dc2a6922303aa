"""The fan-in rule, and what importing the package does not import."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import layerwise


def test_the_rule_is_one_over_the_root_of_the_inputs() -> None:
    """By hand: 1/sqrt(100); 1/(sqrt(16) * 3) for 3 x 3 kernels over 16 channels; 1 for vectors and scalars."""
    got = layerwise.fan_in_lr_multipliers([(10, 100), (32, 16, 3, 3), (7,), (), (5, 0)])
    np.testing.assert_allclose(got, [0.1, 1 / 12, 1, 1, 1], rtol=1e-15)
    assert got.dtype == np.float64
    outputs_last = layerwise.fan_in_lr_multipliers([(100, 10), (3, 3, 16, 32)], out_axis=-1)
    np.testing.assert_allclose(outputs_last, [0.1, 1 / 12], rtol=1e-15)


def test_the_rule_fills_a_plans_multipliers() -> None:
    """By hand: NovoGrad's first step without decay moves a layer of one element by lr * lr_mult."""
    weights, ones = np.zeros(5, np.float32), np.ones(5, np.float32)
    with layerwise.Plan([4, 1]) as plan:
        plan.set_layers(lr_mult=layerwise.fan_in_lr_multipliers([(1, 4), (1,)]))
        plan.novograd_step(weights, ones, np.zeros(5, np.float32), np.zeros(2, np.float32), lr=1.0, weight_decay=0.0)
    np.testing.assert_allclose(weights, [-0.25] * 4 + [-1], rtol=1e-6)


def test_shapes_that_break_the_rule_are_refused() -> None:
    with pytest.raises(layerwise.ArgumentError, match=r"shapes holds \(3, -1\)"):
        layerwise.fan_in_lr_multipliers([(3, -1)])
    with pytest.raises(layerwise.ArgumentError, match="out_axis is 2"):
        layerwise.fan_in_lr_multipliers([(3, 4)], out_axis=2)


def test_the_package_imports_no_framework_and_says_what_its_parts_need() -> None:
    code = """
import sys, layerwise
assert not {"torch", "jax"} & set(sys.modules)
sys.modules["torch"] = None  # as if it were not installed
try:
    import layerwise.torch
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert "layerwise.torch needs PyTorch, which is not installed: pip install torch" in done.stdout, done.stderr
