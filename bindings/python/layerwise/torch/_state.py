"""The state of one parameter: `optimizer.state[p]` is the truth, plain tensors that nothing else keeps or writes.

A step looks at the tensors that are there and writes into them. One that a plan cannot take as it is gets replaced by
one with the same values; what was there before is never written again: it may be someone's. State in shared memory is
everyone's: it stays where it is.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from ._assignment import Slot, Spec
from ._bucket import refuse_capture
from ._foreign import refuse_foreign
from ._order import in_shared_memory, ordered_like, same_order
from ._shards import as_cut, check_cut, check_whole, is_dtensor, local, mesh_of, piece_like, whole, write

State = dict[str, Any]


class _Unseen:
    """An entry that torch's loader leaves as it is: it casts tensors to their parameter's dtype, and takes a string
    apart."""

    def __init__(self, value: Any) -> None:
        self.value = value


def out_of_torchs_sight(_: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """A hook before torch's loader, the last one."""
    hidden = {key: {name: _Unseen(value) for name, value in values.items()} if isinstance(values, dict) else values
              for key, values in state_dict["state"].items()}
    return {**state_dict, "state": hidden}


def in_sight(values: Any) -> Any:
    """What the hook has hidden."""
    if not isinstance(values, dict):
        return values
    return {name: value.value if isinstance(value, _Unseen) else value for name, value in values.items()}


def dtypes_of(spec: Spec) -> dict[str, torch.dtype]:
    """The entries of a state that are the optimizer's own; all but the moment are scalars."""
    entries = {"step": torch.int64, **dict.fromkeys(spec.per_layer, spec.per_layer_dtype)}
    return entries if spec.moment is None else {**entries, spec.moment: spec.moment_dtype}


def check_state(values: Mapping[str, Any], parameter: Tensor, spec: Spec, name: str) -> None:
    """Raises ValueError or TypeError for state that cannot be the parameter's: of another optimizer, of another shape,
    or with a part of what belongs together; and as `check_cut` for what cannot be cut as the parameter is. No state at
    all, and entries of the user's own, are fine."""
    if not values:
        return
    if not isinstance(values, Mapping):
        raise TypeError(f"the state of {name} is a {type(values).__name__}: it must be a dict")
    refuse_foreign(values, spec, name)
    for entry in dtypes_of(spec):
        value = values.get(entry)
        if isinstance(value, Tensor):
            if value.layout is not torch.strided or value.dtype.is_complex or value.is_meta:
                raise TypeError(f"{entry} of {name} is a {value.dtype} tensor with layout {value.layout} on "
                                f"{value.device} in its state: it must be a real, dense one with values")
            is_moment = entry == spec.moment
            fits = value.shape == parameter.shape if is_moment else value.numel() == 1
            if not fits:
                wanted = tuple(parameter.shape) if is_moment else ()
                raise ValueError(f"{entry} of {name} has shape {tuple(value.shape)} in its state: it must be {wanted}. "
                                 "Were the parameters in another order?")
            if is_moment and _is_cut(parameter):
                check_cut(value, parameter, f"{entry} of {name}")
            else:
                check_whole(value, f"{entry} of {name}")
        elif value is not None and (entry == spec.moment or not _is_number(value)):
            raise TypeError(f"{entry} of {name} is a {type(value).__name__} in its state: it must be a tensor"
                            f"{'' if entry == spec.moment else ' or a number'}")
    together = _belonging_together(spec)
    lacking = [entry for entry in together if values.get(entry) is None]
    step = values.get("step")
    if step is not None:
        count = float(step)
        if not (math.isfinite(count) and count == int(count) and 0 <= count < 2**62):
            raise ValueError(f"step of {name} is {count} in its state: it must be a number of steps")
    if lacking and (len(lacking) < len(together) or (len(together) > 1 and step)):
        raise ValueError(f"the state of {name} has no {' and no '.join(lacking)}, but has what belongs to it: give all "
                         f"of {', '.join(together)} and step, or none for a first step")
    if spec.per_layer and spec.depends_on_step and not lacking and step is None:
        raise ValueError(f"the state of {name} has no step, on which the result depends")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) or (isinstance(value, np.ndarray) and value.size == 1)


def _belonging_together(spec: Spec) -> tuple[str, ...]:
    return (*((spec.moment,) if spec.moment else ()), *spec.per_layer[:1])  # the running maximum of nothing is 0


def make_ready(state: State, parameter: Tensor, slot: Slot) -> None:
    """Brings a parameter's state into the form that its bucket takes, where it is not. Raises as `check_state`."""
    refuse_capture(slot.key.device)  # every replay would begin with what is written here
    spec = slot.key.spec
    check_state(state, parameter, spec, slot.name)
    for name, dtype in dtypes_of(spec).items():
        _refuse_shared(state.get(name), dtype, parameter, name, slot.name)
    state["step"] = _scalar(completed_steps(state, spec), torch.int64, parameter.device)
    for name in spec.per_layer:
        state[name] = _scalar(state.get(name), spec.per_layer_dtype, parameter.device)
    if spec.moment is not None:
        state[spec.moment] = moment(state.get(spec.moment), parameter, spec.moment_dtype)
    slot.known = tuple((name, weakref.ref(state[name]), state[name].data_ptr()) for name in dtypes_of(spec))


def _scalar(value: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The tensor itself where it is one of that kind, else a new one."""
    value = whole(value)
    if isinstance(value, Tensor):
        if in_shared_memory(value):
            value = value.reshape(())  # a view
        fits = value.dtype is dtype and value.device == device and value.dim() == 0 and _can_be_written(value)
        return value if fits else value.detach().to(device, dtype, copy=True).reshape(())
    return torch.tensor(0 if value is None else value, dtype=dtype, device=device).reshape(())


def _as_tensor(value: Any, dtype: torch.dtype) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=dtype, device="cpu")


def _can_be_written(tensor: Tensor) -> bool:
    """Whether its memory holds its values, and torch lets a step write them."""
    return not (tensor.is_neg() or tensor.is_inference())


def _refuse_shared(value: Any, dtype: torch.dtype, parameter: Tensor, entry: str, name: str) -> None:
    """Raises TypeError for state in shared memory that no step can write as it is: other processes would not see what
    takes its place."""
    if not isinstance(value, Tensor) or not in_shared_memory(value):
        return
    if value.dtype is not dtype:
        raise TypeError(f"{entry} of {name} is {value.dtype} and lies in shared memory: it must be {dtype} there, so "
                        "that a step can write it in place")
    if value.device != parameter.device or not (value.numel() == 1 or same_order(local(value), local(parameter))):
        raise TypeError(f"{entry} of {name} lies in shared memory with strides {value.stride()}: it must have the "
                        f"parameter's there, {parameter.stride()} on {parameter.device}")


def completed_steps(values: Mapping[str, Any], spec: Spec) -> Any:
    """The number of steps that a state says or means: none where it has nothing else, one where it does not say, as
    that of torch.optim.SGD."""
    together = _belonging_together(spec)
    if together and all(values.get(entry) is None for entry in together):
        return 0
    step = values.get("step")
    return step if step is not None else 1 if together else 0


def fresh_state(parameter: Tensor, spec: Spec) -> State:
    """What a parameter has before its first step."""
    device = parameter.device
    return {name: moment(None, parameter, dtype) if name == spec.moment else torch.zeros((), dtype=dtype, device=device)
            for name, dtype in dtypes_of(spec).items()}


def loaded_state(values: Mapping[str, Any], old: Mapping[str, Any], parameter: Tensor, spec: Spec) -> State:
    """A copy of the loaded state of one parameter, on its device.

    old  what of the state until now has memory that takes the copy; empty: none
    """
    own = dtypes_of(spec)
    result = {name: copied(value, old.get(name), parameter.device)
              for name, value in values.items() if name not in own and value is not None}
    given = {**values, "step": completed_steps(values, spec)} if values else fresh_state(parameter, spec)
    for name, dtype in own.items():
        value, there = given.get(name), old.get(name)
        if isinstance(there, Tensor) and there.dtype is dtype and there.device == parameter.device:
            result[name] = there.zero_() if value is None else write(there, _as_tensor(value, dtype))
        elif name == spec.moment and value is not None:
            result[name] = moment(value.clone(), parameter, dtype)
        elif value is not None:
            result[name] = _scalar(value.clone() if isinstance(value, Tensor) else value, dtype, parameter.device)
    return result


def staying(state: Mapping[str, Any], captured: bool) -> Mapping[str, Any]:
    """What of a state keeps its memory when another is loaded: all of it where a graph may have been captured with it,
    else what lies in shared memory."""
    return state if captured else {name: value for name, value in state.items()
                                   if isinstance(value, Tensor) and in_shared_memory(value)}


def copied(value: Any, there: Any, device: torch.device) -> Any:
    """A copy of an entry of the user's own, or of a flat parameter's; there: what may take it."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    if isinstance(there, Tensor) and in_shared_memory(there) and (there.shape, there.dtype) == (
            value.shape, value.dtype):
        return write(there, value)
    return value.to(device, copy=True)


def moment(old: Tensor | None, parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A moment on the parameter's device and in its order: zeros, the old tensor where it is that, or a copy of it. Of
    a parameter that is cut a DTensor that is cut alike."""
    if _is_cut(parameter):
        old = None if old is None else as_cut(old, parameter)
        held = None if old is None else local(old)
        made = _moment(held, local(parameter), dtype)
        return old if old is not None and made is held else piece_like(made, parameter)
    return _moment(whole(old), local(parameter), dtype)


def _is_cut(parameter: Tensor) -> bool:
    return is_dtensor(parameter) and mesh_of(parameter) is not None


def _moment(old: Tensor | None, parameter: Tensor, dtype: torch.dtype) -> Tensor:
    if old is None:
        return torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
    if (old.dtype is dtype and old.device == parameter.device and same_order(old, parameter)
            and _can_be_written(old)):
        return old
    return ordered_like(old, parameter, dtype)
