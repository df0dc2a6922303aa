"""The options of a parameter group: as a user writes them, and as they are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .. import Plan
from ._assignment import MULTIPLIERS, Group
from ._order import can_be_held
from ._values import make_plain, multiplier

# What every optimizer of this package has, beside its own.
COMMON = {"lr_mult": None, "wd_mult": None, "first_moment_dtype": "float32", "threads": 0, "capturable": False,
          "flatten": False}


def unique_parameters(params: Any) -> Any:
    """The parameters, or pairs of name and parameter, each once, in their order."""
    if isinstance(params, (Tensor, set)) or not isinstance(params, Iterable):
        return params  # torch's own rules
    seen: dict[int, Any] = {}
    for item in params:
        seen.setdefault(id(item[1] if isinstance(item, tuple) else item), item)
    return list(seen.values())


def prepare_group(group: Group) -> None:
    """Brings options into the form they are kept in: plain values that every pickle and torch.load takes.

    Raises ValueError, TypeError.
    """
    prepare_multipliers(group)
    make_plain(group)
    if group["capturable"] and not isinstance(group["lr"], Tensor):
        device = next((p.device for p in group["params"] if can_be_held(p)), torch.device("cpu"))
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)


def prepare_multipliers(group: Group) -> None:
    """The part of `prepare_group` that is for groups of any optimizer. Raises ValueError."""
    for name in MULTIPLIERS:
        if group.get(name) is not None:
            group[name] = multiplier(group[name], name, len(group["params"]))


def settle_multipliers(group: Group) -> None:
    """`prepare_multipliers` for what was changed since: a list or an array for a tuple, or the group's parameters."""
    for name in MULTIPLIERS:
        value = group.get(name)
        if isinstance(value, tuple) and len(value) != len(group["params"]):
            raise ValueError(f"{name} has {len(value)} values: it must be one number, or one for each of the group's "
                             f"{len(group['params'])} parameters")
        if not isinstance(value, (tuple, float, int, type(None))):
            group[name] = multiplier(value, name, len(group["params"]))


def plan_without_elements(group: Group) -> Plan:
    """A plan with the group's layers, all empty: the library checks the options that a step of it is given."""
    count = len(group["params"])
    plan = Plan([0] * count, layout="scattered", threads=1)
    values = {name: group[name] for name in MULTIPLIERS if group.get(name) is not None}
    plan.set_layers(**{name: value if isinstance(value, tuple) else [value] * count for name, value in values.items()})
    return plan


def larc_options(group: Group) -> dict[str, Any]:
    """The options of LARC by the library's names."""
    return {"eta": group["trust_coefficient"], "mode": "clip" if group["clip"] else "scale",
            **{name: group[name] for name in ("eps", "min_update", "weight_decay", "fold_weight_decay", "zero_norm")}}
