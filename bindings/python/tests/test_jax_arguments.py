"""Bad arguments of layerwise.jax: refused when they are given or traced, with the name of the option or leaf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from layerwise import ArgumentError, DtypeError

jax = pytest.importorskip("jax", reason="jax is not installed here")
jnp = jax.numpy

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


# Hazard: a state of fewer leaves than the parameters have by now. The library is told the number of layers by the
# parameters and would read and write beyond the end of the state's arrays: garbage, or a crash at some hundred leaves.
@pytest.mark.parametrize("length", [0, 2, 4, 300])
@pytest.mark.parametrize("entry", ["second_moment", "max_second_moment"])
def test_a_state_of_another_number_of_leaves_is_refused_by_name(entry: str, length: int) -> None:
    params = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(1)}
    optimizer = layerwise.jax.novograd(0.1, amsgrad=True)
    state = optimizer.init(params)._replace(**{entry: jnp.zeros(length)})
    for step in (optimizer.step, jax.jit(optimizer.step)):
        with pytest.raises(ArgumentError, match=rf"{entry} has shape \({length},\): it must be \(3,\)"):
            step(params, params, state)
    with pytest.raises(DtypeError, match=f"{entry} has dtype int32"):
        optimizer.step(params, params, state._replace(**{entry: jnp.zeros(3, int)}))


# Hazard: the handlers called by someone else than this package, with operands that do not fit the layers' sizes.
@pytest.mark.parametrize(("shapes", "text"), [
    (dict(second_moment=1), "second_moment has 1 elements: it must have 2"),
    (dict(max_second_moment=3), "max_second_moment has 3 elements: it must have 2"),
    (dict(grads=2), "grads of layer 1 has 2 elements: it must have 4"),
    (dict(first_moment=9), "first_moment of layer 1 has 9 elements: it must have 4"),
    (dict(numbers=2), "numbers has 2 elements: it must have 3"),
    (dict(completed=1), "the completed steps are not two int32"),
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
    length = dict(numbers=3, completed=2, second_moment=2, max_second_moment=2, grads=4, first_moment=4, extra=0) | shapes
    operands = [jnp.ones(length["numbers"]), jnp.ones(length["completed"], jnp.int32), jnp.ones(length["second_moment"]),
                jnp.ones(length["max_second_moment"]), jnp.ones(3), jnp.ones(4), jnp.ones(3), jnp.ones(length["grads"]),
                jnp.ones(3), jnp.ones(length["first_moment"]), *[jnp.ones(1)] * length["extra"]]
    changed = [2, 3, 4, 5, 8, 9]
    call = jax.ffi.ffi_call(_handlers.target("novograd_step"),
                            [jax.ShapeDtypeStruct(operands[at].shape, operands[at].dtype) for at in changed],
                            input_output_aliases={at: result for result, at in enumerate(changed)})
    with pytest.raises(Exception, match=text):
        jax.block_until_ready(call(*operands, options=np.frombuffer(bytes(options), np.uint8), sgd=np.zeros(1, np.uint8),
                                   lr_mult=np.ones(2), wd_mult=np.ones(2), skip_larc=np.zeros(2, np.uint8)))
