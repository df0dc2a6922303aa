"""Bad arguments of layerwise.jax: refused when they are given or traced, with the name of the option or leaf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from layerwise import ArgumentError, DtypeError

jnp = pytest.importorskip("jax.numpy", reason="jax is not installed here")

import layerwise.jax  # noqa: E402


@pytest.mark.parametrize(("arguments", "kind", "text"), [
    ({"learning_rate": -1.0}, ArgumentError, "lr is -1"),
    ({"learning_rate": 0.1, "beta1": 1.0}, ArgumentError, "beta1 is 1"),
    ({"learning_rate": 0.1, "norm": "l3"}, ArgumentError, "norm is 'l3'"),
    ({"learning_rate": 0.1, "first_moment_dtype": "float64"}, DtypeError, "first_moment_dtype"),
])
def test_options_that_break_a_rule_are_refused_when_they_are_given(arguments: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        layerwise.jax.novograd(**arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize(("params", "grads", "kind", "text"), [
    (None, {"w": jnp.ones(3)}, ArgumentError, "params is None"),
    ({"w": jnp.ones(3, int)}, {"w": jnp.ones(3)}, DtypeError, "params['w'] has dtype int32: it must be float32 or"),
    ({"w": jnp.ones(3)}, {"w": np.ones(3)}, DtypeError, "grads['w'] has dtype float64"),
    ({"w": jnp.ones(3)}, {"w": jnp.ones((3, 1))}, ArgumentError, "grads['w'] has shape (3, 1): it must be (3,)"),
    ({"w": jnp.ones(3)}, {"v": jnp.ones(3)}, ArgumentError, "grads has not the structure of params"),
])
def test_trees_that_break_a_rule_are_refused_by_name(params: Any, grads: Any, kind: Any, text: str) -> None:
    optimizer = layerwise.jax.larc_sgd(0.1)
    with pytest.raises(kind) as caught:
        optimizer.update(grads, optimizer.init(grads), params)
    assert text in str(caught.value)
