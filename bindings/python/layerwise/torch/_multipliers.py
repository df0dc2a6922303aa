"""What differs from layer to layer of a group, and whose it is.

lr_mult and wd_mult are names that frameworks use for keys of their own in groups whose lr and weight_decay hold them
already: mmengine and what is built on it, TSN's code and re-identification's, Megatron-core. So a group that is given
with one of them is refused, unless the optimizer, or the group, says by group_multipliers whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ._assignment import MULTIPLIERS, Group
from ._values import multiplier

SHARED_NAMES = ("lr_mult", "wd_mult")
OPTION = "group_multipliers"
_OURS_ALONE = "first_moment_dtype"  # a key of every group of this package, those from before the option included


def was_claimed(group: Mapping[str, Any]) -> bool:
    """Whether it is a group of this package's, whose multipliers were looked at when it was added."""
    return OPTION in group and _OURS_ALONE in group


def applied_names(whose: Any) -> tuple[str, ...]:
    return tuple(name for name in MULTIPLIERS if whose != "ignore" or name not in SHARED_NAMES)


def applied(group: Group, whose: Any) -> Iterator[tuple[str, Any]]:
    """The names and values that a step multiplies by."""
    return ((name, group[name]) for name in applied_names(whose) if group.get(name) is not None)


def prepare_multipliers(group: Group, whose: Any) -> None:
    """Brings them into the form they are kept in: one value, or a tuple of one for each parameter, which a function of
    name and parameter is asked for. Raises ValueError, TypeError."""
    if group.get("skip_larc", False) is None:
        raise TypeError("skip_larc is None: it must be True or False, or one for each of the group's parameters")
    group.update({name: _kept(group, name, value) for name, value in applied(group, whose)})


def settle_multipliers(group: Group, whose: Any) -> None:
    """`prepare_multipliers` for what was changed since: a list or an array for a tuple, or the group's parameters."""
    for name, value in [*applied(group, whose)]:
        if isinstance(value, tuple) and len(value) != len(group["params"]):
            raise ValueError(f"{name} has {len(value)} values: it must be one number, or one for each of the group's "
                             f"{len(group['params'])} parameters")
        if not isinstance(value, (tuple, float, int)):
            group[name] = _kept(group, name, value)


def _kept(group: Group, name: str, value: Any) -> Any:
    """A multiplier as it is kept."""
    if callable(value):
        names = group.get("param_names") or [None] * len(group["params"])
        value = [_asked(value, name, *layer) for layer in zip(names, group["params"], strict=True)]
    return multiplier(value, name, len(group["params"]))


def _asked(function: Any, option: str, name: str | None, parameter: Tensor) -> Any:
    value = function(name, parameter)
    if not isinstance(value, (bool, int, float, np.bool_, np.number)):
        whose = name or f"a parameter of shape {tuple(parameter.shape)}"
        raise TypeError(f"{option} of {whose} is {value!r}, from the function that was given: it must be a number or a "
                        "bool")
    return value


def skipped(group: Group, whose: Any) -> Any:
    """skip_larc of a group for a step: without always_adapt, layers that do not decay are left out of LARC too."""
    skip, decays = group.get("skip_larc"), group.get("wd_mult") if "wd_mult" in applied_names(whose) else None
    if group.get("always_adapt", True):
        return skip
    if not group["weight_decay"] or (decays is not None and not isinstance(decays, tuple) and not decays):
        return True
    if not isinstance(decays, tuple):
        return skip
    skips = skip if isinstance(skip, tuple) else [skip] * len(decays)
    return tuple(bool(left_out) or not decay for left_out, decay in zip(skips, decays, strict=True))


def refuse_unclaimed(group: Mapping[str, Any], defaults: Mapping[str, Any], where: str = "a parameter group") -> None:
    """Raises ValueError for a multiplier in the group that the optimizer was not given itself."""
    for name in SHARED_NAMES:
        value = group.get(name)
        if value is not None and value is not defaults.get(name) and not callable(value):  # frameworks write numbers
            scaled = "lr" if name == "lr_mult" else "weight_decay"
            raise ValueError(
                f"{where} has {name}={value!r}, a key that frameworks write beside a {scaled} that holds it already. "
                f"Say whose it is when the optimizer is made: {OPTION}='apply' has this optimizer multiply {scaled} by "
                f"it, {OPTION}='ignore' leaves it to the framework, untouched")


def refuse_given(defaults: Mapping[str, Any]) -> None:
    """Raises ValueError for multipliers of the optimizer's own beside keys that are not to be applied."""
    for name in SHARED_NAMES:
        if defaults.get(name) is not None:
            raise ValueError(f"{name} is given to the optimizer and {OPTION} is 'ignore': the groups' key of that name "
                             "belongs to the framework then, and is never applied")


def refuse_loaded(saved: Mapping[str, Any], whose: str) -> None:
    """Raises ValueError for a multiplier of a checkpoint's group that is not what the optimizer takes it for."""
    ours = saved.get(OPTION, "apply" if _OURS_ALONE in saved else None)
    where = "a parameter group of the checkpoint"
    if whose == "refuse" and ours in (None, "ignore"):
        refuse_unclaimed(saved, {}, where)
    for name in SHARED_NAMES:
        value = saved.get(name)
        if value is None or ours is None or whose == "refuse" or (ours == "ignore") == (whose == "ignore"):
            continue
        meant = "a framework's" if ours == "ignore" else "this package's, and was applied"
        raise ValueError(f"{where} has {name}={value!r}, which was {meant}, by its {OPTION}={ours!r}; this optimizer's "
                         f"is {whose!r}: remove the key from the checkpoint, or make the optimizer with the other")
