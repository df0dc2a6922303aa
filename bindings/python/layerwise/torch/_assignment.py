"""Which bucket serves which parameter.

A bucket is one plan, so its layers share device and dtypes; and one call, so they share the group's hyper-parameters,
which may change every step, and what differs from layer to layer (lr_mult, wd_mult, skip_larc).
"""

from __future__ import annotations

import weakref
from collections import Counter
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


class Key(NamedTuple):
    """What the layers of a bucket have in common, beside their group."""

    device: torch.device
    dtype: torch.dtype
    grad_dtype: torch.dtype
    spec: Spec

    def plan(self) -> Key:
        """What matters to the plan: not which state there is."""
        return self._replace(spec=self.spec._replace(moment=None, per_layer=()))


@dataclass(eq=False)
class Slot:
    """A parameter's place, and what the parameter was when it was given. Keeps no parameter, group or state alive."""

    name: str
    parameter: weakref.ref[Tensor]
    bucket: Bucket
    layer: int
    key: Key
    group: int  # the identity of the group's dict
    position: int  # in the group
    shape: torch.Size
    stride: tuple[int, ...]
    known: tuple[tuple[str, weakref.ref[Tensor], int], ...] | None = None  # of its state: entries, where they lie

    def is_for(self, parameter: Tensor) -> bool:
        key = self.key
        return (parameter.dtype is key.dtype and parameter.shape == self.shape and parameter.stride() == self.stride
                and parameter.device == key.device)

    def fits(self, parameter: Tensor, grad: Tensor, group: Group, position: int, spec: Spec) -> bool:
        key = self.key
        return (self.group == id(group) and self.position == position and self.is_for(parameter)
                and grad.dtype is key.grad_dtype and grad.layout is torch.strided
                and (spec is key.spec or spec == key.spec))

    def knows(self, state: Mapping[str, Any]) -> bool:
        """Whether the state has the tensors that were found to be right, in the same memory."""
        for name, tensor, address in self.known or ():
            right = tensor()
            found: Any = state.get(name)
            if right is None or found is not right or found.data_ptr() != address:
                return False
        return self.known is not None


Members = dict[Bucket, list[tuple[Slot, Tensor]]]


class Assignment:
    """Where the parameters of an optimizer are: given when a gradient is first seen, and anew where a parameter or its
    group has changed."""

    def __init__(self) -> None:
        self._slots: dict[int, Slot] = {}  # by the parameter's identity, as long as it lives
        self.given = GivenParameters()

    def slot(self, parameter: Tensor) -> Slot | None:
        slot = self._slots.get(id(parameter))
        return slot if slot is not None and slot.parameter() is parameter else None

    def slots(self) -> list[tuple[Tensor, Slot]]:
        living = [(slot.parameter(), slot) for slot in self._slots.values()]
        return [(parameter, slot) for parameter, slot in living if parameter is not None]

    def members(self, groups: list[Group], group: Group, spec: Spec, state: Mapping[Tensor, Any]) -> Members:
        """The parameters of a group that have gradients, by bucket. Raises TypeError and ValueError (`_assign`)."""
        found = self._find(group, spec)
        if found is None:
            self._assign(groups, group, spec, state)
            found = self._find(group, spec)
            assert found is not None, "a parameter changed while it was looked at"
        return found

    def _find(self, group: Group, spec: Spec) -> Members | None:
        found: Members = {}
        for position, parameter in enumerate(group["params"]):
            grad = parameter.grad
            if grad is None:
                continue
            slot = self.slot(parameter)
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
        _refuse_repeated(groups, number)
        taken = []
        for position, parameter in enumerate(group["params"]):
            slot, grad = self.slot(parameter), parameter.grad
            if grad is not None or (slot is not None and slot.is_for(parameter)):
                check_parameter(parameter, self._name(groups, number, position))
                taken.append((position, parameter))
        self.given.follow(groups, group)
        self._refuse_replaced(group, groups, spec, state)
        positions: dict[Key, list[int]] = {}
        for position, parameter in taken:
            slot, grad = self.slot(parameter), parameter.grad
            grad_dtype = grad.dtype if grad is not None else slot.key.grad_dtype  # type: ignore[union-attr]
            _refuse_changed(parameter, slot, state.get(parameter) or {}, spec, self._name(groups, number, position))
            key = Key(parameter.device, parameter.dtype, grad_dtype, spec)
            positions.setdefault(key, []).append(position)

        self._forget_absent(groups)
        for key, where in positions.items():
            parameters = [group["params"][position] for position in where]
            bucket = self._kept(parameters, key) or self._new_bucket(parameters, key)
            for layer, (position, parameter) in enumerate(zip(where, parameters, strict=True)):
                old = self.slot(parameter)
                known = old.known if old is not None and old.key == key and old.is_for(parameter) else None
                self._slots[id(parameter)] = Slot(
                    self._name(groups, number, position), weakref.ref(parameter), bucket, layer, key, id(group),
                    position, parameter.shape, parameter.stride(), known)

    def _name(self, groups: list[Group], number: int, position: int) -> str:
        """As the parameter was given: positions change."""
        parameter = groups[number]["params"][position]
        return self.given.name(parameter) or parameter_name(groups, number, position)

    def _kept(self, parameters: list[Tensor], key: Key) -> Bucket | None:
        """The bucket that has just these layers in this order already."""
        first = self.slot(parameters[0])
        if first is None or first.key.plan() != key.plan() or len(first.bucket.sizes) != len(parameters):
            return None
        for layer, parameter in enumerate(parameters):
            slot = self.slot(parameter)
            if (slot is None or slot.bucket is not first.bucket or slot.layer != layer
                    or first.bucket.sizes[layer] != parameter.numel()):
                return None
        return first.bucket

    def _new_bucket(self, parameters: list[Tensor], key: Key) -> Bucket:
        """Layers that took part before keep what was last said of them."""
        spec = key.spec
        bucket = Bucket(parameters, key.grad_dtype, spec.moment_dtype, spec.per_layer_dtype, spec.depends_on_step,
                        spec.threads)
        for layer, parameter in enumerate(parameters):
            old = self.slot(parameter)
            if old is not None:
                bucket.layer_stats[layer] = old.bucket.layer_stats[old.layer]
        return bucket

    def _forget_absent(self, groups: list[Group]) -> None:
        present = {id(parameter) for group in groups for parameter in group["params"]}
        self._slots = {identity: slot for identity, slot in self._slots.items() if identity in present}

    def _refuse_replaced(self, group: Group, groups: list[Group], spec: Spec, state: Mapping[Tensor, Any]) -> None:
        """Raises ValueError where a parameter without state stands in the place of one whose state is thereby lost."""
        if spec.moment is None and not spec.per_layer:
            return
        present = {id(parameter) for other in groups for parameter in other["params"]}
        for old, slot in self.slots():
            if (id(old) in present or slot.group != id(group) or slot.position >= len(group["params"])
                    or not state.get(old)):
                continue
            new = group["params"][slot.position]
            if self.slot(new) is None and not state.get(new):
                raise ValueError(
                    f"a parameter of shape {tuple(old.shape)} is no longer in param_groups: it was replaced after this "
                    "optimizer was made, and its state belongs to the old one. Where the new one is to begin anew: del "
                    "optimizer.state[old]; where it goes on: optimizer.state[new] = optimizer.state.pop(old)")


def _refuse_repeated(groups: list[Group], number: int) -> None:
    counts = Counter(id(parameter) for group in groups for parameter in group["params"])
    for position, parameter in enumerate(groups[number]["params"]):
        if counts[id(parameter)] > 1:
            raise ValueError(f"{parameter_name(groups, number, position)} is in param_groups {counts[id(parameter)]} "
                             "times: a step would update it as often")


def _refuse_changed(parameter: Tensor, slot: Slot | None, state: Mapping[str, Any], spec: Spec, name: str) -> None:
    moment = state.get(spec.moment) if spec.moment is not None else None
    if not isinstance(moment, Tensor):
        return
    if moment.shape != parameter.shape:
        raise ValueError(f"{name} had shape {tuple(moment.shape)} when its state was made and has "
                         f"{tuple(parameter.shape)} now: make a new optimizer, or del optimizer.state[it]")
    if slot is not None and slot.key.dtype is not parameter.dtype:
        raise ValueError(f"{name} was {slot.key.dtype} when its state was made and is {parameter.dtype} now: make a "
                         "new optimizer, and load this one's state_dict()")


def parameter_name(groups: list[Group], number: int, position: int) -> str:
    """The parameter's name where the optimizer was given names, else "group.position"."""
    names = groups[number].get("param_names") or ()
    return str(names[position]) if position < len(names) else f"{number}.{position}"
