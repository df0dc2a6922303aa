"""Optimizers of this package in the place of other libraries', by the other's name and arguments."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .._masks import leaf_values
from .._peer_arguments import (
    LABEL,
    Told,
    class_name,
    group_arguments,
    is_known,
    left_out,
    peer_keys,
    told,
    with_inner,
)
from .._peers import PEERS, REQUIRED
from .._words import called
from ._assignment import Group
from ._calls import AllAccepted, Call
from ._groups import unique_parameters
from ._larc import LARC
from ._larc_sgd import LARCSGD
from ._multipliers import OPTION
from ._novograd import NovoGrad
from ._optimizer import LayerwiseOptimizer
from ._peer_state import INDICES, carried, inner_state, kept, read_groups, read_state, write_state
from ._repetition import Due

TOLD = "peer_arguments"  # the key under which a group has what the peer was told of it


def like(name: str | type, params: Any = None, /, **arguments: Any) -> Any:
    """An optimizer of this package that computes what another library's does, from its name and arguments.

        optimizer = layerwise.torch.like("timm.optim.Lars", model.named_parameters(), lr=0.1, momentum=0.9)
        optimizer.load_peer_state_dict(torch.load("timm.pt"))

    name          the other's class as it is imported, its short form ("timm.Lars", "optax.lars"), or the class itself.
                  `peers` lists all
    params        parameters, pairs of name and parameter, or groups, whose keys are the other's own. Where the other
                  goes by names (exclude_from_weight_decay, skip_list, MXNet), pairs. Groups may also say label,
                  decayed, adapted, excluded or skipped where the other has no groups
    arguments     the other's own, with its own defaults. An optimizer that it wraps is an instance, or a dictionary of
                  class and arguments. Masks are bools, trees by name, functions of the tree or of one parameter, or
                  "ndim > 1". A learning rate may be a function of the number of completed steps; "schedule" and None
                  leave it to you: set the groups' lr before each step

    Returns a `NovoGrad`, a `LARCSGD`, or a `LARC` around a torch optimizer. Its groups have this package's options, lr
    and weight_decay among them, which schedulers may write; what the other's step makes of them follows. Steps are
    counted by the gradients of each parameter: one whose first gradient comes later takes its first step then. Beside
    what every optimizer here has: `load_peer_state_dict(state)` and `peer_state_dict()`, a checkpoint of the other's.

    Not served, and refused by name: a ratio of the update's norm (NeMo's luc, bitsandbytes' LARS, LAMB, tf-models'
    classic_momentum=False).

    Raises TypeError for arguments that the other does not have, ValueError for a name that is not in the table and for
    what is not served, and as `NovoGrad`.
    """
    asked_name: str = class_name(name)
    if params is None:
        params = arguments.pop("params", None)
    if isinstance(params, Optimizer) or (hasattr(params, "param_groups") and "optimizer" not in arguments):
        params, arguments = None, {"optimizer": params, **arguments}
    asked = told(asked_name, arguments)
    with called(asked.words()):
        if asked.peer.inner:
            return _around(asked, params)
        groups = _as_groups(asked, params)
        return {"NovoGrad": NovoGradLike, "LARCSGD": LARCSGDLike}[asked.peer.ours](groups, asked)


def peers() -> dict[str, dict[str, Any]]:
    """Every name that `like` takes, with its arguments and their defaults; "required" has none."""
    return {peer.name: dict(peer.arguments) for peer in PEERS}


def _around(asked: Told, params: Any) -> Any:
    """An optimizer in the place of one that wraps another."""
    inner = asked.arguments["optimizer"]
    if isinstance(inner, Mapping):
        if "class" not in inner:
            raise TypeError(f"optimizer of {asked.name} has {', '.join(map(repr, inner))}: it must be a dictionary of "
                            "class and arguments")
        name, arguments = str(class_name(inner["class"])), dict(inner.get("arguments", {}))
        if asked.inner_name not in (None, name):
            raise ValueError(f"optimizer of {asked.name} is {name}, and its name says {asked.inner_name}")
        fused = with_inner(asked, name, arguments)
        if fused is not None:
            return LARCSGDLike(_as_groups(fused, params), fused)
        inner = _make_inner(asked, name, params, arguments)
    elif not all(hasattr(inner, each) for each in ("param_groups", "step", "state_dict")) or asked.peer.ours != "LARC":
        raise TypeError(f"optimizer of {asked.name} is a {type(inner).__name__}: it must be a dictionary of class and "
                        f"arguments{', or a torch.optim.Optimizer' if asked.peer.ours == 'LARC' else ''}")
    elif params is not None:
        _refuse_other_parameters(asked, inner, params)
    return LARCLike(inner, asked)


def _make_inner(asked: Told, name: str, params: Any, arguments: Mapping[str, Any]) -> Any:
    wraps_any = asked.peer.ours == "LARC"
    if wraps_any and is_known(name):
        return like(name, params, **arguments)
    made = getattr(torch.optim, name.rpartition(".")[2], None)
    if not wraps_any or made is None or not name.startswith("torch.optim."):
        known = [*asked.peer.inner, *(["any of torch.optim", "a name that `like` takes"] if wraps_any else [])]
        raise ValueError(f"optimizer of {asked.name} is {name!r}: it must be one of {', '.join(known)}")
    return made(unique_parameters(params) if not isinstance(params, Tensor) else params, **arguments)


def _refuse_other_parameters(asked: Told, inner: Any, params: Any) -> None:
    held = {id(parameter) for group in inner.param_groups for parameter in group["params"]}
    given = [item for group in _as_groups(asked, params) for item in group["params"]]
    if {id(item[1] if isinstance(item, tuple) else item) for item in given} != held:
        raise ValueError(f"params are others than those of the optimizer that {asked.name} was given")


def _as_groups(asked: Told, params: Any) -> list[Group]:
    """Groups, as dictionaries; fastai's are lists of parameters."""
    if params is None or isinstance(params, (Tensor, str, set)):
        raise TypeError(f"params is a {type(params).__name__}: it must be parameters, pairs of name and parameter, or "
                        "groups, in an order")
    given = [params] if isinstance(params, Mapping) else list(params)
    if all(isinstance(each, (list, tuple)) and not _is_pair(each) for each in given):
        given = [{"params": list(each)} for each in given]
    elif not all(isinstance(each, Mapping) for each in given):
        given = [{"params": given}]
    for group in given:
        if "params" not in group:
            raise TypeError(f"a parameter group has {', '.join(map(repr, group))} and no params")
    groups = [{**group, "params": list(group["params"]) if isinstance(group["params"], Iterable) and not isinstance(
        group["params"], Tensor) else [group["params"]]} for group in given]
    return groups if asked.labels is None else [part for group in groups for part in _by_label(asked, group)]


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def _named(group: Mapping[str, Any]) -> list[tuple[str | None, Tensor]]:
    if "param_names" in group:
        return list(zip(group["param_names"], group["params"], strict=True))
    return [item if _is_pair(item) else (None, item) for item in group["params"]]


def _by_label(asked: Told, group: Group) -> list[Group]:
    labels = [group[LABEL]] * len(group["params"]) if LABEL in group else leaf_values(
        asked.param_labels, _named(group), "param_labels")
    for label in labels:
        if label not in (asked.labels or {}):
            raise ValueError(f"param_labels has {label!r}: transforms has {', '.join(map(repr, asked.labels or {}))}")
    return [{**group, LABEL: label, "params": [item for item, its in zip(group["params"], labels, strict=True)
                                               if its == label]} for label in dict.fromkeys(labels)]


class _Mask:
    """A mask of a peer's, looked up."""

    def __init__(self, values: Iterable[Any], parameters: Iterable[Tensor]) -> None:
        self._of = {id(parameter): bool(value) for value, parameter in zip(values, parameters, strict=True)}

    def __call__(self, _: str | None, parameter: Tensor) -> bool:
        return self._of[id(parameter)]


def _options(asked: Told, given: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """This package's options for a group of whom the peer was told `given`, but for lr."""
    options = asked.options(given)
    options.pop("lr", None)
    named = _named(group)
    given = {**given, **{mask: _Mask(leaf_values(given[mask], named, mask), [parameter for _, parameter in named])
                         for mask in asked.peer.masks if given[mask] is not None}}
    left = {kind: [left_out(asked, given, kind, *each) for each in named] for kind in ("undecayed", "unscaled")}
    if any(left["undecayed"]):
        options["wd_mult"] = tuple(float(not each) for each in left["undecayed"])
    if any(left["unscaled"]):
        options["skip_larc"] = tuple(left["unscaled"])
    return options


def _rate(asked: Told, given: Mapping[str, Any]) -> Any:
    """lr as a group begins with it: None where it is set at each step."""
    lr = asked.options(given)["lr"]
    return None if callable(lr) or isinstance(lr, str) else lr


class InPlaceOf(LayerwiseOptimizer):
    """What was told of the other library's optimizer, which copies and pickles keep."""

    _told: Told

    @property
    def like(self) -> str:
        """The name of the peer."""
        return self._told.name

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_told": self._told}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_told" in state:
            self._told = state["_told"]
        super().__setstate__(state)


class Like(InPlaceOf):
    """What an optimizer in the place of another library's does beside its own work."""

    def __init__(self, params: Any, asked: Told) -> None:
        self._told = asked
        given = group_arguments(asked, {}, next(iter(asked.labels or (None,))))
        defaults = {OPTION: "apply", **asked.options(given), "lr": 0.0}
        super().__init__(params, **defaults)  # type: ignore[arg-type]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As in torch.optim.Optimizer, with the peer's own keys."""
        asked = self._told
        group = {**param_group, "params": unique_parameters(param_group["params"])}
        given = group_arguments(asked, group, group.get(LABEL))
        self._refuse_not_the_peers(group, {}, "a parameter group")
        lr = _rate(asked, given)
        if lr is None and asked.options(given)["lr"] is REQUIRED:
            raise TypeError(f"{asked.name} needs {asked.peer.options['lr'].arguments[-1]}")
        super().add_param_group({**carried(asked, group), **_options(asked, given, group),
                                 "lr": 0.0 if lr is None else lr, TOLD: kept(asked, given)})
        self.param_groups[-1]["lr"] = lr

    def _refuse_not_the_peers(self, group: Mapping[str, Any], agreed: Mapping[str, Any], where: str) -> None:
        """Raises ValueError for an option of this package's that the peer would pass over."""
        for key, value in group.items():
            is_ours = key in self.defaults and key not in peer_keys(self._told)
            if is_ours and (key not in agreed or agreed[key] != value):
                raise ValueError(f"{where} has {key}={value!r}, which {self._told.name} does not have; it has "
                                 f"{', '.join(self._told.arguments)}")

    # ---- The step ---------------------------------------------------------------------------------------------------

    def _step(self, grad_scale: Any, found_inf: Any) -> None:
        self._follow_schedule()
        decaying = self._decaying_at_rate_0()
        super()._step(grad_scale, found_inf)
        for group in decaying if self._has_stepped else ():  # else it has made state alone, or awaits pieces
            weights = [parameter.data for parameter in group["params"] if parameter.grad is not None]
            torch._foreach_mul_(weights, 1.0 - group["weight_decay"])

    def _decaying_at_rate_0(self) -> list[Group]:
        """Groups whose decay no step takes in, since it has no lr in it and lr is 0."""
        fixed = self._told.peer.decays_at_rate_0
        if fixed is None:
            return []
        return [group for group in self.param_groups if fixed(self._given(group)) and float(group["lr"] or 0.0) == 0]

    @property
    def _schedule(self) -> Any:
        return self._told.options(self._told.arguments)["lr"]

    def _follow_schedule(self) -> None:
        if callable(self._schedule):
            for group in self.param_groups:
                schedule = self._told.options(self._given(group))["lr"]
                group["lr"] = float(schedule(self._completed_steps(group))) if callable(schedule) else schedule

    def _trace(self, grad_scale: Any, found_inf: Any) -> None:
        if any(map(self._follows, self.param_groups)) or callable(self._schedule) or self._has_rate_in_moment:
            raise TypeError(f"{self._told.name} with these arguments does a part of its step outside the library: "
                            "torch.compile cannot trace it")
        super()._trace(self._divided(grad_scale), found_inf)

    def _due(self, accepted: AllAccepted, grad_scale: Any, found_inf: Any) -> Due | None:
        if self._has_rate_in_moment:
            return None  # what is forgotten at rate 0 is looked at after each step
        return super()._due(accepted, self._divided(grad_scale), found_inf)

    def _run(self, work: Any, accepted: AllAccepted, grad_scale: Any, found_inf: Any) -> None:
        super()._run(work, accepted, self._divided(grad_scale), found_inf)
        if self._has_rate_in_moment:
            _forget_at_rate_0(work)

    def _divided(self, grad_scale: Any) -> Any:
        """What gradients are divided by, the peer's own rescaling included."""
        divisor = self._told.peer.gradient_divisor
        if divisor is None or divisor(self._told.arguments) == 1:
            return grad_scale
        value = divisor(self._told.arguments)
        return torch.tensor(value, dtype=torch.float32) if grad_scale is None else grad_scale * value

    @property
    def _has_rate_in_moment(self) -> bool:
        has = self._told.peer.rate_in_moment
        return has is not None and bool(has(self._told.arguments))

    # ---- Rates and decay that are not the group's own ---------------------------------------------------------------

    def _given(self, group: Group) -> dict[str, Any]:
        return {**(self._told.labels or {}).get(str(group.get(LABEL)), self._told.arguments), **group.get(TOLD, {})}

    def _follows(self, group: Group) -> bool:
        return any(self._given(group)[name] for name in self._told.peer.follows)

    def _completed_steps(self, group: Group) -> int:
        return max((int(self.state[parameter]["step"]) for parameter in group["params"]
                    if self.state.get(parameter)), default=0)

    def _accept_all(self) -> AllAccepted:
        accepted, peer = super()._accept_all(), self._told.peer
        if not peer.follows:
            return accepted
        rates, options = list(accepted.rates), list(accepted.options)
        for number, group in enumerate(self.param_groups):
            if self._follows(group):
                lr, given = float(group["lr"]), self._given(group)
                step = self._completed_steps(group) + 1 if peer.rate is not None else 0
                if peer.rate is not None:
                    rates[number] = peer.rate(lr, given, step)
                if peer.decay is not None:
                    decay = peer.decay(lr, group["weight_decay"], given, step)
                    known = options[number]
                    options[number] = known._replace(
                        options={**known.options, "weight_decay": decay}, text=f"{known.text} {decay!r}")
        return AllAccepted(options, rates, accepted.parameters)

    # ---- The peer's checkpoints -------------------------------------------------------------------------------------

    def load_peer_state_dict(self, state: Any, *, lr: float | None = None, step: int | None = None) -> None:
        """Loads a checkpoint of the peer, in its own structure: state, and the options of groups where it has them.

        lr    MXNet's with momentum_correction alone: the learning rate of the last step, which is inside its momentum
              and not beside it; None: that of the groups, which must have been set to it
        step  the number of completed steps, where the checkpoint does not hold it and the learning rate is a function
              of it

        Raises ValueError, naming the peer, for what is not in its checkpoints, what is missing, and what is of another
        shape; nothing is loaded then.
        """
        asked, own = self._told, self.state_dict()
        saved_groups = read_groups(asked, self.param_groups, state)
        groups = []
        for group, saved, written in zip(self.param_groups, saved_groups, own["param_groups"], strict=True):
            merged = {**written, "lr": written["lr"] or 0.0}
            if saved is not None:
                self._refuse_not_the_peers(saved, group, "a parameter group of the checkpoint")
                given = group_arguments(asked, {**group.get(TOLD, {}), **saved}, group.get(LABEL))
                merged = {**merged, **carried(asked, saved), "params": written["params"], "wd_mult": None,
                          "skip_larc": False, **_options(asked, given, group),
                          TOLD: {**group.get(TOLD, {}), **kept(asked, given)}}
                merged["lr"] = saved.get("lr", merged["lr"])
            groups.append(merged)
        entries = read_state(asked, self, state, saved_groups, groups, self._last_rate(lr))
        self._count(entries.state, step)
        unset = [group["lr"] is None for group in self.param_groups]
        if entries.rate is not None:
            groups = [{**group, "lr": entries.rate} for group in groups]
        for group, indices, undecayed in zip(groups, entries.indices, entries.undecayed, strict=True):
            if indices:
                group[TOLD] = {**group.get(TOLD, {}), INDICES: indices}
            if any(undecayed):
                group["wd_mult"] = tuple(float(not each) for each in undecayed)
        self.load_state_dict({"state": entries.state, "param_groups": groups})
        for group, was_unset, saved in zip(self.param_groups, unset, saved_groups, strict=True):
            if was_unset and saved is None and entries.rate is None:
                group["lr"] = None

    def _count(self, state: dict[int, dict[str, Any]], step: int | None) -> None:
        """Completes states without a number of steps. Raises ValueError where it is asked for."""
        uncounted = [values for values in state.values() if "step" not in values]
        if uncounted and step is None and callable(self._schedule):
            raise ValueError(f"the checkpoint of {self._told.name} holds no number of steps, and the learning rate is "
                             "a function of it: give step")
        if step is not None and len(uncounted) < len(state):
            raise ValueError(f"step is {step}, and the checkpoint of {self._told.name} holds the number of steps")
        if step is not None:
            for values in uncounted:
                values["step"] = step

    def peer_state_dict(self) -> Any:
        """The state as a checkpoint of the peer's, in its own structure, with copies of the tensors. With MXNet's
        momentum_correction the groups' lr goes with it."""
        return write_state(self._told, self, self._groups_lr() if self._has_rate_in_moment else None)

    def _last_rate(self, lr: float | None) -> float | None:
        if not self._has_rate_in_moment:
            if lr is not None:
                raise TypeError(f"lr is {lr}: {self._told.name} has no learning rate in its momentum")
            return None
        if lr is not None:
            return float(lr)
        if all(group["lr"] == _rate(self._told, self._given(group)) for group in self.param_groups):
            raise ValueError(f"{self._told.name} with momentum_correction has the learning rate of its last step in "
                             "its momentum, and not beside it: give lr, or set the groups' lr to it before loading, "
                             "where they began with another")
        return self._groups_lr()

    def _groups_lr(self) -> float:
        rates = {float(group["lr"]) for group in self.param_groups}
        if len(rates) != 1:
            raise ValueError(f"{self._told.name} has one learning rate; the groups have {sorted(rates)}")
        return rates.pop()


def _forget_at_rate_0(calls: Iterable[Call]) -> None:
    """MXNet's momentum_correction multiplies the momentum by the rate: it is 0 after a step whose rate was."""
    for call in calls:
        if float(call.lr) == 0:
            torch._foreach_zero_(call.tensors.moments)


class NovoGradLike(Like, NovoGrad):
    """A `NovoGrad` in the place of another library's."""


class LARCSGDLike(Like, LARCSGD):
    """A `LARCSGD` in the place of another library's."""


class LARCLike(InPlaceOf, LARC):
    """A `LARC` in the place of another library's wrapper, around any optimizer."""

    def __init__(self, inner: Any, asked: Told) -> None:
        self._told = asked
        for group in inner.param_groups:
            group.update(_left_out_of(asked, group))
        super().__init__(inner, group_multipliers="apply", **asked.options(asked.arguments))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group({**param_group, **_left_out_of(self._told, param_group)})

    def load_peer_state_dict(self, state: Any) -> None:
        """Loads a checkpoint of the peer, which is its inner optimizer's own. Raises ValueError for state that the
        inner optimizer's step does not make."""
        if isinstance(self.optimizer, Like):
            self.optimizer.load_peer_state_dict(state)
        else:
            self.load_state_dict(inner_state(self._told, self.optimizer, state))

    def peer_state_dict(self) -> Any:
        """The inner optimizer's state_dict, without what this package keeps in its groups; tensors are copies."""
        if isinstance(self.optimizer, Like):
            return self.optimizer.peer_state_dict()
        saved = copy.deepcopy(self.state_dict())
        own = ("skip_larc", "wd_mult", "lr_mult")
        return {**saved, "param_groups": [{key: value for key, value in group.items() if key not in own}
                                          for group in saved["param_groups"]]}


def _left_out_of(asked: Told, group: Mapping[str, Any]) -> dict[str, Any]:
    options = _options(asked, asked.arguments, group)
    return {key: value for key, value in options.items() if key in ("wd_mult", "skip_larc")}
