"""What differs from layer to layer of a group, and whose it is.

lr_mult and wd_mult are names that frameworks use for keys of their own in groups whose lr and weight_decay hold them
already: mmengine and what is built on it, TSN's code and re-identification's, Megatron-core. So a group that is given
with one of them is refused, unless the optimizer, or the group, says by group_multipliers whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ._assignment import MULTIPLIERS, Group
from ._values import multiplier

SHARED_NAMES = ("lr_mult", "wd_mult")
OPTION = "group_multipliers"
_OURS_ALONE = "first_moment_dtype"  # a key of every group of this package, those from before the option included


def applied_names(whose: Any) -> tuple[str, ...]:
    return tuple(name for name in MULTIPLIERS if whose != "ignore" or name not in SHARED_NAMES)


def applied(group: Group, whose: Any) -> Iterator[tuple[str, Any]]:
    """The names and values that a step multiplies by."""
    return ((name, group[name]) for name in applied_names(whose) if group.get(name) is not None)


def prepare_multipliers(group: Group, whose: Any) -> None:
    """Brings them into the form they are kept in. Raises ValueError, TypeError."""
    if group.get("skip_larc", False) is None:
        raise TypeError("skip_larc is None: it must be True or False, or one for each of the group's parameters")
    group.update({name: multiplier(value, name, len(group["params"])) for name, value in applied(group, whose)})


def settle_multipliers(group: Group, whose: Any) -> None:
    """`prepare_multipliers` for what was changed since: a list or an array for a tuple, or the group's parameters."""
    for name, value in [*applied(group, whose)]:
        if isinstance(value, tuple) and len(value) != len(group["params"]):
            raise ValueError(f"{name} has {len(value)} values: it must be one number, or one for each of the group's "
                             f"{len(group['params'])} parameters")
        if not isinstance(value, (tuple, float, int)):
            group[name] = multiplier(value, name, len(group["params"]))


def refuse_unclaimed(group: Mapping[str, Any], defaults: Mapping[str, Any], where: str = "a parameter group") -> None:
    """Raises ValueError for a multiplier in the group that the optimizer was not given itself."""
    for name in SHARED_NAMES:
        value = group.get(name)
        if value is not None and value is not defaults.get(name):
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
