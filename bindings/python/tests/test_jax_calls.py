"""A step of many leaves is several calls of a handler, each of a bounded number of operands: XLA takes more than twice
the time to compile twice the operands. The right values: the same step in one call."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from layerwise import ArgumentError

jax = pytest.importorskip("jax", reason="jax is not installed here")
optax = pytest.importorskip("optax", reason="optax is not installed here")
jnp = jax.numpy

import layerwise.jax  # noqa: E402
from layerwise.jax import _call  # noqa: E402

pytestmark = pytest.mark.usefixtures("jax_handlers")

LEAVES = 3 * _call.LEAVES_A_CALL + 1


def rates(params: Any) -> Any:
    """Another for every leaf."""
    return {name: 1 + place / 8 for place, name in enumerate(params)}


def decays(params: Any) -> Any:
    return {name: float(place % 3) for place, name in enumerate(params)}


def left_out(params: Any) -> Any:
    return {name: place % 5 == 0 for place, name in enumerate(params)}


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "novograd": lambda: layerwise.jax.novograd(0.1, amsgrad=True, lr_mult=rates, wd_mult=decays),
    "larc_sgd": lambda: layerwise.jax.larc_sgd(0.1, weight_decay=0.01, lr_mult=rates, wd_mult=decays,
                                               skip_larc=left_out),
    "larc": lambda: optax.chain(layerwise.jax.larc(0.1, lr_mult=rates, skip_larc=left_out), optax.sgd(0.1)),
    "injected": lambda: optax.inject_hyperparams(layerwise.jax.novograd)(0.1, beta1=0.9)}


def trees(count: int, dtypes: tuple[str, ...] = ("float32",)) -> tuple[Any, Any]:
    """Parameters and gradients; leaves of some dtypes in turn, some of them without a gradient where there are many."""
    random = np.random.default_rng(count)
    params, grads = (
        {f"leaf{place}": jnp.asarray(random.standard_normal(1 + place % 7 * 40), dtypes[place % len(dtypes)])
         for place in range(count)} for _ in range(2))
    return params, {name: grad if len(dtypes) == 1 or place % 11 else None
                    for place, (name, grad) in enumerate(grads.items())}


def step_of(optimizer: Any) -> Callable[..., Any]:
    def step(params: Any, grads: Any, state: Any) -> Any:
        updates, state = optimizer.update(grads, state, params)
        return jax.tree.map(lambda leaf, update: leaf if update is None else leaf + update, params, updates,
                            is_leaf=lambda leaf: leaf is None), state

    return getattr(optimizer, "step", step)


def calls(step: Callable[..., Any], *arguments: Any) -> list[int]:
    """The number of operands of each call of a handler, as the step is given to XLA."""
    text = jax.jit(step).lower(*arguments).as_text()
    return [found.count("%") for found in re.findall(r"stablehlo.custom_call @layerwise_\w+\(([^)]*)\)", text)]


# Hazard: 1000 leaves in one call compiled for 38 s, where optax's Adam took 5.4.
@pytest.mark.parametrize(("name", "lists", "others"), [("novograd", 3, 4), ("larc_sgd", 3, 2), ("larc", 2, 1)])
def test_a_step_has_calls_of_a_bounded_number_of_operands(name: str, lists: int, others: int) -> None:
    optimizer = OPTIMIZERS[name]()
    for count, expected in ((1, 1), (_call.LEAVES_A_CALL, 1), (_call.LEAVES_A_CALL + 1, 2), (LEAVES, 4)):
        params, grads = trees(count)
        operands = calls(step_of(optimizer), params, grads, optimizer.init(params))
        assert len(operands) == expected and sum(operands) == lists * count + others * expected
        assert max(operands) - min(operands) <= lists  # as equal as they can be


def test_leaves_of_each_mix_of_dtypes_have_calls_of_their_own() -> None:
    optimizer = OPTIMIZERS["novograd"]()
    params, grads = trees(LEAVES, ("float32", "bfloat16"))
    operands = calls(optimizer.step, params, grads, optimizer.init(params))
    assert len(operands) == 4 and max(operands) <= 3 * _call.LEAVES_A_CALL + 4


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_in_several_calls_has_the_bits_of_one_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> list[bytes]:
        optimizer = OPTIMIZERS[name]()
        params, grads = trees(LEAVES, ("float32", "bfloat16", "float16"))
        state = optimizer.init(params)
        step = jax.jit(step_of(optimizer), donate_argnums=(0, 2))
        for _ in range(3):
            params, state = step(params, grads, state)
        return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves((params, state))]

    several = trained()
    monkeypatch.setattr(_call, "LEAVES_A_CALL", LEAVES)
    assert several == trained()


def test_mapped_and_scanned_steps_in_several_calls_have_the_bits_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    params, grads = trees(13)
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), (params, grads))

    def results(leaves_a_call: int) -> list[bytes]:
        monkeypatch.setattr(_call, "LEAVES_A_CALL", leaves_a_call)
        optimizer = layerwise.jax.novograd(0.1)

        def once(params: Any, grads: Any) -> Any:
            return optimizer.step(params, grads, optimizer.init(params))

        def repeated(params: Any, grads: Any) -> Any:
            return jax.lax.scan(lambda carry, _: (optimizer.step(carry[0], grads, carry[1]), None),
                                (params, optimizer.init(params)), length=3)[0]

        assert len(calls(repeated, params, grads)) == -(-13 // leaves_a_call)
        return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves((
            jax.jit(jax.vmap(once))(*both), jax.jit(repeated)(params, grads)))]

    assert results(5) == results(13)


def test_found_inf_holds_all_calls_of_a_step() -> None:
    optimizer = layerwise.jax.novograd(0.1)
    params, grads = trees(LEAVES)
    new, state = jax.jit(optimizer.step)(params, grads, optimizer.init(params), found_inf=True)
    assert all(np.array_equal(new[name], params[name]) for name in params) and state.count == 0
    assert not any(map(np.any, jax.tree.leaves(state.second_moment)))


def test_a_donated_step_in_several_calls_copies_no_leaf() -> None:
    optimizer = layerwise.jax.larc_sgd(0.1)
    params, grads = trees(LEAVES)
    step = jax.jit(optimizer.step, donate_argnums=(0, 2)).lower(params, grads, optimizer.init(params)).compile()
    assert [line for line in step.as_text().splitlines() if " copy(" in line and "f32[" in line] == []


# Hazard: the library numbers the layers of a call, which are neither the tree's nor the caller's numbers; and the
# calls before the one that it refuses would have stepped their leaves.
@pytest.mark.parametrize(("option", "value", "rule"), [
    ("lr_mult", -1.0, "is -1; it must be finite and not negative"),
    ("wd_mult", float("nan"), "is nan; it must be finite and not negative"),
    ("skip_larc", 0.5, "must hold only 0 and 1")])
def test_a_multiplier_that_breaks_its_rule_is_refused_by_its_leaf_when_the_step_is_traced(
        option: str, value: float, rule: str) -> None:
    params, grads = trees(LEAVES, ("float32", "bfloat16"))
    bad = f"leaf{LEAVES - 2}"
    optimizer = layerwise.jax.larc_sgd(0.1, **{option: {name: value if name == bad else 1 for name in params}})
    with pytest.raises(ArgumentError, match=rf"^{option}\['{bad}'\] {re.escape(rule)}"):
        jax.jit(optimizer.step).lower(params, grads, optimizer.init(params))
