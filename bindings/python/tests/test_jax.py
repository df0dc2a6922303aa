"""layerwise.jax against optax, against the shared vectors and against the NumPy plan: equal bits with the latter.

The bound towards optax.novograd, which computes in float32 all through: 8 roundings a step, as in test_vectors.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from conftest import make_model, split
from test_vectors import LARC, NOVOGRAD, assert_layers_close, larc_options, load, novograd_options

import layerwise

jax = pytest.importorskip("jax", reason="jax is not installed here")
optax = pytest.importorskip("optax", reason="optax is not installed here")
jnp = jax.numpy


@pytest.fixture(scope="module", autouse=True)
def built_in_a_folder_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        import layerwise.jax
        from layerwise.jax import _handlers

        try:
            _handlers.register()
        except layerwise.LibraryError as problem:
            if "no C++ compiler" in str(problem):
                pytest.skip(f"the handlers cannot be built: {problem}")
            raise
        yield


SIZES = [5, 1, 1000, 9000, 17]


def tree_of(array: Any, dtypes: Any = None) -> dict[str, Any]:
    parts = split(np.asarray(array), SIZES)
    return {f"layer{i}": jnp.asarray(part).astype(dtypes[i] if dtypes else part.dtype)
            for i, part in enumerate(parts)}


def bits(tree: Any) -> bytes:
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))


def gradient(params: Any, step: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf + 0.1 * jnp.cos(37 * leaf + step), params)


def test_novograd_gives_the_figures_of_optaxs_documentation() -> None:
    """optax's page for novograd, sum of squares from [1, 2, 3] with lr 0.003; its defaults, not this library's."""
    optimizer = layerwise.jax.novograd(0.003, beta1=0.9, beta2=0.25, eps=1e-6, weight_decay=0)
    params, losses = jnp.array([1.0, 2.0, 3.0]), []
    state = optimizer.init(params)
    for _ in range(5):
        updates, state = optimizer.update(2 * params, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(f"{(params ** 2).sum():.4f}")
    assert losses == ["13.9776", "13.9350", "13.8744", "13.7976", "13.7066"]


@pytest.mark.parametrize(("mine", "theirs"), [
    ({}, {}), ({"weight_decay": 0.01}, {"weight_decay": 0.01}), ({"eps_root": 1e-3}, {"eps_root": 1e-3})])
def test_novograd_follows_optax(mine: Any, theirs: Any) -> None:
    steps, schedule = 20, optax.linear_schedule(0.1, 0.01, 20)
    ours = layerwise.jax.novograd(schedule, **{"beta1": 0.9, "beta2": 0.25, "eps": 1e-6, "weight_decay": 0, **mine})
    peer = optax.novograd(schedule, **theirs)
    start = tree_of(make_model(SIZES).weights)
    got, expected, state, peers = start, start, ours.init(start), peer.init(start)

    @jax.jit
    def train_step(params: Any, state: Any, t: Any) -> Any:
        return ours.step(params, gradient(params, t), state)

    for t in range(steps):
        got, state = train_step(got, state, t)
        updates, peers = peer.update(gradient(expected, t), peers, expected)
        expected = optax.apply_updates(expected, updates)
    flat = [np.concatenate([np.asarray(leaf) for leaf in tree.values()]) for tree in (got, expected, start)]
    assert_layers_close(*flat, SIZES, steps, "weights")


@pytest.mark.parametrize("path", NOVOGRAD, ids=lambda path: path.stem)
def test_novograd_gives_the_shared_vectors(path: Any) -> None:
    case = load(path)
    sizes, steps = case["layer_sizes"], case["steps"]
    start = np.array(case["initial_weights"], np.float32)
    optimizer = layerwise.jax.novograd(**{"learning_rate": (options := novograd_options(case["hyper_parameters"]))
                                          .pop("lr"), **options})
    params = [jnp.asarray(part) for part in split(start, sizes)]
    state = optimizer.init(params)
    train_step = jax.jit(optimizer.step)
    for grads in case["gradients"]:
        params, state = train_step(params, [jnp.asarray(g) for g in split(np.array(grads, np.float32), sizes)], state)
    assert_layers_close(jnp.concatenate(params), case["expected_weights"], start, sizes, steps, "weights")
    assert_layers_close(jnp.concatenate(state.first_moment), case["expected_first_moment"], 0 * start, sizes, steps,
                        "first_moment")
    v = case.get("expected_second_moment")
    if v is None:
        v = np.array(case["expected_norms"]) ** (1 if case["hyper_parameters"]["norm"] == "inf" else 2)
    np.testing.assert_allclose(np.stack(state.second_moment), v, rtol=8 * steps * 2.0**-24)
    if options.get("amsgrad"):
        np.testing.assert_allclose(np.stack(state.max_second_moment), case["expected_max_second_moment"],
                                   rtol=8 * steps * 2.0**-24)


@pytest.mark.parametrize("path", LARC, ids=lambda path: path.stem)
def test_larc_gives_the_shared_vectors(path: Any) -> None:
    case = load(path)
    sizes, steps, options = case["layer_sizes"], case["steps"], larc_options(case["hyper_parameters"])
    lr, momentum = options.pop("lr"), case["hyper_parameters"].get("momentum", 0.0)
    scaling = layerwise.jax.larc(lr, **options)
    optimizer = layerwise.jax.larc_sgd(lr, momentum=momentum, **options)
    start = np.array(case["initial_weights"], np.float32)
    params = [jnp.asarray(part) for part in split(start, sizes)]
    state = optimizer.init(params)
    for step in range(steps):
        grads = [jnp.asarray(g) for g in split(np.array(case["gradients"][step], np.float32), sizes)]
        scaled, _ = scaling.update(grads, scaling.init(params), params)
        assert_layers_close(jnp.concatenate(scaled), case["expected_scaled_gradients"][step], 0 * start, sizes, steps,
                            "scaled")
        params, state = optimizer.step(params, grads, state)
    assert_layers_close(jnp.concatenate(params), case["expected_weights"], start, sizes, steps, "weights")


DTYPES = {"float32": (np.float32, np.float32), "bfloat16": (ml_dtypes.bfloat16, ml_dtypes.bfloat16),
          "mixed": (np.float32, ml_dtypes.bfloat16), "float16": (np.float16, np.float32)}


@pytest.mark.parametrize("name", DTYPES)
def test_jit_and_scan_give_the_bits_of_the_numpy_plan(name: str) -> None:
    weights_dtype, grads_dtype = DTYPES[name]
    model, steps = make_model(SIZES), 5
    weights, grads = model.weights.astype(weights_dtype), model.grads.astype(grads_dtype)
    start, constant = tree_of(weights), tree_of(grads)
    with layerwise.Plan(SIZES, weights_dtype=weights_dtype, grads_dtype=grads_dtype) as plan:
        for t in range(1, steps + 1):
            plan.novograd_step(weights, grads, model.first_moment, model.second_moment, lr=np.float32(0.01),
                               step=t, bias_correction=True, grad_averaging=True)
    optimizer = layerwise.jax.novograd(0.01, bias_correction=True, grad_averaging=True)

    def body(carry: Any, _: Any) -> Any:
        return optimizer.step(carry[0], constant, carry[1]), None

    (params, state), _ = jax.jit(lambda carry: jax.lax.scan(body, carry, length=steps))((start, optimizer.init(start)))
    assert bits(params) == weights.tobytes()
    assert bits(state.first_moment) == model.first_moment.tobytes()
    assert bits(state.second_moment) == model.second_moment.tobytes() and state.count == steps


def test_a_tree_of_mixed_dtypes_is_stepped_leaf_by_leaf_like_trees_of_one() -> None:
    model = make_model(SIZES)
    dtypes = ["float32", "bfloat16", "bfloat16", "float32", "float16"]
    params, grads = tree_of(model.weights, dtypes), tree_of(model.grads)
    optimizer = layerwise.jax.novograd(0.01, amsgrad=True)
    together, state = jax.jit(optimizer.step)(params, grads, optimizer.init(params))
    for layer, (name, leaf) in enumerate(params.items()):
        alone, own = optimizer.step(leaf, grads[name], optimizer.init(leaf))
        assert bits(alone) == bits(together[name]) and together[name].dtype == dtypes[layer]
        assert own.second_moment == state.second_moment[name] == state.max_second_moment[name] > 0


def test_a_resumed_run_gives_the_bits_of_an_uninterrupted_one(tmp_path: Path) -> None:
    optimizer = layerwise.jax.novograd(optax.cosine_decay_schedule(0.1, 100), bias_correction=True)

    @jax.jit
    def train_step(params: Any, state: Any) -> Any:
        return optimizer.step(params, gradient(params, state.count), state)

    def train(params: Any, state: Any, steps: int) -> Any:
        for _ in range(steps):
            params, state = train_step(params, state)
        return params, state

    start = tree_of(make_model(SIZES).weights)
    whole = train(start, optimizer.init(start), 100)
    (tmp_path / "checkpoint").write_bytes(pickle.dumps(jax.device_get(train(start, optimizer.init(start), 50))))
    resumed = train(*pickle.loads((tmp_path / "checkpoint").read_bytes()), 50)
    assert bits(resumed) == bits(whole) and resumed[1].count == 100


def test_updates_added_to_the_parameters_are_the_step_but_for_one_rounding_each() -> None:
    """new - w rounds by half an ulp of itself, adding it by half an ulp of the sum; exact below a factor of 2."""
    model = make_model(SIZES)
    params, grads = tree_of(model.weights), tree_of(model.grads)
    optimizer = layerwise.jax.novograd(1.0)
    exact, _ = optimizer.step(params, grads, optimizer.init(params))
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    summed = optax.apply_updates(params, updates)
    exact_sums = 0
    for name in params:
        w, new, u, s = (np.asarray(tree[name], np.float64) for tree in (params, exact, updates, summed))
        half_ulps = (np.spacing(np.abs(u).astype(np.float32)) + np.spacing(np.abs(s).astype(np.float32))) / 2
        assert (np.abs(s - new) <= half_ulps).all()
        near = (new / w >= 0.5) & (new / w <= 2)
        assert (s == new)[near].all()
        exact_sums += near.sum()
    assert exact_sums > 1000


def test_chained_larc_follows_apexs_larc_around_sgd() -> None:
    """larc, then optax.sgd, against larc_sgd: the same formulas, one rounding apart in the scaled gradient."""
    model = make_model(SIZES)
    start, steps = tree_of(model.weights), 10
    chain = optax.chain(layerwise.jax.larc(0.1, eta=0.02), optax.sgd(0.1, momentum=0.9))
    fused = layerwise.jax.larc_sgd(0.1, eta=0.02, momentum=0.9)
    chained, one, states = start, start, [chain.init(start), fused.init(start)]
    chain_step = jax.jit(chain.update)
    for t in range(steps):
        updates, states[0] = chain_step(gradient(chained, t), states[0], chained)
        chained = optax.apply_updates(chained, updates)
        one, states[1] = fused.step(one, gradient(one, t), states[1])
    flat = [np.concatenate([np.asarray(leaf) for leaf in tree.values()]) for tree in (one, chained, start)]
    assert_layers_close(*flat, SIZES, steps, "weights")


def test_gradients_of_none_and_empty_trees_leave_their_layers_alone() -> None:
    params = {"a": jnp.ones(3), "b": {"c": jnp.ones(2), "nothing": None}, "empty": jnp.zeros((0, 4))}
    grads = {"a": None, "b": {"c": jnp.ones(2), "nothing": None}, "empty": jnp.zeros((0, 4))}
    optimizer = layerwise.jax.novograd(0.1)
    updates, _ = jax.jit(optimizer.update)(grads, optimizer.init(params), params)
    assert updates["a"] is None and updates["b"]["nothing"] is None and (updates["b"]["c"] < 0).all()
    new, state = optimizer.step(params, grads, optimizer.init(params))
    assert (new["a"] == 1).all() and (new["b"]["c"] < 1).all()
    assert state.second_moment == {"a": 0, "b": {"c": 2, "nothing": None}, "empty": 0}
    nothing, state = optimizer.step({}, {}, optimizer.init({}))
    assert nothing == {} and state.count == 1


def test_per_layer_multipliers_reach_their_layers() -> None:
    """By hand: g = 2 has |g| = 2, so u = 1 + wd*w; lr 0.5, wd 0.5, w 1: w - 0.5*1.5, halved rate, no decay."""
    params = {"bias": jnp.ones(1), "half": jnp.ones(1), "kernel": jnp.ones(1)}
    optimizer = layerwise.jax.novograd(
        0.5, weight_decay=0.5, eps=0, lr_mult={"bias": 1, "half": 0.5, "kernel": 1},
        wd_mult=lambda tree: {name: float(name != "bias") for name in tree})
    grads = jax.tree.map(lambda leaf: 2 * leaf, params)
    new, _ = jax.jit(optimizer.step)(params, grads, optimizer.init(params))
    assert [float(new[name][0]) for name in params] == [0.5, 0.625, 0.25]


def test_found_inf_and_grad_scale_are_read_when_the_step_runs() -> None:
    params = jnp.array([1.0, 2.0])
    optimizer = layerwise.jax.novograd(0.5)
    step = jax.jit(lambda scale, found: optimizer.step(params, jnp.array([4.0, 8.0]), optimizer.init(params),
                                                       grad_scale=scale, found_inf=found))
    plain, _ = optimizer.step(params, jnp.array([1.0, 2.0]), optimizer.init(params))
    scaled, state = step(4.0, 0.0)
    assert bits(scaled) == bits(plain) and state.count == 1
    skipped, state = step(4.0, 1.0)
    assert bits(skipped) == bits(params) and state.count == 0


# Hazard: optax.apply_if_finite and dynamic loss scales say it as a boolean; under strict promotion bool == 0 is refused.
@pytest.mark.parametrize("promotion", ["standard", "strict"])
@pytest.mark.parametrize("factory", ["novograd", "larc_sgd", "larc"])
def test_found_inf_is_a_boolean_or_a_number_of_any_kind(factory: str, promotion: str) -> None:
    params = {"a": jnp.array([1.0, 2.0]), "b": jnp.ones(2, jnp.bfloat16)}
    grads = {"a": jnp.array([4.0, 8.0], jnp.bfloat16), "b": jnp.ones(2)}  # mixed, which promotes too
    optimizer = getattr(layerwise.jax, factory)(0.5)
    state = optimizer.init(params)
    plain, _ = optimizer.update(grads, state, params)
    with jax.numpy_dtype_promotion(promotion):
        jitted = jax.jit(lambda found: optimizer.update(grads, state, params, found_inf=found))
        for one in (True, 1, 1.0, np.nan):
            for make in (lambda v: v, np.asarray, jnp.asarray, lambda v: jnp.asarray(v, jnp.bfloat16)):
                for found, is_set in ((make(one), True), (make(type(one)(0)), False)):
                    for updates, after in (jitted(found), optimizer.update(grads, state, params, found_inf=found)):
                        assert int(after.count) == (not is_set)
                        if not is_set:
                            assert bits(updates) == bits(plain)
                        elif factory != "larc":
                            assert not any(map(jnp.any, jax.tree.leaves(updates)))


def test_injected_and_donated_and_mapped_steps_give_the_bits_of_plain_ones() -> None:
    params = tree_of(make_model(SIZES).weights)
    grads = gradient(params, 0)
    optimizer = layerwise.jax.novograd(0.125)
    expected, _ = optimizer.step(params, grads, optimizer.init(params))
    injected = optax.inject_hyperparams(layerwise.jax.novograd)(learning_rate=0.125)
    updates, _ = jax.jit(injected.update)(grads, injected.init(params), params)
    plain, _ = optimizer.update(grads, optimizer.init(params), params)
    assert bits(updates) == bits(plain)
    twice = jax.tree.map(lambda *leaves: jnp.stack(leaves), (grads, params), (grads, params))
    mapped, _ = jax.jit(jax.vmap(lambda both: optimizer.step(both[1], both[0], optimizer.init(both[1]))))(twice)
    assert bits(jax.tree.map(lambda leaf: leaf[1], mapped)) == bits(expected)


def test_a_donated_step_changes_parameters_and_state_where_they_are() -> None:
    params = tree_of(make_model(SIZES).weights)
    grads, optimizer = gradient(params, 0), layerwise.jax.novograd(0.125)
    expected, _ = optimizer.step(params, grads, optimizer.init(params))
    donating = jax.jit(optimizer.step, donate_argnums=(0, 2)).lower(params, grads, optimizer.init(params)).compile()
    # Of the second moments, one value a leaf, into the vector that the library takes; jnp.stack by the version's name.
    packing = ("copy(%stack", "copy(%concatenate")
    copies = [line for line in donating.as_text().splitlines()
              if " copy(" in line and "f32[" in line and not any(name in line for name in packing)]
    assert copies == []
    assert bits(donating(params, grads, optimizer.init(params))[0]) == bits(expected)


def test_the_readmes_jax_example_runs_as_it_stands() -> None:
    """By hand: with w 1, b 0 and a batch of ones every output is 4; mean((xw + b)^2) over 16 outputs has the gradient
    8*2*4/16 = 4 for each of w and of b. So w moves by 0.01*(4/sqrt(8*16) + 0.001), b by 0.01*4/sqrt(2*16)."""
    text = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    names: dict[str, Any] = {}
    exec(text.split("## JAX")[1].split("```python\n")[1].split("```")[0], names)
    np.testing.assert_allclose(names["params"]["w"], 1 - 0.01 * (8**-0.5 + 0.001), rtol=1e-6)
    np.testing.assert_allclose(names["params"]["b"], -0.01 * 2**-0.5, rtol=1e-6)
