"""What one call of the library is made of: a bucket, the options that its layers share, and the layers' tensors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._assignment import MULTIPLIERS, Group, Member, Spec
from ._bucket import Bucket


class Accepted(NamedTuple):
    """A group's options as the library has taken them."""

    values: tuple[Any, ...]  # all that a step depends on but lr, the very objects
    parameters: int
    spec: Spec
    options: dict[str, Any]  # beside lr and multipliers, by the library's names
    text: str  # of spec and options: the same where all of them are equal
    multipliers: tuple[Any, ...] | None  # by MULTIPLIERS; None where none of them changes anything


class AllAccepted:
    """options, rates and labels have one entry for each group. Nobody changes them.

    parameters  of all groups
    labels      equal for groups that may share a call: a lr in a tensor is read when the step runs, so it must be the
                same tensor
    """

    def __init__(self, options: list[Accepted], rates: list[Any], parameters: list[Tensor],
                 labels: list[int] | None = None) -> None:
        self.options, self.rates, self.parameters, self._labels = options, rates, parameters, labels

    @property
    def labels(self) -> list[int]:
        if self._labels is None:
            seen: dict[Hashable, int] = {}
            self._labels = [
                seen.setdefault((each.text, id(lr), None) if isinstance(lr, Tensor) else (each.text, lr), len(seen))
                for each, lr in zip(self.options, self.rates, strict=True)]
        return self._labels


class Launch(NamedTuple):
    """The arguments that every operator takes, by their names."""

    bucket: int
    layers: Sequence[int]
    weights: Sequence[Tensor]
    grads: Sequence[Tensor]
    layer_stats: Tensor
    nonfinite_layers: Tensor
    grad_scale: Tensor | None
    found_inf: Tensor | None
    lr_tensor: Tensor | None
    lr_mult: Sequence[float]
    wd_mult: Sequence[float]
    skip_larc: Sequence[float]

    def arguments(self) -> dict[str, Any]:
        """By their names; not _asdict, into which the compiler of torch 2.8 does not look."""
        return {name: getattr(self, name) for name in Launch._fields}


class Tensors(NamedTuple):
    """Of the layers of one call, or of several, one after the other."""

    weights: list[Tensor]
    grads: list[Tensor]
    moments: list[Tensor]
    per_layer: list[Tensor]  # several for each layer, where there are several kinds
    steps: list[Tensor]
    layers: list[int]

    def by_kind(self, begin: int = 0, end: int | None = None) -> list[list[Tensor]]:
        """per_layer of these layers, a list for each kind."""
        end = len(self.steps) if end is None else end
        kinds = len(self.per_layer) // max(len(self.steps), 1)
        return [self.per_layer[begin * kinds + kind:end * kinds:kinds] for kind in range(kinds)]


class Call(NamedTuple):
    """entries: of each layer's state, those that it takes, in the order moment, values of a layer, step; group: the
    number of the first of its layers' groups; mesh: over which they are cut, None where they are whole; parameters:
    their identities."""

    bucket: Bucket
    lr: Any
    options: dict[str, Any]
    tensors: Tensors
    multipliers: list[list[float]]
    entries: tuple[str, ...]
    group: int
    mesh: Any
    parameters: list[int]


def neutral(name: str) -> float:
    """The multiplier that changes nothing."""
    return 0.0 if name == "skip_larc" else 1.0


def group_multipliers(given: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """A group's values, by MULTIPLIERS; None where none of them changes anything."""
    values = tuple(given[name] for name in MULTIPLIERS)
    changes = any(value is not None and (isinstance(value, tuple) or value != neutral(name))
                  for name, value in zip(MULTIPLIERS, values, strict=True))
    return values if changes else None


def call_multipliers(members: Sequence[Member], options: Sequence[Accepted]) -> list[list[float]]:
    """By MULTIPLIERS, one for each layer, or an empty list."""
    if all(options[number].multipliers is None for number in {number for _, _, number in members}):
        return [[] for _ in MULTIPLIERS]
    nothing = (None,) * len(MULTIPLIERS)
    rows = [[(value[slot.position] if isinstance(value, tuple) else value)
             for value in options[number].multipliers or nothing] for slot, _, number in members]
    return [[neutral(name) if value is None else float(value) for value in column]
            for name, column in zip(MULTIPLIERS, zip(*rows, strict=True), strict=True)]


def positions_multipliers(value: Any, positions: Sequence[int]) -> list[float]:
    """Of a group's parameters in these positions; one number for all, or none, as the option is."""
    if value is None:
        return []
    return [float(value[position]) for position in positions] if isinstance(value, tuple) else [float(value)]


def scalar_on(device: torch.device, value: Any) -> Tensor | None:
    """A float32 tensor on the device; None for what is no tensor."""
    return value.to(device=device, dtype=torch.float32).resolve_neg() if isinstance(value, Tensor) else None


def given_tensor(optimizer: Any, name: str) -> Tensor | None:
    """An attribute that GradScaler sets; None where it is not there. Raises TypeError for what is no tensor."""
    value = getattr(optimizer, name, None)
    if value is not None and not isinstance(value, Tensor):
        raise TypeError(f"{name} of the optimizer is {value!r}: it must be a tensor, as GradScaler sets it, or None")
    return value


def bring_lr(group: Group) -> Any:
    """The group's lr. Where the parameters were moved to a device after the optimizer was made, one for captured graphs
    follows."""
    lr = group["lr"]
    if isinstance(lr, Tensor) and group.get("capturable") and lr.device.type == "cpu":
        device = next((p.device for p in group["params"] if p.grad is not None), lr.device)
        with torch.no_grad():
            group["lr"] = lr = lr.to(device)
    return lr


def refuse_frozen_lr(lr: Any) -> None:
    """Raises RuntimeError; for a step that is captured."""
    if not isinstance(lr, Tensor):
        raise RuntimeError("a CUDA graph is being captured and lr is a number, which would be frozen in it: make "
                           "the optimizer with capturable=True, or lr a tensor on the device")
