"""NovoGrad over a tree of parameters."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _abi
from .._options import defaults, fill_numbers
from .._plan import Plan
from ._call import Step, run
from ._transformation import Transformation, advanced, first_count, known_rate, numbers
from ._tree import Leaves, layer_values


class NovogradState(NamedTuple):
    """count: int32, completed steps. first_moment: a tree like params. second_moment, max_second_moment: float32
    (leaves,), in the order of jax.tree.leaves(params); the latter is None without amsgrad."""

    count: Any
    first_moment: Any
    second_moment: Any
    max_second_moment: Any


def novograd(
        learning_rate: Any, *, beta1: float | None = None, beta2: float | None = None, eps: float | None = None,
        eps_root: float | None = None, weight_decay: float | None = None, grad_averaging: bool | None = None,
        average_first_step: bool | None = None, amsgrad: bool = False, bias_correction: bool | None = None,
        norm: Literal["l2", "inf"] | None = None, seed_second_moment: bool | None = None,
        decoupled_weight_decay: bool | None = None, lr_in_momentum: bool | None = None, maximize: bool | None = None,
        first_moment_dtype: Literal["float32", "bfloat16"] = "float32", lr_mult: Any = None,
        wd_mult: Any = None) -> Transformation:
    """NovoGrad (Ginsburg et al., arXiv 1905.11286) over a tree of parameters, every leaf a layer.

    learning_rate       a number, a scalar array, or a schedule: a function of the number of completed steps
    first_moment_dtype  that of the state's first moment, whatever the parameters have
    lr_mult, wd_mult    a tree of numbers like params, or a function of params that returns one: multiply the learning
                        rate and the decay of their layers; None: 1. wd_mult 0 leaves decay out, of biases for example

    The other options are those of layerwise.Plan.novograd_step, None is the library's default, the paper's: beta1 0.95,
    beta2 0.98, eps 1e-8, weight_decay 0.001. optax.novograd's are beta1 0.9, beta2 0.25, eps 1e-6, weight_decay 0.

    Parameters and gradients are float32, bfloat16 or float16, in any mix; a gradient of None leaves its layer out, and
    so does one that is not finite. Under jax.vmap the models step one after the other. Arrays that are sharded over
    devices are gathered for the step.

    Raises ArgumentError, DtypeError, TypeError when it is called or traced; LibraryError where the library or its
    handlers for XLA cannot be had.
    """
    given = dict(beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root, weight_decay=weight_decay,
                 grad_averaging=grad_averaging, average_first_step=average_first_step, amsgrad=amsgrad,
                 bias_correction=bias_correction, norm=norm, seed_second_moment=seed_second_moment,
                 decoupled_weight_decay=decoupled_weight_decay, lr_in_momentum=lr_in_momentum, maximize=maximize)
    options = _options(known_rate(learning_rate), first_moment_dtype, given)

    def init(params: Any) -> NovogradState:
        second, maximum = (jnp.zeros(len(jax.tree.leaves(params)), jnp.float32) for _ in range(2))
        first = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), first_moment_dtype), params)
        return NovogradState(first_count(), first, second, maximum if amsgrad else None)

    def step(params: Any, grads: Any, state: NovogradState, *, grad_scale: Any = None, found_inf: Any = None,
             **ignored: Any) -> tuple[Any, NovogradState]:
        leaves = Leaves(params, grads)
        vectors = [leaves.vector(state.second_moment, "second_moment")]
        if amsgrad:
            vectors.append(leaves.vector(state.max_second_moment, "max_second_moment"))
        vectors, (weights, first_moment) = run(Step(
            "novograd_step", numbers(learning_rate, state.count, grad_scale, found_inf), state.count, vectors,
            [leaves.weights, leaves.grads, leaves.beside(state.first_moment, "first_moment")], [True, False, True],
            options, None, layer_values(lr_mult, params, leaves, "lr_mult", 1),
            layer_values(wd_mult, params, leaves, "wd_mult", 1), np.zeros(len(leaves.weights))))
        return leaves.structure.unflatten(weights), NovogradState(
            advanced(state.count, found_inf), leaves.structure.unflatten(first_moment), vectors[0],
            vectors[1] if amsgrad else None)

    return Transformation(init, step)


def _options(lr: float, first_moment_dtype: str, given: dict[str, Any]) -> _abi.NovogradOptions:
    """The options, once the library has been asked about them: now rather than inside a traced computation."""
    options = defaults(_abi.NovogradOptions)
    fill_numbers(options, given)
    Plan([], first_moment_dtype=first_moment_dtype).close()
    nothing = np.zeros(0, np.float32)
    with Plan([]) as plan:
        plan.novograd_step(nothing, nothing, nothing, nothing, lr=lr, step=1,
                           max_second_moment=nothing if given["amsgrad"] else None, **given)
    return options
