"""The options of a parameter group: as a user writes them, and as they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .. import Plan, _abi
from .._words import called
from ._assignment import Group
from ._multipliers import OPTION, applied, prepare_multipliers
from ._order import can_be_held
from ._values import make_plain, options_of

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
    make_plain(group)
    prepare_multipliers(group, group[OPTION])
    if group["capturable"] and not isinstance(group["lr"], Tensor):
        device = next((p.device for p in group["params"] if can_be_held(p)), torch.device("cpu"))
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)


# What the caller of an optimizer writes where the library's step says otherwise.
_WORDS = {"novograd_step": "NovoGrad", "larc_sgd_step": "LARCSGD", "larc_scale": "LARC", "beta1": "betas[0]",
          "beta2": "betas[1]", "eta": "trust_coefficient", "mode 'scale'": "clip=False"}


@contextmanager
def plan_without_elements(group: Group) -> Iterator[Plan]:
    """A plan with the group's layers, all empty: the library checks the options that a step of it is given."""
    count = len(group["params"])
    with called(_WORDS), Plan([0] * count, layout="scattered", threads=1) as plan:
        plan.set_layers(**{name: value if isinstance(value, tuple) else [value] * count
                           for name, value in applied(group, group[OPTION])})
        yield plan


def larc_options(group: Group) -> dict[str, Any]:
    """The options of LARC by the library's names; maximize is that of the optimizer that steps."""
    names = [name for name in options_of(_abi.LarcOptions) if name != "maximize"]
    return {"eta": group["trust_coefficient"], "mode": "clip" if group["clip"] else "scale",
            **{name: group[name] for name in names}}
