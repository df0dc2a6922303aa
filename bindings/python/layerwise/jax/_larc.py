"""LARC over a tree of parameters: in front of any optimizer, or with SGD in one step."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _abi
from .._options import defaults, fill_numbers
from .._plan import Plan
from ._call import Step, run
from ._transformation import Pair, Transformation, advanced, first_count, known_rate, numbers
from ._tree import Leaves, layer_values


class LarcState(NamedTuple):
    """count: int32, completed steps, which a schedule is asked with."""

    count: Any


class LarcSgdState(NamedTuple):
    """count: int32, completed steps. momentum: a tree like params; None where the momentum is 0."""

    count: Any
    momentum: Any


def larc(learning_rate: Any, *, eta: float | None = None, eps: float | None = None,
         mode: Literal["clip", "scale"] | None = None, min_update: float | None = None,
         weight_decay: float | None = None, fold_weight_decay: bool | None = None,
         zero_norm: Literal["keep", "freeze", "floor", "untouched"] | None = None, maximize: bool | None = None,
         lr_mult: Any = None, wd_mult: Any = None, skip_larc: Any = None) -> Pair:
    """Scales every layer's gradient by LARC's factor (You et al., arXiv 1708.03888), for any optimizer to follow:

        optax.chain(layerwise.jax.larc(0.1), optax.sgd(0.1, momentum=0.9))

    learning_rate  that of the optimizer that follows, as a number, a scalar array or a schedule: clip divides by it
    skip_larc      a tree of booleans like params, or a function of params that returns one: True leaves LARC out of
                   that layer; None: of none. lr_mult and wd_mult are those of layerwise.jax.novograd

    The other options are those of layerwise.Plan.larc_scale, None is the library's default: eta 0.002, eps 1e-8, mode
    "clip", min_update 0, weight_decay 0, zero_norm "keep". The scaled gradients keep their dtypes. `update` takes
    `grad_scale` and `found_inf` as layerwise.jax.Transformation does: what comes out is unscaled. Raises as novograd.
    """
    options = _larc_options(dict(eta=eta, eps=eps, mode=mode, min_update=min_update, weight_decay=weight_decay,
                                 fold_weight_decay=fold_weight_decay, zero_norm=zero_norm, maximize=maximize),
                            learning_rate)

    def init(params: Any) -> LarcState:
        return LarcState(first_count())

    def update(updates: Any, state: LarcState, params: Any = None, *, grad_scale: Any = None, found_inf: Any = None,
               **ignored: Any) -> tuple[Any, LarcState]:
        leaves = Leaves(params, updates)
        _, (scaled,) = run(Step(
            "larc_scale", numbers(learning_rate, state.count, grad_scale, found_inf), None, [],
            [leaves.weights, leaves.grads], [False, True], options, None,
            layer_values(lr_mult, params, leaves, "lr_mult", 1), layer_values(wd_mult, params, leaves, "wd_mult", 1),
            layer_values(skip_larc, params, leaves, "skip_larc", 0)))
        return leaves.structure.unflatten(scaled), LarcState(advanced(state.count, found_inf))

    return Pair(init, update)


def larc_sgd(learning_rate: Any, *, momentum: float = 0.9, dampening: float | None = None,
             nesterov: bool | None = None, eta: float | None = None, eps: float | None = None,
             mode: Literal["clip", "scale"] | None = None, min_update: float | None = None,
             weight_decay: float | None = None, fold_weight_decay: bool | None = None,
             zero_norm: Literal["keep", "freeze", "floor", "untouched"] | None = None, maximize: bool | None = None,
             momentum_dtype: Literal["float32", "bfloat16"] = "float32", lr_mult: Any = None, wd_mult: Any = None,
             skip_larc: Any = None) -> Transformation:
    """LARC and SGD with momentum in one step. With skip_larc of every layer it is plain SGD, as torch.optim.SGD's.

    momentum, dampening, nesterov  as layerwise.Plan.larc_sgd_step has them
    momentum_dtype                 that of the state's momentum, whatever the parameters have

    The other arguments are those of larc. Raises as novograd.
    """
    options = _larc_options(dict(eta=eta, eps=eps, mode=mode, min_update=min_update, weight_decay=weight_decay,
                                 fold_weight_decay=fold_weight_decay, zero_norm=zero_norm, maximize=maximize),
                            learning_rate)
    given: dict[str, Any] = dict(momentum=momentum, dampening=dampening, nesterov=nesterov)
    sgd = defaults(_abi.SgdOptions)
    fill_numbers(sgd, given)
    nothing = np.zeros(0, np.float32)
    Plan([], first_moment_dtype=momentum_dtype).close()
    with Plan([]) as plan:  # lets the library refuse options now rather than inside a traced computation
        plan.larc_sgd_step(nothing, nothing, nothing if momentum else None, lr=0, step=1, **given)

    def init(params: Any) -> LarcSgdState:
        zeros = jax.tree.map(lambda leaf: jnp.zeros(jnp.shape(leaf), momentum_dtype), params)
        return LarcSgdState(first_count(), zeros if momentum else None)

    def step(params: Any, grads: Any, state: LarcSgdState, *, grad_scale: Any = None, found_inf: Any = None,
             **ignored: Any) -> tuple[Any, LarcSgdState]:
        leaves = Leaves(params, grads)
        buffers = [leaves.beside(state.momentum, "momentum")] if momentum else []
        _, (weights, *new) = run(Step(
            "larc_sgd_step", numbers(learning_rate, state.count, grad_scale, found_inf), state.count, [],
            [leaves.weights, leaves.grads, *buffers], [True, False, True][:2 + len(buffers)], options, sgd,
            layer_values(lr_mult, params, leaves, "lr_mult", 1), layer_values(wd_mult, params, leaves, "wd_mult", 1),
            layer_values(skip_larc, params, leaves, "skip_larc", 0)))
        return leaves.structure.unflatten(weights), LarcSgdState(
            advanced(state.count, found_inf), leaves.structure.unflatten(new[0]) if new else None)

    return Transformation(init, step)


def _larc_options(given: dict[str, Any], learning_rate: Any) -> _abi.LarcOptions:
    """The options, once the library has been asked about them."""
    options = defaults(_abi.LarcOptions)
    fill_numbers(options, given)
    nothing = np.zeros(0, np.float32)
    with Plan([]) as plan:
        plan.larc_scale(nothing, nothing.copy(), lr=known_rate(learning_rate), **given)
    return options
