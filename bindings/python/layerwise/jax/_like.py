"""Transformations of this package in the place of other JAX libraries', by the other's name and arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from .._masks import leaf_values, path
from .._peer_arguments import Told, told
from .._peer_structure import Place, expected, leaves
from .._peers import AT_EACH_STEP, NEGATIVE_MOMENT, PEERS, REQUIRED, SECOND, STEP, Excluded
from ._larc import LarcSgdState, larc_sgd
from ._novograd import NovogradState, novograd
from ._transformation import Transformation

_LIBRARIES = ("optax", "flax", "objax")


class Like(Transformation):
    """A `Transformation` in the place of another library's optimizer.

    like  the other's name
    """

    _told: Told
    _is_scheduled: bool

    @property
    def like(self) -> str:
        return self._told.name

    def state_of_peer(self, state: Any, params: Any, *, count: int | None = None) -> Any:
        """This package's state from a checkpoint of the peer's: its own state, or the dictionaries that it is saved as.

        params  those that it was made for
        count   the number of completed steps, which a schedule is asked with, where the checkpoint does not hold it

        Raises ValueError, naming the peer, for what is not in its checkpoints, what
        is missing, and what is of another shape.
        """
        asked, fresh = self._told, self.init(params)
        read = _read(asked, fresh, state, params)
        if read.count is not None:
            if count is not None and count != int(read.count):
                raise ValueError(f"count is {count}, and the checkpoint of {asked.name} says {int(read.count)}")
            return read
        if count is None and self._is_scheduled:
            raise ValueError(f"the checkpoint of {asked.name} holds no number of steps, and learning_rate is a "
                             "schedule: give count")
        return read._replace(count=jnp.asarray(1 if count is None else count, fresh.count.dtype))

    def peer_state(self, state: Any, params: Any) -> Any:
        """A state of the peer's from this package's: optax's own classes, flax's and objax's dictionaries."""
        return _Writer(self._told, state, params).write(self._told.peer.state)


def like(name: str, /, **arguments: Any) -> Like:
    """A transformation of this package that computes what another library's optimizer does, by name and arguments.

        optimizer = layerwise.jax.like("optax.lars", learning_rate=schedule, weight_decay=1e-4)
        state = optimizer.state_of_peer(checkpoint["opt_state"], params)

    name       "optax.novograd", "optax.lars", "optax.chain" (of scale_by_novograd, or of scale_by_trust_ratio),
               "flax.optim.LARS" or "objax.optimizer.LARS". For optax.partition give it transformations of `like`
    arguments  the other's own, with its own defaults, learning_rate where it is given that at each step: a number, an
               array or a schedule. Masks are bools, trees like params or functions of params

    Returns a `Transformation`, which has `state_of_peer` and `peer_state` besides. Raises TypeError for arguments that
    the other does not have, ValueError for other names and for what is not served, and as `novograd`.
    """
    library = str(name).partition(".")[0]
    if library not in _LIBRARIES or str(name).startswith("optax.partition"):
        known = [peer.name for peer in PEERS if peer.name.startswith(_LIBRARIES)]
        raise ValueError(f"{name!r} has no place in layerwise.jax: it takes {', '.join(known)} and optax.chain. "
                         "optax.partition itself takes transformations of these names")
    rate = arguments.pop("learning_rate", REQUIRED) if library == "objax" else REQUIRED
    asked = told(name, arguments)
    options = asked.options(asked.arguments)
    rate = options["lr"] if rate is REQUIRED else rate
    if rate is REQUIRED or rate is AT_EACH_STEP or isinstance(rate, str):
        raise TypeError(f"{asked.name} needs learning_rate: a number, an array or a schedule")
    made = _transformation(asked, rate, options)
    transformation = Like(made.init, made.step)
    transformation._told, transformation._is_scheduled = asked, callable(rate)
    return transformation


def _transformation(asked: Told, rate: Any, options: dict[str, Any]) -> Transformation:
    del options["lr"]
    undecayed, unscaled = (_left_out(asked, rules) for rules in (asked.peer.undecayed, asked.peer.unscaled))
    if asked.peer.ours == "NovoGrad":
        beta1, beta2 = options.pop("betas")
        return novograd(rate, beta1=beta1, beta2=beta2, wd_mult=_not(undecayed), **options)
    renamed = {"eta": options.pop("trust_coefficient"), "mode": "clip" if options.pop("clip") else "scale"}
    return larc_sgd(rate, wd_mult=_not(undecayed), skip_larc=unscaled, **renamed, **options)


def _left_out(asked: Told, rules: tuple[Excluded, ...]) -> Callable[[Any], Any] | None:
    """A function of params that gives a tree of what a mask leaves out; None where there is no mask."""
    masks = [asked.arguments[rule.arguments[0]] for rule in rules]
    if not masks or masks[0] is None or masks[0] is True:
        return None
    mask = masks[0]

    def tree(params: Any) -> Any:
        if isinstance(mask, str):
            values = leaf_values(mask, [(place.name, place.parameter) for place in _places(params)], "mask")
            return jax.tree.structure(params).unflatten([not value for value in values])
        return jax.tree.map(lambda value: not value, mask(params) if callable(mask) else mask)

    return tree


def _not(function: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    """For wd_mult: 0 for what is left out."""
    if function is None:
        return None
    return lambda params: jax.tree.map(lambda value: float(not value), function(params))


# ---- Checkpoints ----------------------------------------------------------------------------------------------------

def _places(params: Any) -> list[Place]:
    """JAX has dictionaries in the order of their keys; the order of a peer that counts is that of insertion."""
    named, _ = jax.tree_util.tree_flatten_with_path(params)
    names = ["/".join(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in keys)
             for keys, _ in named]
    inserted = {name: order for order, (name, _) in enumerate(leaves(params))}
    return [Place(number, inserted.get(path(name), number), name, None, leaf)
            for number, (name, (_, leaf)) in enumerate(zip(names, named, strict=True))]


def _read(asked: Told, fresh: Any, state: Any, params: Any) -> Any:
    places, structure = _places(params), jax.tree.structure(params)
    given = dict(leaves(state))
    moments, seconds, count = [None] * len(places), [None] * len(places), None
    for key, kind, place in expected(asked.peer.state, places, asked):
        value = given.pop(key, None)
        if kind is STEP:
            count = count if value is None else int(value)
        elif place is None or (value is None and _needs(fresh)):
            raise ValueError(f"the checkpoint of {asked.name} lacks {key!r}")
        elif value is not None:
            array = jnp.asarray(value, jnp.float32)
            shape = () if kind is SECOND else jnp.shape(place.parameter)
            if array.shape != shape:
                raise ValueError(f"{key} of {asked.name} has shape {array.shape}: it must be {shape}")
            found: list[Any] = seconds if kind is SECOND else moments
            found[place.number] = -array if kind is NEGATIVE_MOMENT else array
    if given:
        raise ValueError(f"a checkpoint of {asked.name} has no {next(iter(given))!r}: this is another optimizer's, or "
                         "its parameters were others")
    steps = None if count is None else jnp.asarray(count, fresh.count.dtype)
    moment = structure.unflatten(moments)
    if isinstance(fresh, NovogradState):
        dtypes = jax.tree.map(lambda leaf: leaf.dtype, fresh.first_moment)
        return NovogradState(steps, jax.tree.map(jnp.astype, moment, dtypes), structure.unflatten(seconds), None)
    return LarcSgdState(steps, None if fresh.momentum is None else moment)


def _needs(fresh: Any) -> bool:
    return not isinstance(fresh, LarcSgdState) or fresh.momentum is not None


class _Writer:
    def __init__(self, asked: Told, state: Any, params: Any) -> None:
        self.asked, self.state, self.params = asked, state, params
        self.places, self.structure = _places(params), jax.tree.structure(params)

    def write(self, template: Any) -> Any:
        if isinstance(template, list):
            return tuple(map(self.write, template))
        if not isinstance(template, Mapping):
            return self.state.count if template is STEP else self.tree(template)
        if set(template) == {"{name}"}:
            below = template["{name}"]
            if not isinstance(below, Mapping):
                return self.tree(below)
            return {place.name: {key: self.tree_leaves(kind)[place.number] for key, kind in below.items()}
                    for place in self.places}
        if "type" in template:
            return self.optax(template)
        written: dict[str, Any] = {}
        for key, below in template.items():
            if "{index}" in key:
                written |= {key.replace("{index}", str(place.order)): value
                            for place, value in zip(self.places, self.tree_leaves(below), strict=True)}
            else:
                written[key] = self.write(below)
        return written

    def optax(self, template: Mapping[str, Any]) -> Any:
        """A state of optax's own class; a constant rate has none."""
        import optax  # type: ignore[import-not-found, unused-ignore]

        if template["type"] == "ScaleByScheduleState" and not callable(self.asked.arguments["learning_rate"]):
            return optax.EmptyState()
        kind = getattr(optax, template["type"])
        return kind(**{key: self.write(below) for key, below in template.items() if key != "type"})

    def tree_leaves(self, kind: str) -> list[Any]:
        if kind is SECOND:
            return list(jax.tree.leaves(self.state.second_moment))
        moments = (self.state.first_moment if isinstance(self.state, NovogradState) else self.state.momentum)
        if moments is None:
            return [jnp.zeros_like(leaf) for leaf in jax.tree.leaves(self.params)]
        return [-leaf if kind is NEGATIVE_MOMENT else leaf for leaf in jax.tree.leaves(moments)]

    def tree(self, kind: str) -> Any:
        return self.structure.unflatten(self.tree_leaves(kind))

