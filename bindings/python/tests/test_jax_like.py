"""layerwise.jax.like against optax itself and against the runs of peers/: 2e-6 of the layer's largest weight, 20 steps.

Right values: optax's own float32 updates in this process, and the peers' own runs, from the start and from their state
after 10 steps.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_jax import built_in_a_folder_of_its_own  # noqa: F401  for every test here

import layerwise

jax = pytest.importorskip("jax", reason="jax is not installed here")
optax = pytest.importorskip("optax", reason="optax is not installed here")
jnp = jax.numpy

FOLDER = Path(__file__).parent / "peers"
PROBLEM = json.loads((FOLDER / "problem.json").read_text())
FILES = [path.stem for path in sorted(FOLDER.glob("*.json"))
         if path.stem.startswith(("optax", "flax", "objax")) and "partition" not in path.stem]
BOUND = 2e-6


def run_of(name: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return run


def tree(run: dict[str, Any], rows: Any) -> dict[str, Any]:
    """A tree by name, from lists in the order of the layers or by name."""
    values = [rows[layer["name"]] for layer in run["layers"]] if isinstance(rows, dict) else rows
    return {layer["name"]: jnp.asarray(np.float32(value).reshape(layer["shape"]))
            for layer, value in zip(run["layers"], values, strict=True)}


def distance(found: Any, expected: Any) -> float:
    worst = 0.0
    for name, value in expected.items():
        exact = np.asarray(value, np.float64)
        worst = max(worst, float(np.abs(np.asarray(found[name], np.float64) - exact).max()
                                 / max(np.abs(exact).max(), 1e-30)))
    return worst


def scheduled(value: Any, rates: Any) -> Any:
    """Arguments with a schedule in the place of the word."""
    if isinstance(value, dict):
        return {key: scheduled(below, rates) for key, below in value.items()}
    if isinstance(value, list):
        return [scheduled(below, rates) for below in value]
    return (lambda count: jnp.asarray(rates, jnp.float32)[count]) if value == "schedule" else value


def optimizer_of(run: dict[str, Any]) -> Any:
    from layerwise.jax import like

    arguments = scheduled(run["arguments"], run["lr_per_step"])
    if run["peer"] in ("flax", "objax"):
        arguments["learning_rate"] = scheduled("schedule", run["lr_per_step"])
    return like(run["class"], **arguments)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("start", [0, 10])
def test_a_run_is_the_peers_own(name: str, start: int) -> None:
    run = run_of(name)
    optimizer = optimizer_of(run)
    params = tree(run, PROBLEM["initial_weights"] if start == 0 else run["expected_weights_per_step"][9])
    state = optimizer.init(params) if start == 0 else optimizer.state_of_peer(
        run["state_after_10"], params, **{"count": 10} if run["peer"] == "objax" else {})
    step = jax.jit(optimizer.step)
    for number in range(start, run["steps"]):
        params, state = step(params, tree(run, PROBLEM["gradients_per_step"][number]), state)
        assert distance(params, tree(run, run["expected_weights_per_step"][number])) < BOUND, f"step {number + 1}"


def mask(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def rate(count: Any) -> Any:
    return 0.3 * jnp.minimum(count / 5, 1.0)


OPTAX: list[tuple[str, dict[str, Any]]] = [
    ("lars", {"learning_rate": rate}),
    ("lars", {"learning_rate": 0.3, "weight_decay": 0.05, "weight_decay_mask": mask, "trust_coefficient": 0.02}),
    ("lars", {"learning_rate": rate, "weight_decay": 0.05, "trust_ratio_mask": mask, "nesterov": True, "eps": 0.01}),
    ("lars", {"learning_rate": rate, "weight_decay": 0.05, "weight_decay_mask": False, "momentum": 0.5}),
    ("lars", {"learning_rate": rate, "momentum": 0.0, "weight_decay": 0.1}),
    ("novograd", {"learning_rate": rate, "b1": 0.95, "b2": 0.98, "eps": 1e-3, "eps_root": 1e-4, "weight_decay": 0.05}),
    ("novograd", {"learning_rate": 0.02}),
]


@pytest.mark.parametrize("number", range(len(OPTAX)))
def test_it_computes_what_optax_does_and_states_go_over_both_ways(number: int) -> None:
    from layerwise.jax import like

    name, arguments = OPTAX[number]
    run = run_of("optax.lars-masks")
    peer, ours = getattr(optax, name)(**arguments), like(f"optax.{name}", **arguments)
    theirs = params = tree(run, PROBLEM["initial_weights"])
    state, peer_state = ours.init(params), peer.init(theirs)
    update, step = jax.jit(peer.update), jax.jit(ours.step)
    for t in range(20):
        grads = tree(run, PROBLEM["gradients_per_step"][t])
        updates, peer_state = update(grads, peer_state, theirs)
        theirs = optax.apply_updates(theirs, updates)
        params, state = step(params, grads, state)
        assert distance(params, theirs) < BOUND, f"step {t + 1}"
        if t == 9:
            params, state = theirs, ours.state_of_peer(peer_state, theirs)
            again = ours.peer_state(state, params)
            assert jax.tree.structure(again) == jax.tree.structure(peer_state)
            if arguments.get("momentum") != 0.0:
                for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(peer_state), strict=True):
                    np.testing.assert_array_equal(one, other)


def test_partition_takes_transformations_of_these_names() -> None:
    from layerwise.jax import like

    run = run_of("optax.novograd-partition")
    labels = jax.tree.map(lambda leaf: "decay" if leaf.ndim > 1 else "no_decay", tree(run, PROBLEM["initial_weights"]))
    optimizer = optax.partition({label: like(each["class"], **scheduled(each["arguments"], run["lr_per_step"]))
                                 for label, each in run["arguments"]["transforms"].items()}, labels)
    params = tree(run, PROBLEM["initial_weights"])
    state = optimizer.init(params)
    for number in range(5):
        updates, state = optimizer.update(tree(run, PROBLEM["gradients_per_step"][number]), state, params)
        params = optax.apply_updates(params, updates)
        assert distance(params, tree(run, run["expected_weights_per_step"][number])) < BOUND


@pytest.mark.parametrize(("name", "arguments", "error", "text"), [
    ("optax.lars", {"learning_rate": 0.1, "eta": 1.0}, TypeError, "optax.lars has no argument 'eta'"),
    ("optax.lars", {}, TypeError, "optax.lars needs learning_rate"),
    ("flax.optim.LARS", {}, TypeError, "flax.optim.LARS needs learning_rate"),
    ("optax.lamb", {"learning_rate": 0.1}, ValueError, "no LAMB"),
    ("timm.optim.Lars", {}, ValueError, "'timm.optim.Lars' has no place in layerwise.jax"),
    ("optax.partition", {}, ValueError, "optax.partition itself takes transformations"),
])
def test_it_is_refused_by_name(name: str, arguments: Any, error: type[Exception], text: str) -> None:
    from layerwise.jax import like

    with pytest.raises(error, match=text):
        like(name, **arguments)


def test_another_state_is_refused_by_the_peers_name() -> None:
    run = run_of("optax.lars-masks")
    params = tree(run, PROBLEM["initial_weights"])
    optimizer = layerwise.jax.like("optax.lars", learning_rate=0.1)
    with pytest.raises(ValueError, match=r"lacks '3/trace|optax.lars has no '0"):
        optimizer.state_of_peer(optax.adam(0.1).init(params), params)
    state = optax.lars(0.1).init({name: leaf for name, leaf in params.items() if name != "fc.bias"})
    with pytest.raises(ValueError, match=r"holds no number of steps, and learning_rate is a schedule: give count"):
        scheduled_optimizer = layerwise.jax.like("objax.optimizer.LARS", learning_rate=rate)
        scheduled_optimizer.state_of_peer(run_of("objax.LARS")["state_after_10"], params)
    with pytest.raises(ValueError, match=r"the checkpoint of optax.lars lacks '3/trace/fc/bias'"):
        optimizer.state_of_peer(state, params)


@pytest.mark.parametrize("mask", [None, {"w": True, "b": False}])
@pytest.mark.parametrize("names", [("add_decayed_weights", "scale_by_trust_ratio", "scale_by_learning_rate", "trace"),
                                   ("scale_by_novograd", "add_decayed_weights", "scale_by_learning_rate")])
def test_a_chains_state_has_optaxs_own_structure(names: tuple[str, ...], mask: Any) -> None:
    """Without a mask optax's is an EmptyState where that with one is a MaskedState, and the ratio's is never masked."""
    arguments: dict[str, dict[str, Any]] = {
        "add_decayed_weights": {"weight_decay": 0.1, "mask": mask}, "scale_by_learning_rate": {"learning_rate": 0.01},
        "trace": {"decay": 0.9}}
    theirs = optax.chain(*(getattr(optax, name)(**arguments.get(name, {})) for name in names))
    ours = layerwise.jax.like("optax.chain", chain=[
        {"class": f"optax.{name}", "arguments": arguments.get(name, {})} for name in names])
    params = {"w": jnp.ones((3, 2)), "b": jnp.full(3, 0.5)}
    grads = {"w": jnp.full((3, 2), 0.25), "b": jnp.full(3, 2.0)}
    found, our_state = ours.update(grads, ours.init(params), params)
    expected, their_state = theirs.update(grads, theirs.init(params), params)
    back = ours.peer_state(our_state, params)
    assert jax.tree.structure(back) == jax.tree.structure(their_state)
    for one, other in ((found, expected), (back, their_state)):
        assert all(np.allclose(a, b, rtol=1e-6) for a, b in zip(
            jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
