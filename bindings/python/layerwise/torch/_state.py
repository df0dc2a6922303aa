"""The state of one parameter: what torch's loader makes of it, and where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._assignment import Group, Spec
from ._order import ordered_like, same_order


class _Unseen:
    """A tensor that torch's loader does not cast to its parameter's dtype."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def out_of_torchs_sight(_: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """A hook before torch's loader, the last one."""
    hidden = {key: {name: _Unseen(value) if isinstance(value, Tensor) else value for name, value in values.items()}
              for key, values in state_dict["state"].items()}
    return {**state_dict, "state": hidden}


def in_sight(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the hook has hidden."""
    return {name: value.tensor if isinstance(value, _Unseen) else value for name, value in values.items()}


def refuse_other_shapes(group: Group, loaded: Mapping[Tensor, Any], spec: Spec) -> None:
    """Raises ValueError for loaded state that cannot be its parameter's."""
    for position, parameter in enumerate(group["params"]):
        for name, value in loaded.get(parameter, {}).items():
            shape = parameter.shape if name == spec.moment else torch.Size() if name in spec.per_layer else None
            if shape is not None and isinstance(value, Tensor) and value.shape != shape:
                raise ValueError(f"{name} of parameter {position} has shape {tuple(value.shape)} in the loaded state: "
                                 f"it must be {tuple(shape)}. Were the parameters in another order?")


def placed(values: dict[str, Any], old: Mapping[str, Any], parameter: Tensor, spec: Spec) -> dict[str, Any]:
    """The loaded state of one parameter on its device, in the memory of its old state where it has one."""
    result = {name: value for name, value in values.items() if value is not None}
    result["step"] = torch.tensor(int(values.get("step", 1)), device=parameter.device)
    for name in (spec.moment, *spec.per_layer):
        if name is None or name not in result:
            continue
        dtype = spec.moment_dtype if name == spec.moment else spec.per_layer_dtype
        value, there = torch.as_tensor(result[name]), old.get(name)
        if there is not None and there.dtype is dtype and there.device == parameter.device:
            result[name] = there.copy_(value)
        elif name == spec.moment:
            result[name] = moment(value.clone(), parameter, dtype)
        else:
            result[name] = value.to(parameter.device, dtype, copy=True)
    return result


def moment(old: Tensor | None, parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A moment on the parameter's device and in its order: zeros, or the old values."""
    if old is None:
        return torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
    if old.dtype is dtype and old.device == parameter.device and same_order(old, parameter):
        return old
    return ordered_like(old, parameter, dtype)
