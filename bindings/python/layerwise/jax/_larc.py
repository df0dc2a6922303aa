"""LARC over a tree of parameters: in front of any optimizer, or with SGD in one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from .. import _abi, _errors
from .._errors import refusal
from .._keywords import Unpack, takes
from .._plan import LarcSgdValues, Plan
from . import _handlers
from ._call import Step, axis_names, run
from ._hyper import NOT_HERE, Options, ask, known_rate, numbers, plan_without_layers, refuse_none
from ._transformation import Pair, Transformation, advanced, checked, first_count
from ._tree import Leaves, zeros_beside


class LarcState(NamedTuple):
    """count: int32, completed steps, which a schedule is asked with."""

    count: Any


class LarcSgdState(NamedTuple):
    """count: int32, completed steps. momentum: a tree like params, with None for leaves that are no float32, bfloat16
    or float16 arrays; None where the momentum is the number 0."""

    count: Any
    momentum: Any


@takes(_abi.LarcOptions, without=NOT_HERE)
def larc(learning_rate: Any, *, lr_mult: Any = None, wd_mult: Any = None, skip_larc: Any = None,
         axis_name: str | tuple[str, ...] | None = None, **options: Unpack[_abi.LarcValues]) -> Pair:
    """Scales every layer's gradient by LARC's factor (You et al., arXiv 1708.03888), for any optimizer to follow:

        optax.chain(layerwise.jax.larc(0.1), optax.sgd(0.1, momentum=0.9))

    learning_rate  that of the optimizer that follows, as a number, a scalar array or a schedule: clip divides by it
    skip_larc      a tree of booleans like params or a prefix of it, or a function of params that returns one: True
                   leaves LARC out of that layer; None: of none. lr_mult, wd_mult and axis_name are those of
                   layerwise.jax.novograd

    The other options are those of layerwise.Plan.larc_scale, of which None is the library's default:

    {options}

    The scaled gradients keep their dtypes. `update` takes `grad_scale` and `found_inf` as
    layerwise.jax.Transformation does: what comes out is unscaled. Raises as novograd.
    """
    asked, larc = _larc_options([_abi.LarcOptions], options)
    axes = axis_names(axis_name)
    _refuse_norm_of_sum(axes, larc)
    nothing = np.zeros(0, np.float32)
    with plan_without_layers() as plan:
        plan.larc_scale(nothing, nothing.copy(), lr=known_rate(learning_rate), **larc)

    def init(params: Any) -> LarcState:
        return LarcState(first_count())

    def update(updates: Any, state: LarcState, params: Any = None, *, grad_scale: Any = None, found_inf: Any = None,
               **ignored: Any) -> tuple[Any, LarcState]:
        state, leaves = checked(state, LarcState), Leaves(params, updates)
        _, (scaled,) = run(Step(
            "larc_scale", leaves.names, numbers(learning_rate, state.count, grad_scale, found_inf, asked.values), None,
            [], [leaves.weights, leaves.grads], (False, True), asked, leaves.numbers(lr_mult, params, "lr_mult", 1),
            leaves.numbers(wd_mult, params, "wd_mult", 1), leaves.numbers(skip_larc, params, "skip_larc", 0), axes))
        return leaves.updates(scaled), LarcState(advanced(state.count, found_inf))

    return Pair(init, update)


@takes(_abi.LarcOptions, _abi.SgdOptions, without=NOT_HERE, momentum=0.9)
def larc_sgd(learning_rate: Any, *, momentum_dtype: Literal["float32", "bfloat16"] = "float32", lr_mult: Any = None,
             wd_mult: Any = None, skip_larc: Any = None, axis_name: str | tuple[str, ...] | None = None,
             **options: Unpack[LarcSgdValues]) -> Transformation:
    """LARC and SGD with momentum in one step. With skip_larc of every layer it is plain SGD, as torch.optim.SGD's.

    momentum_dtype  that of the state's momentum, whatever the parameters have

    lr_mult, wd_mult, skip_larc and axis_name are those of larc. The other options are those of
    layerwise.Plan.larc_sgd_step, of which None is the library's default:

    {options}

    Raises as novograd.
    """
    refuse_none(momentum=options.get("momentum", 0), momentum_dtype=momentum_dtype)
    asked, larc = _larc_options([_abi.LarcOptions, _abi.SgdOptions], options)
    axes = axis_names(axis_name)
    _refuse_norm_of_sum(axes, larc)
    # An array or traced momentum may be 0 at times: its state is there all the same.
    has_momentum = isinstance(options.get("momentum"), jax.Array) or asked.known.get("momentum") != 0
    nothing = np.zeros(0, np.float32)
    with plan_without_layers(first_moment_dtype="momentum_dtype") as plan:
        Plan([], first_moment_dtype=momentum_dtype).close()
        sgd = {name: value for name, value in asked.known.items() if name in _abi.SgdOptions.options}
        plan.larc_sgd_step(nothing, nothing, None if sgd.get("momentum") == 0 else nothing,
                           lr=known_rate(learning_rate), step=1, **larc, **sgd)

    def init(params: Any) -> LarcSgdState:
        return LarcSgdState(first_count(), zeros_beside(params, momentum_dtype) if has_momentum else None)

    def step(params: Any, grads: Any, state: LarcSgdState, *, grad_scale: Any = None, found_inf: Any = None,
             **ignored: Any) -> tuple[Any, LarcSgdState]:
        state, leaves = checked(state, LarcSgdState), Leaves(params, grads)
        buffers = [leaves.state(state.momentum, "momentum")] if has_momentum else []
        _, (weights, *new) = run(Step(
            "larc_sgd_step", leaves.names, numbers(learning_rate, state.count, grad_scale, found_inf, asked.values),
            state.count, [], [leaves.weights, leaves.grads, *buffers], (True, False, True)[:2 + len(buffers)], asked,
            leaves.numbers(lr_mult, params, "lr_mult", 1), leaves.numbers(wd_mult, params, "wd_mult", 1),
            leaves.numbers(skip_larc, params, "skip_larc", 0), axes))
        return leaves.replaced(params, weights), LarcSgdState(
            advanced(state.count, found_inf), leaves.replaced(state.momentum, new[0]) if new else state.momentum)

    return Transformation(init, step)


def _larc_options(kinds: list[type[_abi.Struct]], given: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """The options, and LARC's of them for the library to be asked about: now rather than in a traced computation."""
    _handlers.register_early()
    asked = ask(kinds, given)
    return asked, {name: value for name, value in asked.known.items() if name in _abi.LarcOptions.options}


def _refuse_norm_of_sum(axes: tuple[str, ...], larc: dict[str, Any]) -> None:
    fold = larc.get("fold_weight_decay")
    if axes and fold in ("gradient", "both"):
        raise refusal(_errors.COMBINATION, f"fold_weight_decay is {fold!r} beside axis_name: of pieces the norm of "
                                           "g + weight_decay*w does not follow from the sums that are exchanged")
