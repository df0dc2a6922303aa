"""layerwise.jax with hyper-parameters that are arrays, traced or injected by optax: read when the step runs.

The right values: those of a step for which the same number, as a float32, was compiled in: equal bits; that in turn is
held against optax and NumPy's float64 elsewhere, and once here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from layerwise import ArgumentError

jax = pytest.importorskip("jax", reason="jax is not installed here")
optax = pytest.importorskip("optax", reason="optax is not installed here")
jnp = jax.numpy

import layerwise.jax  # noqa: E402

W, G = np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3])
PARAMS = {"a": jnp.asarray(W, jnp.float32), "b": jnp.linspace(-2, 2, 9000)}
FACTORIES = {name: getattr(layerwise.jax, name) for name in ("novograd", "larc", "larc_sgd")}


pytestmark = pytest.mark.usefixtures("jax_handlers")


def gradient(params: Any, step: Any) -> Any:
    return jax.tree.map(lambda leaf: 0.01 * leaf + 0.1 * jnp.cos(37 * leaf + step), params)


def run(optimizer: Any, steps: int = 4) -> Any:
    """Parameters and the optimizer's own state after some jitted updates; nothing is compiled twice."""
    @jax.jit
    def train_step(params: Any, state: Any, t: Any) -> Any:
        updates, state = optimizer.update(gradient(params, t), state, params)
        return optax.apply_updates(params, updates), state

    params, state = PARAMS, optimizer.init(PARAMS)
    for t in range(steps):
        params, state = train_step(params, state, t)
    assert train_step._cache_size() <= 2  # the state's first arrays are of weak types
    return params, getattr(state, "inner_state", state)


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


# Hazard: optax.inject_hyperparams hands every number over as a traced array.
VALUES = [("novograd", dict(learning_rate=0.05)), ("novograd", dict(beta1=0.7)), ("novograd", dict(beta2=0.5)),
          ("novograd", dict(eps=0.3)), ("novograd", dict(eps_root=0.2)), ("novograd", dict(weight_decay=0.1)),
          ("novograd", dict(beta1=0.5, beta2=0.25, eps=1e-3, weight_decay=0, bias_correction=True, amsgrad=True)),
          ("novograd", dict(beta2=0.5, norm="inf")),
          ("larc", dict(learning_rate=0.5)), ("larc", dict(eta=0.3)), ("larc", dict(eps=5.0)),
          ("larc", dict(min_update=0.7)), ("larc", dict(weight_decay=0.4, fold_weight_decay=True)),
          ("larc_sgd", dict(eta=0.3, momentum=0.3)), ("larc_sgd", dict(momentum=0.5, dampening=0.25)),
          ("larc_sgd", dict(weight_decay=0.2, mode="scale", momentum=0.5, nesterov=True)),
          ("larc_sgd", dict(eps=2.0, min_update=0.1, momentum=0.9))]


@pytest.mark.parametrize(("given", "name", "options"), [("number", *case) for case in VALUES] + [
    (given, *VALUES[at]) for given in ("schedule", "array") for at in (6, 14)])
def test_an_injected_number_gives_the_bits_of_one_compiled_in(given: str, name: str, options: Any) -> None:
    options = {"learning_rate": 0.1, **options}
    numbers = {key: value for key, value in options.items() if not isinstance(value, (bool, str))}
    kinds = {"number": lambda value: value, "array": jnp.asarray,
             "schedule": lambda value: lambda count: value + 0 * count}
    others = {key: value for key, value in options.items() if key not in numbers}
    injected = optax.inject_hyperparams(FACTORIES[name])(
        **others, **{key: kinds[given](value) for key, value in numbers.items()})
    plain = FACTORIES[name](**others, **{key: float(np.float32(value)) for key, value in numbers.items()})
    assert bits(run(injected)) == bits(run(plain))


def test_a_scheduled_weight_decay_follows_its_schedule() -> None:
    """In float64: each step is w - lr*m with m = 0.95*m + g/sqrt(v) + wd*w, of a gradient that stays."""
    optimizer = optax.inject_hyperparams(layerwise.jax.novograd)(0.1, weight_decay=lambda count: 0.01 * (count + 1))
    params, state = PARAMS["a"], optimizer.init(PARAMS["a"])
    update = jax.jit(optimizer.update)
    w, m = W, 0 * W
    for t in range(3):
        updates, state = update(jnp.asarray(G, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        m = 0.95 * m + G / (np.sqrt(G @ G) + 1e-8) + 0.01 * (t + 1) * w
        w = w - 0.1 * m
    np.testing.assert_allclose(params, w, rtol=1e-5)


@pytest.mark.parametrize(("name", "options"), VALUES)
def test_a_number_that_is_an_argument_of_a_jitted_function_is_not_compiled_in(name: str, options: Any) -> None:
    numbers = {key: value for key, value in options.items() if not isinstance(value, (bool, str))}
    others = {"learning_rate": 0.1, **{key: value for key, value in options.items() if key not in numbers}}

    grads = gradient(PARAMS, 0)

    @jax.jit
    def first_update(given: Any) -> Any:
        optimizer = FACTORIES[name](**{**others, **given})
        return optimizer.update(grads, optimizer.init(PARAMS), PARAMS)[0]

    for factor in (1, 0.5):
        values = {key: np.float32(value * factor) for key, value in numbers.items()}
        plain = FACTORIES[name](**{**others, **{key: float(value) for key, value in values.items()}})
        want = jax.jit(lambda plain=plain: plain.update(grads, plain.init(PARAMS), PARAMS)[0])()
        assert bits(first_update(values)) == bits(want)
    assert first_update._cache_size() == 1


# Hazard: a momentum that begins at 0. The library keeps no buffer at 0, so the next step would add an older one.
def test_a_momentum_that_begins_at_zero_keeps_its_buffer() -> None:
    """In float64: b = mu*b + h and w -= lr*b, with LARC's factor of 1."""
    scheduled = optax.inject_hyperparams(layerwise.jax.larc_sgd)(
        0.1, momentum=lambda count: jnp.where(count < 2, 0.0, 0.9), eta=100.0)
    params, state = PARAMS["a"], scheduled.init(PARAMS["a"])
    w, b = W, 0 * W
    for t in range(4):
        grad = G * (t + 1)
        updates, state = jax.jit(scheduled.update)(jnp.asarray(grad, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        b = (0.0 if t < 2 else 0.9) * b + grad
        w = w - 0.1 * b
        np.testing.assert_allclose(params, w, rtol=1e-5)


# Hazard: a choice that the step is compiled for is traced; Python would say nothing to go by.
@pytest.mark.parametrize(("name", "option"), [
    ("novograd", "amsgrad"), ("novograd", "bias_correction"), ("novograd", "maximize"), ("novograd", "grad_averaging"),
    ("novograd", "norm"), ("larc", "fold_weight_decay"), ("larc", "mode"), ("larc_sgd", "nesterov"),
    ("larc_sgd", "zero_norm")])
def test_a_traced_choice_is_refused_by_name(name: str, option: str) -> None:
    make = jax.jit(lambda value: FACTORIES[name](0.1, **{option: value}).init(PARAMS).count)
    with pytest.raises(TypeError, match=f"{option} is traced .*: it must be known when the step is traced"):
        make(1)


@pytest.mark.parametrize("option", ["lr_mult", "wd_mult", "skip_larc"])
def test_a_traced_multiplier_is_refused_by_its_leaf(option: str) -> None:
    @jax.jit
    def step(value: Any) -> Any:
        optimizer = layerwise.jax.larc_sgd(0.1, **{option: {"a": 1, "b": value}})
        return optimizer.step(PARAMS, PARAMS, optimizer.init(PARAMS))[0]

    with pytest.raises(TypeError, match=rf"{option}\['b'\] is traced .*: it must be a number that is known"):
        step(0.5)


def test_a_multiplier_that_is_no_number_is_refused_by_its_leaf() -> None:
    optimizer = layerwise.jax.larc_sgd(0.1, lr_mult={"a": 1, "b": "0.5"})
    with pytest.raises(TypeError, match=r"lr_mult\['b'\] is '0.5': it must be a number"):
        optimizer.step(PARAMS, PARAMS, optimizer.init(PARAMS))


@pytest.mark.parametrize(("name", "option", "value"), [
    ("novograd", "beta1", 1.5), ("novograd", "eps", -1.0), ("novograd", "weight_decay", np.nan), ("larc", "eta", -1.0),
    ("larc_sgd", "momentum", 1.0), ("larc_sgd", "dampening", 2.0)])
def test_a_traced_number_that_breaks_its_rule_is_refused_in_the_step(name: str, option: str, value: float) -> None:
    @jax.jit
    def first_update(value: Any) -> Any:
        optimizer = FACTORIES[name](0.1, **{option: value})
        return optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)[0]

    with pytest.raises(Exception, match=f"layerwise: .*{option} is "):
        jax.block_until_ready(first_update(value))


def test_a_traced_shape_or_kind_that_is_no_number_is_refused_when_it_is_traced() -> None:
    for given, kind, text in ((jnp.ones(2), ArgumentError, "beta1 has shape (2,): it must be one number"),
                              (jnp.ones((), complex), TypeError, "beta1 is ")):
        with pytest.raises(kind) as caught:
            jax.jit(lambda value: layerwise.jax.novograd(0.1, beta1=value).init(PARAMS).count)(given)
        assert text in str(caught.value)
        with pytest.raises(kind):
            layerwise.jax.novograd(0.1, beta1=given)


def test_traced_numbers_reach_a_chain() -> None:
    make = optax.inject_hyperparams(lambda learning_rate, eta: optax.chain(
        layerwise.jax.larc(learning_rate, eta=eta), optax.sgd(learning_rate, momentum=0.9)))
    plain = optax.chain(layerwise.jax.larc(np.float32(0.1), eta=float(np.float32(0.02))), optax.sgd(0.1, momentum=0.9))
    got, _ = run(make(learning_rate=0.1, eta=0.02))
    want, _ = run(plain)
    for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-6, atol=1e-7)
