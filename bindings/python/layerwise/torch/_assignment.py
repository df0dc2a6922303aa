"""Which bucket serves which parameter.

A bucket is one plan, so its layers share device and dtypes. A call is one step of it for layers that share their
hyper-parameters, whatever groups they are in; what may differ is what a plan has for each layer (lr_mult, wd_mult,
skip_larc). Groups whose options are equal share a bucket; where options change, so do the calls.
"""

from __future__ import annotations

import functools
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._bucket import Bucket, Shard, refuse_capture
from ._order import check_parameter
from ._shards import GivenParameters, are_cut_alike, is_counted, layer_size, local, mesh_of

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

    def entries(self) -> tuple[str, ...]:
        """The entries of a parameter's state that a step takes."""
        return (*((self.moment,) if self.moment is not None else ()), *self.per_layer, "step")


class Key(NamedTuple):
    """What the layers of a bucket have in common, beside their group."""

    device: torch.device
    dtype: torch.dtype
    grad_dtype: torch.dtype
    spec: Spec
    mesh: Any  # over which the layers are cut; None: they are whole

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
                and grad.dtype is key.grad_dtype and grad.layout is torch.strided and are_cut_alike(parameter, grad)
                and (spec is key.spec or spec == key.spec))

    def knows(self, state: Mapping[str, Any]) -> bool:
        """Whether the state has the tensors that were found to be right, in the same memory."""
        for name, tensor, address in self.known or ():
            right = tensor()
            found: Any = state.get(name)
            if right is None or found is not right or found.data_ptr() != address:
                return False
        return self.known is not None


Member = tuple[Slot, Tensor, int]  # with the number of its group
Calls = dict[int, dict[Bucket, list[Member]]]  # by label


class Assignment:
    """Where the parameters of an optimizer are: given when a gradient is first seen, and anew where a parameter or its
    group has changed, or other groups than before can share a call.

    engine_takes_layers_away  as of `GivenParameters`
    pinned  buckets that a compiled or captured step works on as long as the optimizer lives: none of their layers moves
            for the sake of fewer calls
    """

    def __init__(self, engine_takes_layers_away: bool = False) -> None:
        self._slots: dict[int, Slot] = {}  # by the parameter's identity, as long as it lives
        self.given = GivenParameters(engine_takes_layers_away)
        self.pinned: set[Bucket] = set()

    def slot(self, parameter: Tensor) -> Slot | None:
        slot = self._slots.get(id(parameter))
        return slot if slot is not None and slot.parameter() is parameter else None

    def name_at(self, groups: list[Group]) -> Callable[[int, int], str]:
        """Gives a parameter's name by the number of its group and its position."""
        return functools.partial(self._name, groups)

    def slots(self) -> list[tuple[Tensor, Slot]]:
        living = [(slot.parameter(), slot) for slot in self._slots.values()]
        return [(parameter, slot) for parameter, slot in living if parameter is not None]

    def calls(self, groups: list[Group], specs: Sequence[Spec], labels: Sequence[int],
              state: Mapping[Tensor, Any]) -> Calls:
        """The parameters that have gradients, by the calls that serve them: groups with equal labels may share one.
        specs and labels have one entry for each group. Raises TypeError and ValueError (`_assign`)."""
        found = self._find(groups, specs, labels)
        if found is None or not self._are_fewest(found):
            self._assign(groups, specs, labels, state)
            found = self._find(groups, specs, labels)
            assert found is not None, "a parameter changed while it was looked at"
        return found

    def _find(self, groups: list[Group], specs: Sequence[Spec], labels: Sequence[int]) -> Calls | None:
        found: Calls = {label: {} for label in labels}
        for number, (group, spec, label) in enumerate(zip(groups, specs, labels, strict=True)):
            buckets = found[label]
            for position, parameter in enumerate(group["params"]):
                grad = parameter.grad
                if grad is None:
                    continue
                slot = self.slot(parameter)
                if slot is None or not slot.fits(parameter, grad, group, position, spec):
                    return None
                buckets.setdefault(slot.bucket, []).append((slot, parameter, number))
        return found

    def _are_fewest(self, found: Calls) -> bool:
        """Whether no call works on a part of a bucket, and no two calls could be one."""
        buckets: set[Bucket] = set()
        kinds: set[tuple[int, Key]] = set()
        for label, parts in found.items():
            for bucket, members in parts.items():
                kind = (label, members[0][0].key)
                if bucket in self.pinned:
                    continue
                if (bucket in buckets or kind in kinds) and not bucket.capturing():
                    return False
                buckets.add(bucket)
                kinds.add(kind)
        return True

    def _assign(self, groups: list[Group], specs: Sequence[Spec], labels: Sequence[int],
                state: Mapping[Tensor, Any]) -> None:
        """Gives a place to every parameter that takes part, or did before. Buckets that stay what they were are kept.
        Nothing is changed where a parameter is refused."""
        for device in {parameter.device for group in groups for parameter in group["params"]
                       if parameter.grad is not None}:
            refuse_capture(device)
        _refuse_repeated(groups)
        taken = []
        for number, group in enumerate(groups):
            for position, parameter in enumerate(group["params"]):
                slot = self.slot(parameter)
                if parameter.grad is not None or (slot is not None and slot.is_for(parameter)):
                    check_parameter(parameter, self._name(groups, number, position))
                    taken.append((number, position, parameter))
            self.given.follow(groups, group)
        self._refuse_replaced(groups, specs, state)
        places: dict[tuple[Key, Hashable], list[tuple[int, int, Tensor]]] = {}
        for number, position, parameter in taken:
            slot, grad, spec = self.slot(parameter), parameter.grad, specs[number]
            grad_dtype = grad.dtype if grad is not None else slot.key.grad_dtype  # type: ignore[union-attr]
            _refuse_changed(parameter, slot, state.get(parameter) or {}, spec, self._name(groups, number, position))
            key = Key(parameter.device, parameter.dtype, grad_dtype, spec, mesh_of(parameter))
            stays = slot is not None and slot.key == key and slot.bucket in self.pinned
            places.setdefault((key, slot.bucket if slot is not None and stays else labels[number]), []).append(
                (number, position, parameter))

        self._forget_absent(groups)
        for (key, _), where in places.items():
            parameters = [parameter for _, _, parameter in where]
            bucket = self._kept(parameters, key) or self._new_bucket(parameters, key)
            for layer, (number, position, parameter) in enumerate(where):
                old = self.slot(parameter)
                known = old.known if old is not None and old.key == key and old.is_for(parameter) else None
                self._slots[id(parameter)] = Slot(
                    self._name(groups, number, position), weakref.ref(parameter), bucket, layer, key,
                    id(groups[number]), position, parameter.shape, parameter.stride(), known)

    def _name(self, groups: list[Group], number: int, position: int) -> str:
        """As the parameter was given: positions change."""
        parameter = groups[number]["params"][position]
        return self.given.name(parameter) or parameter_place(groups, number, position)

    def _kept(self, parameters: list[Tensor], key: Key) -> Bucket | None:
        """The bucket that has just these layers in this order already."""
        first = self.slot(parameters[0])
        if first is None or first.key.plan() != key.plan() or len(first.bucket.sizes) != len(parameters):
            return None
        for layer, parameter in enumerate(parameters):
            slot = self.slot(parameter)
            if (slot is None or slot.bucket is not first.bucket or slot.layer != layer
                    or first.bucket.sizes[layer] != local(parameter).numel()):
                return None
        return first.bucket

    def _new_bucket(self, parameters: list[Tensor], key: Key) -> Bucket:
        """Layers that took part before keep what was last said of them."""
        spec = key.spec
        shard = None if key.mesh is None else Shard([layer_size(parameter) for parameter in parameters],
                                                    [is_counted(parameter) for parameter in parameters])
        bucket = Bucket([local(parameter) for parameter in parameters], key.grad_dtype, spec.moment_dtype,
                        spec.per_layer_dtype, spec.depends_on_step, spec.threads, shard)
        for layer, parameter in enumerate(parameters):
            old = self.slot(parameter)
            if old is not None:
                bucket.layer_stats[layer] = old.bucket.layer_stats[old.layer]
        return bucket

    def _forget_absent(self, groups: list[Group]) -> None:
        present = {id(parameter) for group in groups for parameter in group["params"]}
        self._slots = {identity: slot for identity, slot in self._slots.items() if identity in present}

    def _refuse_replaced(self, groups: list[Group], specs: Sequence[Spec], state: Mapping[Tensor, Any]) -> None:
        """Raises ValueError where a parameter without state stands in the place of one whose state is thereby lost."""
        present = {id(parameter) for group in groups for parameter in group["params"]}
        by_identity = {id(group): (group["params"], spec) for group, spec in zip(groups, specs, strict=True)}
        for old, slot in self.slots():
            parameters, spec = by_identity.get(slot.group, ([], slot.key.spec))
            if (id(old) in present or slot.position >= len(parameters) or not (spec.moment or spec.per_layer)
                    or not state.get(old)):
                continue
            new = parameters[slot.position]
            if self.slot(new) is None and not state.get(new):
                raise ValueError(
                    f"a parameter of shape {tuple(old.shape)} is no longer in param_groups: it was replaced after this "
                    "optimizer was made, and its state belongs to the old one. Where the new one is to begin anew: del "
                    "optimizer.state[old]; where it goes on: optimizer.state[new] = optimizer.state.pop(old)")


def _refuse_repeated(groups: list[Group]) -> None:
    counts = Counter(id(parameter) for group in groups for parameter in group["params"])
    for number, group in enumerate(groups):
        for position, parameter in enumerate(group["params"]):
            count = counts[id(parameter)]
            if count > 1:
                place = parameter_place(groups, number, position)
                raise ValueError(f"{place} is in param_groups {count} times: a step would update it as often")


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
    return _given_name(groups[number], position) or f"{number}.{position}"


def parameter_place(groups: list[Group], number: int, position: int) -> str:
    """For messages: the parameter's name, else what it is in the caller's code."""
    return _given_name(groups[number], position) or f"param_groups[{number}]['params'][{position}]"


def _given_name(group: Group, position: int) -> str | None:
    names = group.get("param_names") or ()
    return str(names[position]) if position < len(names) else None
