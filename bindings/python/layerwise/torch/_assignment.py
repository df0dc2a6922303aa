"""Which bucket serves which parameter.

A bucket is one plan, so its layers share device and dtypes; and one call, so they share the group's hyper-parameters,
which may change every step, and where the result depends on the number of steps that number too. What differs from
layer to layer (lr_mult, wd_mult, skip_larc) is in the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._bucket import Bucket, refuse_capture
from ._order import check_parameter

MULTIPLIERS = ("lr_mult", "wd_mult", "skip_larc")

Group = dict[str, Any]


class Spec(NamedTuple):
    """What a group's options ask of its buckets."""

    moment: str | None = None  # the name of the state with one value an element
    moment_dtype: torch.dtype = torch.float32
    per_layer: tuple[str, ...] = ()  # the names of those with one value a layer
    per_layer_dtype: torch.dtype = torch.float32
    depends_on_step: bool = False
    threads: int = 0


@dataclass(frozen=True)
class Slot:
    """A parameter's place, and what the parameter was when it was given."""

    bucket: Bucket
    layer: int
    spec: Spec
    dtype: torch.dtype
    grad_dtype: torch.dtype
    device: torch.device
    shape: torch.Size
    stride: tuple[int, ...]

    def fits(self, parameter: Tensor, grad: Tensor, spec: Spec) -> bool:
        return (parameter.dtype is self.dtype and grad.dtype is self.grad_dtype and grad.layout is torch.strided
                and parameter.device == self.device and parameter.shape == self.shape
                and parameter.stride() == self.stride and spec == self.spec)


class Key(NamedTuple):
    """What the layers of a bucket have in common."""

    number: int  # of the group
    device: torch.device
    dtype: torch.dtype
    grad_dtype: torch.dtype
    spec: Spec
    step: int | None  # completed, where the result depends on it


Members = dict[Bucket, list[tuple[int, Tensor]]]


class Assignment:
    """The buckets of an optimizer, made when a gradient is first seen, made anew when a parameter has changed."""

    def __init__(self) -> None:
        self._slots: dict[Tensor, Slot] = {}
        self._parameters: dict[Key, list[Tensor]] = {}
        self._buckets: dict[Key, Bucket] = {}
        self._groups = 0

    def forget(self) -> None:
        self.__init__()  # type: ignore[misc]

    def parts(self) -> list[tuple[Key, Bucket, list[Tensor]]]:
        """Every bucket with its parameters, one a layer."""
        return [(key, bucket, self._parameters[key]) for key, bucket in self._buckets.items()]

    def members(self, groups: list[Group], group: Group, spec: Spec, state: Mapping[Tensor, Any]) -> Members:
        """The parameters of a group that have gradients, by bucket. Raises TypeError and ValueError (`assign`)."""
        found = self._find(group, spec)
        if found is None:
            self._assign(groups, group, spec, state)
            found = self._find(group, spec)
            assert found is not None, "a parameter changed while it was looked at"
        return found

    def _find(self, group: Group, spec: Spec) -> Members | None:
        found: Members = {}
        for parameter in group["params"]:
            grad = parameter.grad
            if grad is None:
                continue
            slot = self._slots.get(parameter)
            if slot is None or not slot.fits(parameter, grad, spec):
                return None
            found.setdefault(slot.bucket, []).append((slot.layer, parameter))
        for bucket in found:
            _set_multipliers(bucket, group)
        return found

    def _assign(self, groups: list[Group], group: Group, spec: Spec, state: Mapping[Tensor, Any]) -> None:
        """Gives every parameter of the group its place. Buckets that stay what they were are kept."""
        for device in {parameter.device for parameter in group["params"] if parameter.grad is not None}:
            refuse_capture(device)
        if len(groups) < self._groups:
            self.forget()
        self._groups = len(groups)
        number = next(index for index, other in enumerate(groups) if other is group)
        self._refuse_replaced(number, groups)
        positions: dict[Key, list[int]] = {}
        for position, parameter in enumerate(group["params"]):
            name = parameter_name(groups, number, position)
            check_parameter(parameter, name)
            _refuse_changed(parameter, self._slots.get(parameter), state.get(parameter) or {}, spec, name)
            key = self._key(number, parameter, spec, state.get(parameter) or {})
            if key is not None:
                positions.setdefault(key, []).append(position)
        kept = {key: (self._buckets.pop(key), self._parameters.pop(key))
                for key in [*self._buckets] if key.number == number}
        for key, where in positions.items():
            parameters = [group["params"][position] for position in where]
            bucket = next((bucket for old, (bucket, members) in kept.items()
                           if old._replace(step=None) == key._replace(step=None) and _same(members, parameters)), None)
            if bucket is None:
                bucket = _new_bucket(parameters, where, key, state)
            self._buckets[key], self._parameters[key] = bucket, parameters
            for layer, parameter in enumerate(parameters):
                self._slots[parameter] = Slot(bucket, layer, spec, parameter.dtype, key.grad_dtype, parameter.device,
                                              parameter.shape, parameter.stride())

    def _key(self, number: int, parameter: Tensor, spec: Spec, state: Mapping[str, Any]) -> Key | None:
        slot = self._slots.get(parameter)
        if parameter.grad is not None:
            grad_dtype = parameter.grad.dtype
        elif slot is None and not state and spec.depends_on_step:
            return None  # its steps begin with its first gradient
        else:
            grad_dtype = parameter.dtype if slot is None else slot.grad_dtype
        step = int(state.get("step", 0)) if spec.depends_on_step else None
        return Key(number, parameter.device, parameter.dtype, grad_dtype, spec, step)

    def _refuse_replaced(self, number: int, groups: list[Group]) -> None:
        present = {parameter for group in groups for parameter in group["params"]}
        for key, members in self._parameters.items():
            if key.number == number:
                for parameter in members:
                    if parameter not in present:
                        raise ValueError(
                            f"a parameter of shape {tuple(parameter.shape)} of group {number} is no longer in "
                            "param_groups: it was replaced after this optimizer was made, and its state belongs to "
                            "the old one. Make a new optimizer, and load this one's state_dict()")


def _new_bucket(parameters: list[Tensor], positions: list[int], key: Key, state: Mapping[Tensor, Any]) -> Bucket:
    spec = key.spec
    bucket = Bucket(parameters, key.grad_dtype, spec.moment_dtype, spec.per_layer, spec.per_layer_dtype, spec.threads,
                    positions)
    counters = {id(values["step"]): values["step"] for values in map(state.get, parameters)
                if values and "step" in values}
    bucket.step.fill_(max((int(step) for step in counters.values()), default=0))
    return bucket


def _refuse_changed(parameter: Tensor, slot: Slot | None, state: Mapping[str, Any], spec: Spec, name: str) -> None:
    moment = state.get(spec.moment) if spec.moment else None
    was = slot.shape if slot is not None else parameter.shape if moment is None else moment.shape
    if was != parameter.shape:
        raise ValueError(f"{name} had shape {tuple(was)} when its state was made and has {tuple(parameter.shape)} now: "
                         "make a new optimizer")
    if slot is not None and slot.dtype is not parameter.dtype:
        raise ValueError(f"{name} was {slot.dtype} when its state was made and is {parameter.dtype} now: make a new "
                         "optimizer, and load this one's state_dict()")


def _set_multipliers(bucket: Bucket, group: Group) -> None:
    for name in MULTIPLIERS:
        value = group.get(name)
        if isinstance(value, (tuple, list)):
            value = [value[position] for position in bucket.positions]
        elif value is not None:
            value = [value] * len(bucket.positions)
        bucket.multipliers[name] = value


def _same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))


def parameter_name(groups: list[Group], number: int, position: int) -> str:
    """The parameter's name where the optimizer was given names, else "group.position"."""
    names = groups[number].get("param_names")
    return str(names[position]) if names else f"{number}.{position}"
