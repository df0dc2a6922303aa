"""Which bucket serves which parameter.

A bucket is one plan, so its layers share device and dtypes; and one call, so they share the group's hyper-parameters,
which may change every step. What differs from layer to layer (lr_mult, wd_mult, skip_larc) is in the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._bucket import Bucket, refuse_capture
from ._order import check_parameter
from ._shards import GivenParameters

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


class Held(NamedTuple):
    """An entry of a parameter's state as its bucket knows it."""

    name: str
    tensor: Tensor
    address: int


class Key(NamedTuple):
    """What the layers of a bucket have in common, beside their group."""

    device: torch.device
    dtype: torch.dtype
    grad_dtype: torch.dtype
    spec: Spec


@dataclass(eq=False)
class Slot:
    """A parameter's place, and what the parameter was when it was given."""

    name: str
    bucket: Bucket
    layer: int
    key: Key
    group: Group
    position: int  # in the group
    shape: torch.Size
    stride: tuple[int, ...]
    held: tuple[Held, ...] | None = None  # of its state; None: not looked at yet

    def is_for(self, parameter: Tensor) -> bool:
        key = self.key
        return (parameter.dtype is key.dtype and parameter.shape == self.shape and parameter.stride() == self.stride
                and parameter.device == key.device)

    def fits(self, parameter: Tensor, grad: Tensor, group: Group, position: int, spec: Spec) -> bool:
        key = self.key
        return (self.group is group and self.position == position and self.is_for(parameter)
                and grad.dtype is key.grad_dtype and grad.layout is torch.strided
                and (spec is key.spec or spec == key.spec))

    def holds(self, state: Mapping[str, Any]) -> bool:
        """Whether the state is still what the bucket knows: the same tensors in the same memory."""
        for name, tensor, address in self.held or ():
            if state.get(name) is not tensor or tensor.data_ptr() != address:
                return False
        return self.held is not None


Members = dict[Bucket, list[tuple[Slot, Tensor]]]


class Assignment:
    """Where the parameters of an optimizer are: given when a gradient is first seen, and anew where a parameter or its
    group has changed."""

    def __init__(self) -> None:
        self._slots: dict[Tensor, Slot] = {}
        self.given = GivenParameters()

    def slots(self) -> list[tuple[Tensor, Slot]]:
        return [*self._slots.items()]

    def members(self, groups: list[Group], group: Group, spec: Spec, state: Mapping[Tensor, Any]) -> Members:
        """The parameters of a group that have gradients, by bucket. Raises TypeError and ValueError (`_assign`)."""
        found = self._find(group, spec)
        if found is None:
            self._assign(groups, group, spec, state)
            found = self._find(group, spec)
            assert found is not None, "a parameter changed while it was looked at"
        for bucket in found:
            _set_multipliers(bucket, group)
        return found

    def _find(self, group: Group, spec: Spec) -> Members | None:
        found: Members = {}
        for position, parameter in enumerate(group["params"]):
            grad = parameter.grad
            if grad is None:
                continue
            slot = self._slots.get(parameter)
            if slot is None or not slot.fits(parameter, grad, group, position, spec):
                return None
            found.setdefault(slot.bucket, []).append((slot, parameter))
        return found

    def _assign(self, groups: list[Group], group: Group, spec: Spec, state: Mapping[Tensor, Any]) -> None:
        """Gives a place to every parameter of the group that takes part, or did before. Buckets that stay what they
        were are kept. Nothing is changed where a parameter is refused."""
        for device in {parameter.device for parameter in group["params"] if parameter.grad is not None}:
            refuse_capture(device)
        number = next(index for index, other in enumerate(groups) if other is group)
        taken = []
        for position, parameter in enumerate(group["params"]):
            slot, grad = self._slots.get(parameter), parameter.grad
            if grad is not None or (slot is not None and slot.is_for(parameter)):
                check_parameter(parameter, parameter_name(groups, number, position))
                taken.append((position, parameter))
        self.given.follow(groups, group)
        self._refuse_replaced(group, groups, spec, state)
        positions: dict[Key, list[int]] = {}
        for position, parameter in taken:
            slot, grad = self._slots.get(parameter), parameter.grad
            grad_dtype = grad.dtype if grad is not None else slot.key.grad_dtype  # type: ignore[union-attr]
            name = parameter_name(groups, number, position)
            _refuse_changed(parameter, slot, state.get(parameter) or {}, spec, name)
            key = Key(parameter.device, parameter.dtype, grad_dtype, spec)
            positions.setdefault(key, []).append(position)

        self._forget_absent(groups)
        for key, where in positions.items():
            parameters = [group["params"][position] for position in where]
            bucket = self._kept(parameters, key) or self._new_bucket(parameters, key)
            bucket.positions = where
            for layer, (position, parameter) in enumerate(zip(where, parameters, strict=True)):
                old = self._slots.get(parameter)
                held = old.held if old is not None and old.bucket is bucket and old.is_for(parameter) else None
                self._slots[parameter] = Slot(
                    parameter_name(groups, number, position), bucket, layer, key, group, position, parameter.shape,
                    parameter.stride(), held)

    def _kept(self, parameters: list[Tensor], key: Key) -> Bucket | None:
        """The bucket that has just these layers in this order already."""
        first = self._slots.get(parameters[0])
        if first is None or first.key != key or len(first.bucket.sizes) != len(parameters):
            return None
        for layer, parameter in enumerate(parameters):
            slot = self._slots.get(parameter)
            if slot is None or slot.bucket is not first.bucket or slot.layer != layer:
                return None
        return first.bucket

    def _new_bucket(self, parameters: list[Tensor], key: Key) -> Bucket:
        """Layers that took part before keep what was last said of them."""
        spec = key.spec
        bucket = Bucket(parameters, key.grad_dtype, spec.moment_dtype, spec.per_layer, spec.per_layer_dtype,
                        spec.depends_on_step, spec.threads)
        for layer, parameter in enumerate(parameters):
            old = self._slots.get(parameter)
            if old is not None:
                bucket.layer_stats[layer] = old.bucket.layer_stats[old.layer]
        return bucket

    def _forget_absent(self, groups: list[Group]) -> None:
        present = {parameter for group in groups for parameter in group["params"]}
        self._slots = {parameter: slot for parameter, slot in self._slots.items() if parameter in present}

    def _refuse_replaced(self, group: Group, groups: list[Group], spec: Spec, state: Mapping[Tensor, Any]) -> None:
        """Raises ValueError where a parameter without state stands in the place of one whose state is thereby lost."""
        if spec.moment is None and not spec.per_layer:
            return
        present = {parameter for other in groups for parameter in other["params"]}
        for old, slot in self._slots.items():
            if old in present or slot.group is not group or slot.position >= len(group["params"]) or not state.get(old):
                continue
            new = group["params"][slot.position]
            if new not in self._slots and not state.get(new):
                raise ValueError(
                    f"a parameter of shape {tuple(old.shape)} is no longer in param_groups: it was replaced after this "
                    "optimizer was made, and its state belongs to the old one. Make a new optimizer, and load this "
                    "one's state_dict(); or assign state[new] = state.pop(old)")


def _refuse_changed(parameter: Tensor, slot: Slot | None, state: Mapping[str, Any], spec: Spec, name: str) -> None:
    if spec.moment is None:
        return
    moment = state.get(spec.moment)
    was = slot.shape if slot is not None else moment.shape if isinstance(moment, Tensor) else parameter.shape
    if was != parameter.shape:
        raise ValueError(f"{name} had shape {tuple(was)} when its state was made and has {tuple(parameter.shape)} now: "
                         "make a new optimizer")
    if slot is not None and slot.key.dtype is not parameter.dtype:
        raise ValueError(f"{name} was {slot.key.dtype} when its state was made and is {parameter.dtype} now: make a "
                         "new optimizer, and load this one's state_dict()")


def _set_multipliers(bucket: Bucket, group: Group) -> None:
    for name in MULTIPLIERS:
        value = group.get(name)
        if isinstance(value, (tuple, list)):
            if len(value) != len(group["params"]):
                raise ValueError(f"{name} has {len(value)} values: it must be one number, or one for each of the "
                                 f"group's {len(group['params'])} parameters")
            value = [value[position] for position in bucket.positions]
        elif value is not None:
            value = [value] * len(bucket.positions)
        bucket.multipliers[name] = value


def parameter_name(groups: list[Group], number: int, position: int) -> str:
    """The parameter's name where the optimizer was given names, else "group.position"."""
    names = groups[number].get("param_names")
    return str(names[position]) if names else f"{number}.{position}"
