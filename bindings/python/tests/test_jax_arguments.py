"""Bad arguments of layerwise.jax: refused when they are given or traced, with the name of the option or leaf."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from layerwise import ArgumentError, DtypeError

jax = pytest.importorskip("jax", reason="jax is not installed here")
jnp = jax.numpy

import layerwise.jax  # noqa: E402


@pytest.mark.parametrize(("arguments", "kind", "text"), [
    ({"learning_rate": -1.0}, ArgumentError, "learning_rate is -1"),
    ({"learning_rate": 0.1, "beta1": 1.0}, ArgumentError, "beta1 is 1"),
    ({"learning_rate": 0.1, "norm": "l3"}, ArgumentError, "norm is 'l3'"),
    ({"learning_rate": 0.1, "first_moment_dtype": "float64"}, DtypeError, "first_moment_dtype"),
    ({"learning_rate": jnp.array(-1.0)}, ArgumentError, "learning_rate is -1"),
    ({"learning_rate": 0.1, "beta1": jnp.array(1.5)}, ArgumentError, "beta1 is 1.5"),
    ({"learning_rate": 0.1, "eps": jnp.ones(2)}, ArgumentError, "eps has shape (2,): it must be one number"),
    ({"learning_rate": 0.1, "weight_decay": "1e-3"}, TypeError, "weight_decay is '1e-3': it must be a number"),
    ({"learning_rate": 0.1, "weight_decay": lambda count: 0.1}, TypeError, "weight_decay is <function"),
    ({"learning_rate": 0.1, "maximize": "yes"}, TypeError, "maximize is 'yes': it must be True or False"),
])
def test_options_that_break_a_rule_are_refused_when_they_are_given(arguments: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        layerwise.jax.novograd(**arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize("factory", ["novograd", "larc", "larc_sgd"])
def test_none_is_refused_by_name_where_the_library_has_no_default_of_its_own(factory: str) -> None:
    """None is documented for an option where the signature's default is None, and there alone."""
    options = inspect.signature(getattr(layerwise.jax, factory)).parameters
    for name, option in options.items():
        rate = {} if name == "learning_rate" else {"learning_rate": 0.1}
        if option.default is None:
            getattr(layerwise.jax, factory)(**rate, **{name: None})
        else:
            with pytest.raises(TypeError, match=f"{name} is None"):
                getattr(layerwise.jax, factory)(**rate, **{name: None})


# Hazard: a learning rate out of a configuration file is text, or a list with one for each group.
@pytest.mark.parametrize("factory", ["novograd", "larc", "larc_sgd"])
@pytest.mark.parametrize(("rate", "kind", "text"), [
    ("1e-3", TypeError, "learning_rate is '1e-3': it must be a number, a scalar array or a schedule"),
    (None, TypeError, "learning_rate is None: it must be a number"),
    (True, TypeError, "learning_rate is True: it must be a number"),
    ([0.1], TypeError, "learning_rate is [0.1]: it must be a number"),
    (1j, TypeError, "learning_rate is 1j: it must be a number"),
    (np.ones(2), ArgumentError, "learning_rate has shape (2,): it must be one number"),
    (jnp.ones((1, 2)), ArgumentError, "learning_rate has shape (1, 2): it must be one number"),
    (np.array("0.1"), TypeError, "learning_rate is array('0.1'"),
])
def test_a_learning_rate_of_another_type_is_refused_at_once(factory: str, rate: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        getattr(layerwise.jax, factory)(rate)
    assert text in str(caught.value)


@pytest.mark.parametrize(("rate", "extra", "kind", "text"), [
    (lambda count: jnp.ones(2), {}, ArgumentError, "learning_rate has shape (2,): it must be one number"),
    (lambda count: "0.1", {}, TypeError, "learning_rate is '0.1': it must be a number"),
    (0.1, {"grad_scale": jnp.ones(3)}, ArgumentError, "grad_scale has shape (3,): it must be one number"),
    (0.1, {"found_inf": jnp.zeros(3, bool)}, ArgumentError, "found_inf has shape (3,): it must be one number"),
])
def test_what_a_step_reads_is_refused_by_name_when_it_is_traced(rate: Any, extra: Any, kind: Any, text: str) -> None:
    params = {"w": jnp.ones(3)}
    for optimizer in (layerwise.jax.novograd(rate), layerwise.jax.larc_sgd(rate), layerwise.jax.larc(rate)):
        update = jax.jit(lambda state, optimizer=optimizer: optimizer.update(params, state, params, **extra))
        with pytest.raises(kind) as caught:
            update(optimizer.init(params))
        assert text in str(caught.value)


@pytest.mark.parametrize(("params", "grads", "kind", "text"), [
    (None, {"w": jnp.ones(3)}, ArgumentError, "params is None"),
    ({"w": jnp.ones(3, int)}, {"w": jnp.ones(3)}, DtypeError, "params['w'] has dtype int32: it must be float32 or"),
    ({"w": jnp.ones(3)}, {"w": np.ones(3, np.int32)}, DtypeError, "grads['w'] has dtype int32"),
    ({"w": jnp.ones(3)}, {"w": jnp.ones((3, 1))}, ArgumentError, "grads['w'] has shape (3, 1): it must be (3,)"),
    ({"w": jnp.ones(3)}, {"v": jnp.ones(3)}, ArgumentError, "grads has not the structure of params"),
])
def test_trees_that_break_a_rule_are_refused_by_name(params: Any, grads: Any, kind: Any, text: str) -> None:
    optimizer = layerwise.jax.larc_sgd(0.1)
    with pytest.raises(kind) as caught:
        optimizer.update(grads, optimizer.init(grads), params)
    assert text in str(caught.value)


# Hazard: a state of fewer leaves than the parameters have by now. The library is told the number of layers by the
# parameters and would read and write beyond the end of the state's arrays: garbage, or a crash at some hundred leaves.
@pytest.mark.parametrize("entry", ["first_moment", "second_moment", "max_second_moment"])
def test_a_state_that_lacks_a_leaf_or_has_it_otherwise_is_refused_by_name(entry: str) -> None:
    params = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(1)}
    optimizer = layerwise.jax.novograd(0.1, amsgrad=True)
    state = optimizer.init(params)
    tree = getattr(state, entry)
    other = {"first_moment": r"\(5,\): it must be \(3,\)"}.get(entry, r"\(5,\): it must be \(\)")
    for step in (optimizer.step, jax.jit(optimizer.step)):
        for bad, kind, text in (
                ({"a": tree["a"], "b": tree["b"]}, ArgumentError, f"{entry} has not the structure of params"),
                ({**tree, "d": tree["a"]}, ArgumentError, f"{entry} has not the structure of params"),
                ({**tree, "b": jnp.zeros((5,))}, ArgumentError, rf"{entry}\['b'\] has shape {other}"),
                ({**tree, "b": None}, ArgumentError, rf"{entry}\['b'\] is None, but its leaf has a gradient"),
                ({**tree, "b": jnp.zeros(tree["b"].shape, int)}, DtypeError, rf"{entry}\['b'\] has dtype int32")):
            with pytest.raises(kind, match=text):
                step(params, params, state._replace(**{entry: bad}))


# Hazard: a checkpoint from when second moments were one array for all leaves; assigned to leaves by position a value
# would be another leaf's as soon as the tree has changed.
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 300])
@pytest.mark.parametrize("entry", ["second_moment", "max_second_moment"])
def test_second_moments_in_one_array_are_refused_with_what_converts_them(entry: str, length: int) -> None:
    params = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(1)}
    optimizer = layerwise.jax.novograd(0.1, amsgrad=True)
    for array in (jnp.zeros(length), np.zeros(length, np.float32)):
        state = optimizer.init(params)._replace(**{entry: array})
        for step in (optimizer.step, jax.jit(optimizer.step)):
            with pytest.raises(ArgumentError, match=rf"{entry} has shape \({length},\), one .*novograd_state_by_leaf"):
                step(params, params, state)
    alone = optimizer.init(jnp.ones(2))
    with pytest.raises(ArgumentError, match=r"has shape \(1,\), one array .*novograd_state_by_leaf"):
        optimizer.step(jnp.ones(2), jnp.ones(2), alone._replace(**{entry: jnp.zeros(1)}))


# Hazard: the state of another optimizer, or of this one as a checkpoint library gives it back.
@pytest.mark.parametrize("factory", ["novograd", "larc", "larc_sgd"])
def test_a_state_of_another_kind_is_refused_by_its_name(factory: str) -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed here")
    params = {"w": jnp.ones(3)}
    optimizer = getattr(layerwise.jax, factory)(0.1)
    own = optimizer.init(params)
    kind = type(own).__name__
    for state, text in ((optax.sgd(0.1, momentum=0.9).init(params), "state is a tuple"),
                        (optax.scale_by_adam().init(params), "state is a ScaleByAdamState"),
                        (None, "state is a NoneType"), (own._asdict(), f"{kind}\\(\\*\\*state\\) makes one")):
        with pytest.raises(TypeError, match=text) as caught:
            optimizer.update(params, state, params)
        assert f"it must be a layerwise.jax.{kind}" in str(caught.value)
    for count, refused, text in ((jnp.zeros(2, int), ArgumentError, r"count has shape \(2,\)"),
                                 (jnp.zeros(()), DtypeError, "count has dtype float32")):
        with pytest.raises(refused, match=text):
            optimizer.update(params, own._replace(count=count), params)
    _, state = optimizer.update(params, own._replace(count=7), params)  # as some formats restore it
    assert state.count == 8 and state.count.dtype == jnp.int32


# Hazard: the handlers called by someone else than this package, with operands that do not fit the layers' sizes.
@pytest.mark.parametrize(("shapes", "text"), [
    (dict(second_moment=1), "second_moment has 1 elements: it must have 2"),
    (dict(max_second_moment=3), "max_second_moment has 3 elements: it must have 2"),
    (dict(grads=2), "grads of layer 1 has 2 elements: it must have 4"),
    (dict(first_moment=9), "first_moment of layer 1 has 9 elements: it must have 4"),
    (dict(numbers=2), "numbers has 2 elements: it must have 4"),
    (dict(completed=1), "the completed steps are not two int32"),
    (dict(values=0), "numbers has 4 elements: it must have 3"),
    (dict(offset=10_000), "a hyper-parameter has no place in the options"),
    (dict(offset=-8), "a hyper-parameter has no place in the options"),
    (dict(extra=1), "operands or results that its layers do not account for"),
])
def test_the_handlers_refuse_operands_that_are_not_as_long_as_the_layers(shapes: dict[str, int], text: str) -> None:
    from layerwise import _abi
    from layerwise._options import defaults
    from layerwise.jax import _handlers

    try:
        _handlers.register()
    except layerwise.LibraryError as problem:
        pytest.skip(str(problem))
    options = defaults(_abi.NovogradOptions)
    options.amsgrad = 1
    length = dict(numbers=4, completed=2, second_moment=2, max_second_moment=2, grads=4, first_moment=4, extra=0,
                  values=1, offset=_abi.NovogradOptions.beta1.offset) | shapes
    operands = [jnp.full(length["numbers"], 0.5), jnp.ones(length["completed"], jnp.int32),
                jnp.ones(length["second_moment"]), jnp.ones(length["max_second_moment"]), jnp.ones(3), jnp.ones(4),
                jnp.ones(3), jnp.ones(length["grads"]), jnp.ones(3), jnp.ones(length["first_moment"]),
                *[jnp.ones(1)] * length["extra"]]
    changed = [2, 3, 4, 5, 8, 9]
    call = jax.ffi.ffi_call(_handlers.target("novograd_step"),
                            [jax.ShapeDtypeStruct(operands[at].shape, operands[at].dtype) for at in changed],
                            input_output_aliases={at: result for result, at in enumerate(changed)})
    with pytest.raises(Exception, match=text):
        jax.block_until_ready(call(
            *operands, options=np.frombuffer(bytes(options), np.uint8), sgd=np.zeros(1, np.uint8),
            traced=np.array([-1] + [length["offset"]] * length["values"], np.int64), lr_mult=np.ones(2),
            wd_mult=np.ones(2), skip_larc=np.zeros(2, np.uint8)))


@pytest.mark.parametrize(("target", "shapes", "text"), [
    ("larc_norms", dict(counted=1), "counted is not one uint8 for each layer"),
    ("larc_norms", dict(grads=2), "grads of layer 1 has 2 elements: it must have 4"),
    ("larc_norms", dict(weight_sums=3), "the sums are not one float64 for each layer"),
    ("novograd_norms", {}, "operands or results that its layers do not account for"),
    ("larc_scale_apply", dict(grad_sums=1), "grad_sums has 1 elements: it must have 2"),
    ("larc_scale_apply", dict(weight_sums=3), "weight_sums has 3 elements: it must have 2"),
])
def test_the_handlers_of_halves_refuse_what_is_not_as_long_as_the_layers(target: str, shapes: Any, text: str) -> None:
    from layerwise import _abi
    from layerwise._options import defaults
    from layerwise.jax import _handlers

    try:
        _handlers.register()
    except layerwise.LibraryError as problem:
        pytest.skip(str(problem))
    length = dict(counted=2, grad_sums=2, weight_sums=2, grads=4) | shapes
    layers = [jnp.ones(3), jnp.ones(4), jnp.ones(3), jnp.ones(length["grads"])]
    sums = [jax.core.ShapedArray((length[name],), np.dtype(np.float64)) for name in ("grad_sums", "weight_sums")]
    if target.endswith("norms"):
        call = jax.ffi.ffi_call(_handlers.target(target), sums)
        operands = [jnp.ones(length["counted"], jnp.uint8), *layers]
    else:
        call = jax.ffi.ffi_call(_handlers.target(target), [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in layers[2:]],
                                input_output_aliases={5: 0, 6: 1})
        with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
            operands = [jnp.full(3, 0.5, jnp.float32), *(jnp.ones(each.shape, jnp.float64) for each in sums), *layers]
    kind = _abi.NovogradOptions if target.startswith("novograd") else _abi.LarcOptions
    with pytest.raises(Exception, match=text):
        jax.block_until_ready(call(
            *operands, options=np.frombuffer(bytes(defaults(kind)), np.uint8), sgd=np.zeros(1, np.uint8),
            traced=np.array([-1], np.int64), lr_mult=np.ones(2), wd_mult=np.ones(2), skip_larc=np.zeros(2, np.uint8)))
