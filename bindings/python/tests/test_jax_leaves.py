"""layerwise.jax: state that follows the names of leaves, and leaves that take no part.

The right values: one step of NovoGrad in NumPy's float64, w - lr*(g/|g| + wd*w); optax's own transformations; and for
what is left alone, the bits it had.
"""

from __future__ import annotations

import copy
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from layerwise import ArgumentError, DtypeError

jax = pytest.importorskip("jax", reason="jax is not installed here")
optax = pytest.importorskip("optax", reason="optax is not installed here")
jnp = jax.numpy

import layerwise.jax  # noqa: E402

W, G = np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3])
PARAM, GRAD = jnp.asarray(W, jnp.float32), jnp.asarray(G, jnp.float32)
FACTORIES = {"novograd": lambda **options: layerwise.jax.novograd(0.1, weight_decay=0.01, **options),
             "larc_sgd": lambda **options: layerwise.jax.larc_sgd(0.1, eta=0.02, weight_decay=0.01, **options)}


pytestmark = pytest.mark.usefixtures("jax_handlers")


def first_step(kind: str) -> Any:
    """The weights of W after one step with G, in float64."""
    if kind == "novograd":
        return W - 0.1 * (G / (np.sqrt(G @ G) + 1e-8) + 0.01 * W)
    factor = min(0.02 * np.sqrt(W @ W) / (np.sqrt(G @ G) + 1e-8) / 0.1, 1)
    return W - 0.1 * (factor * G + 0.01 * W)


def bits(leaf: Any) -> Any:
    if jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return (np.asarray(leaf).dtype, np.asarray(leaf).tobytes()) if hasattr(leaf, "dtype") else leaf


def float0(leaf: Any) -> Any:
    return np.zeros(np.shape(leaf), jax.dtypes.float0)


# Hazard: a model has leaves that are trained by nobody (counters, PRNG keys, masks, float64 statistics, activation
# functions) and whose gradient is None, or float0 from jax.grad(allow_int=True).
LEFT_ALONE = {"int": jnp.array(3), "key": jax.random.key(0), "legacy key": jax.random.PRNGKey(1),
              "bool": jnp.array([True]), "complex": jnp.array([1j]), "float64": np.ones(2),
              "bytes": np.array([7], np.uint8), "float8": np.ones(2, ml_dtypes.float8_e5m2), "a float": 0.5,
              "an int": 3, "float32": jnp.ones((2, 2)), "empty": jnp.zeros((0, 4))}


@pytest.mark.parametrize("kind", FACTORIES)
@pytest.mark.parametrize("gradient", ["None", "float0", "MaskedNode"])
@pytest.mark.parametrize("what", LEFT_ALONE)
def test_a_leaf_without_a_gradient_is_left_alone_whatever_it_is(kind: str, gradient: str, what: str) -> None:
    leaf = LEFT_ALONE[what]
    params = {"idle": leaf, "w": PARAM}
    grads = {"idle": {"None": None, "float0": float0(leaf), "MaskedNode": optax.MaskedNode()}[gradient], "w": GRAD}
    optimizer = FACTORIES[kind]()
    state = optimizer.init(params)
    for step in (optimizer.step, *([jax.jit(optimizer.step)] if gradient != "float0" else [])):
        new, after = step(params, grads, state)
        np.testing.assert_allclose(new["w"], first_step(kind), rtol=1e-5)
        assert bits(new["idle"]) == bits(leaf) or (step is not optimizer.step and np.array_equal(new["idle"], leaf))
        assert jax.tree.structure(after) == jax.tree.structure(state)
    updates, _ = optimizer.update(grads, state, params)
    np.testing.assert_allclose(updates["w"], first_step(kind) - W, rtol=1e-4)
    if gradient == "float0" and what not in ("key",):  # as jax.grad gives it: optax.apply_updates goes on
        assert np.array_equal(optax.apply_updates(params, updates)["idle"], np.asarray(leaf, jnp.asarray(leaf).dtype))
    else:
        assert updates["idle"] is (None if gradient == "float0" else grads["idle"])


def test_a_function_among_the_parameters_is_left_alone() -> None:
    """As equinox's modules have it. It cannot go through jit."""
    params = {"activation": jax.nn.relu, "w": PARAM}
    optimizer = FACTORIES["novograd"]()
    new, state = optimizer.step(params, {"activation": None, "w": GRAD}, optimizer.init(params))
    assert new["activation"] is jax.nn.relu and state.first_moment["activation"] is None
    np.testing.assert_allclose(new["w"], first_step("novograd"), rtol=1e-5)


def test_integer_leaves_go_through_jax_grad_and_apply_updates() -> None:
    params = {"n": jnp.array(3), "w": PARAM}

    def loss(params: Any) -> Any:
        return jnp.dot(params["w"], GRAD) + 0 * params["n"]

    optimizer = FACTORIES["novograd"]()
    updates, _ = optimizer.update(jax.grad(loss, allow_int=True)(params), optimizer.init(params), params)
    new = optax.apply_updates(params, updates)
    assert new["n"] == 3 and new["n"].dtype == params["n"].dtype
    np.testing.assert_allclose(new["w"], first_step("novograd"), rtol=1e-5)


@pytest.mark.parametrize(("leaf", "gradient", "text"), [
    (jnp.ones(3, int), jnp.ones(3), "params['n'] has dtype int32: it must be float32 or bfloat16 or float16; a "
                                    "gradient of None leaves a leaf alone"),
    (jnp.ones(3), jnp.ones(3, int), "grads['n'] has dtype int32"),
    (jnp.ones(3), {"a": jnp.ones(3)}, "grads['n'] is {'a'"),
    (None, jnp.ones(3), "params['n'] is None, but its leaf has a gradient"),
])
def test_a_leaf_that_has_a_gradient_it_cannot_take_is_refused(leaf: Any, gradient: Any, text: str) -> None:
    params, grads = {"n": leaf, "w": PARAM}, {"n": gradient, "w": GRAD}
    optimizer = FACTORIES["novograd"]()
    with pytest.raises((DtypeError, ArgumentError)) as caught:
        optimizer.step(params, grads, optimizer.init({"n": PARAM, "w": PARAM}))
    assert text in str(caught.value)


# Hazard: state that lies by position is another leaf's as soon as a leaf comes, goes or is masked.
def test_the_state_is_a_tree_like_the_parameters() -> None:
    params = {"w": PARAM, "n": jnp.array(3), "layers": [{"b": jnp.ones(2, jnp.bfloat16)}, None]}
    state = layerwise.jax.novograd(0.1, amsgrad=True).init(params)
    for tree in (state.second_moment, state.max_second_moment):
        assert tree["n"] is None and tree["layers"][1] is None
        for scalar in (tree["w"], tree["layers"][0]["b"]):
            assert (scalar.shape, scalar.dtype, float(scalar)) == ((), jnp.float32, 0)
    shapes = jax.tree.map(lambda leaf, m, v: (None if m is None else (m.shape, str(m.dtype), v.shape)),
                          params, state.first_moment, state.second_moment)
    assert shapes == {"w": ((3,), "float32", ()), "n": None, "layers": [{"b": ((2,), "float32", ())}, None]}
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert ".second_moment['layers'][0]['b']" in names


def trained(names: str, steps: int = 3) -> tuple[Any, Any]:
    """Parameters and state after some steps of those leaves alone."""
    optimizer = layerwise.jax.novograd(0.1, amsgrad=True)
    params = {name: (at + 1) * PARAM for at, name in enumerate("abc") if name in names}
    state = optimizer.init(params)
    for _ in range(steps):
        params, state = optimizer.step(params, {name: leaf * 0.3 for name, leaf in params.items()}, state)
    return params, state


def test_a_leaf_that_comes_later_begins_while_the_others_go_on() -> None:
    (params, state), (alone, own) = trained("ac"), trained("a")
    assert bits(params["a"]) == bits(alone["a"])
    optimizer = layerwise.jax.novograd(0.1, amsgrad=True)
    fresh = optimizer.init({"b": PARAM})
    grown = state._replace(**{entry: {**getattr(state, entry), **getattr(fresh, entry)}
                              for entry in ("first_moment", "second_moment", "max_second_moment")})
    new, after = optimizer.step({**params, "b": PARAM}, {**params, "b": GRAD}, grown)
    for name, before, its_grad in (("a", own, alone["a"]), ("b", fresh, GRAD)):
        leaf = alone["a"] if name == "a" else PARAM
        want, kept = optimizer.step({name: leaf}, {name: its_grad}, before)
        assert bits(new[name]) == bits(want[name]) and bits(after.second_moment[name]) == bits(kept.second_moment[name])
        assert bits(after.first_moment[name]) == bits(kept.first_moment[name])


@pytest.mark.parametrize("kind", FACTORIES)
def test_masked_leaves_have_no_state_and_the_others_step_as_alone(kind: str) -> None:
    params, grads = {"a": PARAM, "b": 2 * PARAM}, {"a": GRAD, "b": GRAD}
    optimizer = FACTORIES[kind](lr_mult={"a": 1, "b": 7})  # for the whole tree: the masked leaf's is not looked at
    masked = optax.masked(optimizer, {"a": True, "b": False})
    state = masked.init(params)
    updates, state = jax.jit(masked.update)(grads, state, params)
    np.testing.assert_allclose(updates["a"], first_step(kind) - W, rtol=1e-4)
    assert bits(updates["b"]) == bits(GRAD)  # optax.masked hands on what it masks
    moments = state.inner_state.first_moment if kind == "novograd" else state.inner_state.momentum
    assert moments["b"] == optax.MaskedNode() and moments["a"].shape == (3,)


NESTED = {"a": {"bias": PARAM, "kernel": PARAM}, "c": PARAM}
MULTIPLIERS = {"lr_mult": {"a": {"bias": 0.5, "kernel": 2.0}, "c": 4.0},
               "wd_mult": {"a": {"bias": 0.0, "kernel": 2.0}, "c": 3.0},
               "skip_larc": {"a": {"bias": True, "kernel": False}, "c": False}}
MASKED = optax.MaskedNode()


def nested_step(kind: str) -> Any:
    """What NESTED gains in one step with MULTIPLIERS and gradients G, in float64."""
    def step(lr_mult: float, wd_mult: float, skip_larc: bool) -> Any:
        lr, decay = 0.1 * lr_mult, 0.01 * wd_mult * W
        if kind == "novograd":
            return -lr * (G / (np.sqrt(G @ G) + 1e-8) + decay)
        factor = 1 if skip_larc else min(0.02 * np.sqrt(W @ W) / (np.sqrt(G @ G) + 1e-8) / lr, 1)
        return -lr * (factor * G + decay)

    return jax.tree.map(step, *MULTIPLIERS.values())


# Hazard: optax.masked and optax.partition hand on trees in which a MaskedNode stands for a leaf, or for a whole part.
@pytest.mark.parametrize("labels", [
    {"a": {"bias": "sgd", "kernel": "ours"}, "c": "ours"}, {"a": "ours", "c": "sgd"}, {"a": "sgd", "c": "ours"},
    lambda params: jax.tree_util.tree_map_with_path(lambda path, _: "sgd" if "bias" in str(path) else "ours", params)],
    ids=["leaves", "one part", "other part", "function"])
@pytest.mark.parametrize("kind", FACTORIES)
def test_trees_of_multipliers_reach_their_leaves_inside_partition_and_masked(kind: str, labels: Any) -> None:
    """The tree is that of all params, or has nothing where others step, or is what a function makes of what it sees."""
    labelled = labels(NESTED) if callable(labels) else labels
    full = jax.tree.map(lambda label, part: jax.tree.map(lambda _: label, part), labelled, NESTED)
    grads = jax.tree.map(lambda _: GRAD, NESTED)
    names = [name for name in MULTIPLIERS if kind == "larc_sgd" or name != "skip_larc"]
    at_leaves = {name: jax.tree.map(lambda label, value: value if label == "ours" else MASKED, full, MULTIPLIERS[name])
                 for name in names}
    in_parts = {name: {part: MASKED if set(jax.tree.leaves(full[part])) == {"sgd"} else tree[part] for part in tree}
                for name, tree in at_leaves.items()}

    def named(name: str) -> Any:
        return lambda seen: jax.tree_util.tree_map_with_path(
            lambda path, _: MULTIPLIERS[name][path[0].key] if len(path) == 1
            else MULTIPLIERS[name]["a"][path[1].key], seen)  # type: ignore[index]

    for given in ({name: MULTIPLIERS[name] for name in names}, at_leaves, in_parts, {n: named(n) for n in names}):
        ours = FACTORIES[kind](**given)
        partition = optax.partition({"ours": ours, "sgd": optax.sgd(0.1)}, labels)
        updates, _ = jax.jit(partition.update)(grads, partition.init(NESTED), NESTED)
        expected = jax.tree.map(lambda label, step: step if label == "ours" else -0.1 * G, full, nested_step(kind))
        jax.tree.map(lambda found, right: np.testing.assert_allclose(found, right, rtol=1e-4), updates, expected)
        masked = optax.masked(ours, jax.tree.map(lambda label: label == "ours", labelled))
        updates, _ = jax.jit(masked.update)(grads, masked.init(NESTED), NESTED)
        expected = jax.tree.map(lambda label, step: step if label == "ours" else G, full, nested_step(kind))
        jax.tree.map(lambda found, right: np.testing.assert_allclose(found, right, rtol=1e-4), updates, expected)


@pytest.mark.parametrize("kind", FACTORIES)
def test_a_multiplier_may_stand_for_a_whole_part_of_the_tree(kind: str) -> None:
    """As in optax's masks. Right is the tree written out."""
    grads = jax.tree.map(lambda _: GRAD, NESTED)
    for prefix, whole in ((0.5, {"a": {"bias": 0.5, "kernel": 0.5}, "c": 0.5}),
                          ({"a": 0.5, "c": 2.0}, {"a": {"bias": 0.5, "kernel": 0.5}, "c": 2.0})):
        new = []
        for tree in (prefix, whole):
            optimizer = FACTORIES[kind](lr_mult=tree, wd_mult=tree)
            new.append(optimizer.step(NESTED, grads, optimizer.init(NESTED))[0])
        assert jax.tree.map(bits, new[0]) == jax.tree.map(bits, new[1])
    for tree in ({"a": 1.0}, {"a": {"bias": 1.0}, "c": 1.0}, {"a": [1.0, 1.0], "c": 1.0}, {"a": 1.0, "c": {"d": 1.0}}):
        optimizer = FACTORIES[kind](lr_mult=tree)
        with pytest.raises((ArgumentError, TypeError), match="lr_mult"):
            optimizer.step(NESTED, grads, optimizer.init(NESTED))
    optimizer = FACTORIES[kind](lr_mult={"a": None, "c": 1.0})
    with pytest.raises(TypeError, match=r"lr_mult\['a'\]\['bias'\] is None: it must be a number"):
        optimizer.step(NESTED, grads, optimizer.init(NESTED))


def test_labelled_leaves_step_with_their_own_optimizers() -> None:
    """optax.multi_transform gives each transformation a tree with the others' leaves masked."""
    params, grads = {"a": PARAM, "b": PARAM}, {"a": GRAD, "b": GRAD}
    both = optax.multi_transform({"novograd": FACTORIES["novograd"](), "larc": FACTORIES["larc_sgd"]()},
                                 {"a": "novograd", "b": "larc"})
    updates, _ = jax.jit(both.update)(grads, both.init(params), params)
    for name, kind in (("a", "novograd"), ("b", "larc_sgd")):
        np.testing.assert_allclose(updates[name], first_step(kind) - W, rtol=1e-4)


def test_tree_map_params_reaches_the_state_as_in_optaxs_own_optimizers() -> None:
    params = {"a": PARAM, "b": PARAM}
    ours, theirs = layerwise.jax.novograd(0.1), optax.novograd(0.1)
    doubled = [optax.tree_utils.tree_map_params(tx, lambda leaf: leaf + 2, tx.init(params)) for tx in (ours, theirs)]
    assert float(doubled[0].second_moment["a"]) == float(doubled[1][0].nu["a"]) == 2
    assert doubled[0].first_moment["b"].tolist() == doubled[1][0].mu["b"].tolist() == [2, 2, 2]
    assert doubled[0].count == 0


# Hazard: a checkpoint from when second moments were one array for all leaves.
def test_a_state_with_second_moments_in_one_array_is_converted_by_the_public_function() -> None:
    params, state = trained("abc")
    old = state._replace(second_moment=np.array([float(v) for v in jax.tree.leaves(state.second_moment)], np.float32),
                         max_second_moment=jnp.stack(jax.tree.leaves(state.max_second_moment)))
    converted = layerwise.jax.novograd_state_by_leaf(old, params)
    assert jax.tree.structure(converted) == jax.tree.structure(state)
    assert [bits(leaf) for leaf in jax.tree.leaves(converted)] == [bits(leaf) for leaf in jax.tree.leaves(state)]
    with pytest.raises(ArgumentError, match=r"max_second_moment has shape \(2,\): it must be \(3,\)"):
        layerwise.jax.novograd_state_by_leaf(old._replace(max_second_moment=jnp.zeros(2)), params)
    plain = layerwise.jax.novograd_state_by_leaf(old._replace(max_second_moment=None), params)
    assert plain.max_second_moment is None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda each: jax.tree.map(lambda leaf: leaf, each)],
                         ids=["copy", "deepcopy", "tree.map"])
@pytest.mark.parametrize("kind", FACTORIES)
def test_an_optimizer_that_was_copied_is_the_same(kind: str, copied: Any) -> None:
    """Filtered transformations rebuild what is handed to them as an argument; optax's survive it."""
    optimizer = copied(FACTORIES[kind]())
    params, _ = optimizer.step(PARAM, GRAD, optimizer.init(PARAM))
    np.testing.assert_allclose(params, first_step(kind), rtol=1e-6)
    updates, _ = optimizer.update(GRAD, optimizer.init(PARAM), PARAM)
    np.testing.assert_allclose(updates, first_step(kind) - W, rtol=1e-4)


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("kind", FACTORIES)
def test_numpys_float64_parameters_are_what_jax_makes_of_them(kind: str, jitted: bool) -> None:
    """Without 64 bits jax.jit takes them as float32, so does init."""
    optimizer = FACTORIES[kind]()
    state = optimizer.init(W)
    step = jax.jit(optimizer.step) if jitted else optimizer.step
    params, _ = step(W, G, state)
    assert params.dtype == jnp.float32
    np.testing.assert_allclose(params, first_step(kind), rtol=1e-6)


@pytest.mark.parametrize("kind", FACTORIES)
def test_updates_have_the_wider_dtype_of_parameter_and_gradient(kind: str) -> None:
    """optax.apply_if_finite has a branch of zeros like the gradients; optax.sgd runs under it."""
    optimizer = optax.apply_if_finite(FACTORIES[kind](), 3)
    params = PARAM.astype(jnp.bfloat16)
    updates, _ = jax.jit(optimizer.update)(GRAD, optimizer.init(params), params)
    assert updates.dtype == jnp.float32
    plain = FACTORIES[kind]()
    new, _ = plain.step(params, GRAD, plain.init(params))
    assert (optax.apply_updates(params, updates) == new).all()
