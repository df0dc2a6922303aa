"""NovoGrad over a tree of parameters."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _abi, _errors
from .._errors import refusal
from .._keywords import Unpack, takes
from .._plan import Plan
from . import _handlers
from ._call import Step, axis_names, run
from ._hyper import NOT_HERE, ask, known_rate, numbers, plan_without_layers, refuse_none
from ._transformation import Transformation, advanced, checked, first_count
from ._tree import Leaves, scalars_beside, zeros_beside


class NovogradState(NamedTuple):
    """count: int32, completed steps. first_moment: a tree like params. second_moment, max_second_moment: trees like
    params of one float32 for each leaf; the latter is None without amsgrad. Leaves that are no float32, bfloat16 or
    float16 arrays have None in all of them: they have no state."""

    count: Any
    first_moment: Any
    second_moment: Any
    max_second_moment: Any


@takes(_abi.NovogradOptions, without=NOT_HERE, amsgrad=False)
def novograd(
        learning_rate: Any, *, first_moment_dtype: Literal["float32", "bfloat16"] = "float32", lr_mult: Any = None,
        wd_mult: Any = None, axis_name: str | tuple[str, ...] | None = None,
        **options: Unpack[_abi.NovogradValues]) -> Transformation:
    """NovoGrad (Ginsburg et al., arXiv 1905.11286) over a tree of parameters, every leaf a layer.

    learning_rate       a number, a scalar array, or a schedule: a function of the number of completed steps
    first_moment_dtype  that of the state's first moment, whatever the parameters have
    lr_mult, wd_mult    a tree of numbers like params or a prefix of it (one number for all below), or a function of
                        params that returns one: multiply the learning rate and the decay of their layers; None: 1.
                        wd_mult 0 leaves decay out, of biases for example. Inside optax.masked and optax.partition the
                        tree is that of all params, and the function sees those that are not masked

    axis_name           of jax.shard_map: leaves that vary over it (or any of several) are pieces of layers, whose sums
                        are added over it by a psum; the others are whole. It needs check_vma=True, JAX's default,
                        and gradients that vary as their leaves do. None: inside jax.shard_map every piece is a layer

    The other options, of which None is the library's default, the paper's (optax.novograd's are beta1 0.9, beta2 0.25,
    eps 1e-6, weight_decay 0):

    {options}

    Parameters and gradients are float32, bfloat16 or float16, in any mix. A leaf whose gradient is None, float0 (what
    jax.grad gives integers with allow_int) or optax.MaskedNode() is left alone, whatever it is; so is one whose
    gradient is not finite. Every numeric option may be an array or traced, as optax.inject_hyperparams has them: then
    it is a float32 that the step reads when it runs (on CUDA the host waits for it, but for the learning rate). Under
    jax.vmap the models step one after the other.

    Arrays that are sharded over devices stay where they are: each device steps its pieces, and one number a layer is
    exchanged, so the result is that of one device within the rounding of the layers' sums; replicated arrays have its
    bits. Inside jax.shard_map without axis_name every piece is a layer, and what comes out varies over the mesh as what
    went in.

    Raises ArgumentError, DtypeError, TypeError when it is called or traced; LibraryError where the library or its
    handlers for XLA cannot be had. A traced option that breaks a rule is refused when the step runs, by XLA.
    """
    refuse_none(amsgrad=options.get("amsgrad", False), first_moment_dtype=first_moment_dtype)
    asked = ask([_abi.NovogradOptions], options)
    axes = axis_names(axis_name)
    amsgrad = bool(asked.known.get("amsgrad"))
    _ask_library(known_rate(learning_rate), first_moment_dtype, asked.known)
    _handlers.register_early()

    def init(params: Any) -> NovogradState:
        return NovogradState(first_count(), zeros_beside(params, first_moment_dtype), scalars_beside(params),
                             scalars_beside(params) if amsgrad else None)

    def step(params: Any, grads: Any, state: NovogradState, *, grad_scale: Any = None, found_inf: Any = None,
             **ignored: Any) -> tuple[Any, NovogradState]:
        state, leaves = checked(state, NovogradState), Leaves(params, grads)
        scalars = [leaves.scalars(state.second_moment, "second_moment")]
        if amsgrad:
            scalars.append(leaves.scalars(state.max_second_moment, "max_second_moment"))
        scalars, (weights, first_moment) = run(Step(
            "novograd_step", leaves.names, numbers(learning_rate, state.count, grad_scale, found_inf, asked.values),
            state.count, scalars, [leaves.weights, leaves.grads, leaves.state(state.first_moment, "first_moment")],
            (True, False, True), asked, leaves.numbers(lr_mult, params, "lr_mult", 1),
            leaves.numbers(wd_mult, params, "wd_mult", 1), leaves.numbers(None, params, "skip_larc", 0), axes))
        return leaves.replaced(params, weights), NovogradState(
            advanced(state.count, found_inf), leaves.replaced(state.first_moment, first_moment),
            leaves.replaced(state.second_moment, scalars[0]),
            leaves.replaced(state.max_second_moment, scalars[1]) if amsgrad else state.max_second_moment)

    return Transformation(init, step)


def novograd_state_by_leaf(state: NovogradState, params: Any) -> NovogradState:
    """A state whose second moments are arrays of shape (leaves,), in the order of jax.tree.leaves(params), as this
    package once had them, with the trees that it has now: for checkpoints. params are those it was made for.

    Raises ArgumentError where an array has not one value for each leaf.
    """
    structure = jax.tree.structure(params)

    def tree(values: Any, what: str) -> Any:
        if values is None:
            return None
        vector = jnp.asarray(values)
        if vector.shape != (structure.num_leaves,):
            raise refusal(_errors.INVALID_VALUE, f"{what} has shape {vector.shape}: it must be "
                                                 f"({structure.num_leaves},), one value for each leaf of params")
        return structure.unflatten(list(vector))

    return NovogradState(state.count, state.first_moment, tree(state.second_moment, "second_moment"),
                         tree(state.max_second_moment, "max_second_moment"))


def _ask_library(lr: float, first_moment_dtype: str, known: dict[str, Any]) -> None:
    nothing = np.zeros(0, np.float32)
    with plan_without_layers() as plan:
        Plan([], first_moment_dtype=first_moment_dtype).close()
        plan.novograd_step(nothing, nothing, nothing, nothing, lr=lr, step=1,
                           max_second_moment=nothing if known.get("amsgrad") else None, **known)
