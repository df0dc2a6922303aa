"""The state of one parameter: `optimizer.state[p]` is the truth, a bucket follows it.

What a bucket has one of for each layer (the number of steps, the second moments) lies in vectors of its own, and the
state holds views of them: what is written in place is seen at once. An entry that was replaced is taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._assignment import Held, Slot, Spec
from ._bucket import refuse_capture
from ._foreign import refuse_foreign
from ._order import ordered_like, same_order
from ._shards import local

State = dict[str, Any]


class _Unseen:
    """An entry that torch's loader leaves as it is: it casts tensors to their parameter's dtype, and takes a string
    apart."""

    def __init__(self, value: Any) -> None:
        self.value = value


def out_of_torchs_sight(_: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """A hook before torch's loader, the last one."""
    hidden = {key: {name: _Unseen(value) for name, value in values.items()}
              for key, values in state_dict["state"].items()}
    return {**state_dict, "state": hidden}


def in_sight(values: Mapping[str, Any]) -> State:
    """What the hook has hidden."""
    return {name: value.value if isinstance(value, _Unseen) else value for name, value in values.items()}


def check_state(values: Mapping[str, Any], parameter: Tensor, spec: Spec, name: str) -> None:
    """Raises ValueError or TypeError for state that cannot be the parameter's: of another optimizer, of another shape,
    or with a part of what belongs together. No state at all, and entries of the user's own, are fine."""
    if not values:
        return
    refuse_foreign(values, spec, name)
    entries = ("step", *spec.per_layer, *((spec.moment,) if spec.moment else ()))
    for entry in entries:
        value = values.get(entry)
        shape = parameter.shape if entry == spec.moment else torch.Size()
        if isinstance(value, Tensor):
            if value.shape != shape:
                raise ValueError(f"{entry} of {name} has shape {tuple(value.shape)} in its state: it must be "
                                 f"{tuple(shape)}. Were the parameters in another order?")
            if value.layout is not torch.strided or value.dtype.is_complex or value.is_meta:
                raise TypeError(f"{entry} of {name} is a {value.dtype} tensor with layout {value.layout} on "
                                f"{value.device} in its state: it must be a real, dense one with values")
        elif value is not None and (entry == spec.moment or not isinstance(value, (int, float))):
            raise TypeError(f"{entry} of {name} is a {type(value).__name__} in its state: it must be a tensor")
    lacking = [entry for entry in _belonging_together(spec) if values.get(entry) is None]
    if lacking and len(lacking) < len(_belonging_together(spec)):
        raise ValueError(f"the state of {name} has no {' and no '.join(lacking)}, but has what belongs to it: give all "
                         f"of {', '.join(_belonging_together(spec))}, or none for a first step")
    if spec.per_layer and spec.depends_on_step and not lacking and values.get("step") is None:
        raise ValueError(f"the state of {name} has no step, on which the result depends")


def _belonging_together(spec: Spec) -> tuple[str, ...]:
    return (*((spec.moment,) if spec.moment else ()), *spec.per_layer[:1])  # the running maximum of nothing is 0


def adopt(state: State, parameter: Tensor, slot: Slot, vectors: Mapping[str, Tensor]) -> None:
    """Brings a parameter's state into the vectors, its bucket's or what stands for them, and the bucket's memory into
    the state. Raises as `check_state`."""
    spec, bucket = slot.key.spec, slot.bucket
    refuse_capture(slot.key.device)  # every replay would begin with what is written here
    check_state(state, parameter, spec, slot.name)
    values = {"step": completed_steps(state, spec), **{entry: state.get(entry) for entry in spec.per_layer}}
    for entry, value in values.items():
        place = vectors[entry][slot.layer]
        if isinstance(value, Tensor):
            place.copy_(value)
        else:
            place.fill_(0 if value is None else value)
        state[entry] = bucket.vectors[entry][slot.layer]
    if spec.moment is not None:
        state[spec.moment] = moment(state.get(spec.moment), parameter, spec.moment_dtype)
        values[spec.moment] = None
    slot.held = tuple(Held(entry, state[entry], state[entry].data_ptr()) for entry in values)


def completed_steps(values: Mapping[str, Any], spec: Spec) -> Any:
    """The number of steps that a state says or means: none where it has nothing else, one where it does not say, as
    that of torch.optim.SGD."""
    if _belonging_together(spec) and all(values.get(entry) is None for entry in _belonging_together(spec)):
        return 0
    step = values.get("step")
    return 1 if step is None and _belonging_together(spec) else 0 if step is None else step


def fresh_state(parameter: Tensor, spec: Spec) -> State:
    """What a parameter has before its first step."""
    device = parameter.device
    state: State = {"step": torch.zeros((), dtype=torch.int64, device=device)}
    for name in spec.per_layer:
        state[name] = torch.zeros((), dtype=spec.per_layer_dtype, device=device)
    if spec.moment is not None:
        state[spec.moment] = moment(None, parameter, spec.moment_dtype)
    return state


def placed(values: Mapping[str, Any], old: Mapping[str, Any], parameter: Tensor, spec: Spec) -> State:
    """The loaded state of one parameter on its device, in the memory of its old state where it has one."""
    dtypes = {"step": torch.int64, **dict.fromkeys(spec.per_layer, spec.per_layer_dtype)}
    if spec.moment is not None:
        dtypes[spec.moment] = spec.moment_dtype
    result = {name: value.to(parameter.device, copy=True) if isinstance(value, Tensor) and name not in dtypes else value
              for name, value in values.items() if value is not None}
    result["step"] = completed_steps(values, spec)
    if old:
        result = {**fresh_state(parameter, spec), **result}  # what was not loaded is written too
    for name, dtype in dtypes.items():
        if name not in result:
            continue
        value, there = result[name], old.get(name)
        if not isinstance(value, Tensor):
            value = torch.tensor(value, dtype=dtype, device="cpu")
        if isinstance(there, Tensor) and there.dtype is dtype and there.device == parameter.device:
            result[name] = there.copy_(value)
        elif name == spec.moment:
            result[name] = moment(value.clone(), parameter, dtype)
        else:
            result[name] = value.to(parameter.device, dtype, copy=True)
    return result


def alone(values: Mapping[str, Any]) -> State:
    """A parameter's state without memory that is another's too: its entries of the bucket's vectors are copied."""
    return {name: value.clone() if isinstance(value, Tensor) and value.dim() == 0 else value
            for name, value in values.items()}


def moment(old: Tensor | None, parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A moment on the parameter's device and in its order: zeros, or the old values."""
    parameter = local(parameter)
    if old is None:
        return torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
    if old.dtype is dtype and old.device == parameter.device and same_order(old, parameter):
        return old
    return ordered_like(old, parameter, dtype)
