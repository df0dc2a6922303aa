"""Checkpoints of other libraries' optimizers, read and written by the structure that the table has for each."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._peer_arguments import LABEL, Told, others_keys, peer_keys
from .._peer_structure import OF_A_PARAMETER, Place, expected, fill_in, leaf_key, leaves
from .._peers import (
    DECAYS,
    GROUPS,
    MAXIMUM,
    MAXIMUM_OF_EACH,
    MOMENT,
    NEGATIVE_MOMENT,
    RATE,
    SECOND,
    STATELESS,
    STEP,
    WEIGHT,
    Of,
)
from ._assignment import Group

_MOMENTS = (MOMENT, NEGATIVE_MOMENT)
_PLAIN = (bool, int, float, str, tuple, list, type(None))
INDICES = "_indices"  # what a group remembers of a checkpoint's order
_COUNTED = ("step", "exp_avg_sq")  # keys of groups that are state
_NORM_DTYPES = (torch.float16, torch.float32)  # of the parameters, in the order of apex's norms


class Entries(NamedTuple):
    """What a checkpoint holds. state: by number, as this package's state_dict has it. indices: of each group's
    parameters, in the peer's order where its checkpoints go by that; undecayed: of each group."""

    state: dict[int, dict[str, Any]]
    indices: list[tuple[int, ...]]
    rate: float | None
    undecayed: list[list[bool]]


def kept(asked: Told, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a group remembers of what its peer was told: plain values, which every checkpoint takes."""
    return {name: value for name, value in given.items() if isinstance(value, _PLAIN) and name not in _COUNTED}


def carried(asked: Told, group: Mapping[str, Any]) -> dict[str, Any]:
    """What a group keeps as it is: keys of users and frameworks, and the peer's that are not in every group."""
    known = peer_keys(asked)
    return {key: value for key, value in group.items() if key not in known
            or (key in asked.peer.group_keys and key in asked.peer.not_saved)}


# ---- Reading --------------------------------------------------------------------------------------------------------

def read_groups(asked: Told, groups: Sequence[Group], state: Any) -> list[Mapping[str, Any] | None]:
    """The groups of a checkpoint; None for each where the peer saves none. Raises ValueError, TypeError."""
    key = next((key for key, value in asked.peer.state.items() if value is GROUPS), None) if isinstance(
        asked.peer.state, Mapping) else None
    if key is None:
        return [None] * len(groups)
    if not isinstance(state, Mapping) or key not in state or "state" not in state:
        found = ", ".join(map(repr, state)) if isinstance(state, Mapping) else f"a {type(state).__name__}"
        raise ValueError(f"a checkpoint of {asked.name} has state and {key}; this one has {found}")
    saved = [dict(group) for group in state[key]]
    for group in saved:
        _refuse_others(asked, group)
    counts = [len(group["params"]) for group in saved if "params" in group]
    if len(saved) != len(groups) or counts not in ([], [len(group["params"]) for group in groups]):
        raise ValueError(f"the checkpoint of {asked.name} has groups of {counts or len(saved)} parameters; the "
                         f"optimizer has {[len(group['params']) for group in groups]}")
    return list(saved)


def _refuse_others(asked: Told, group: Mapping[str, Any]) -> None:
    """Raises ValueError for a group that was another optimizer's: LARS' momenta have one name and many meanings."""
    foreign = sorted(others_keys(asked) & set(group))
    if foreign:
        raise ValueError(f"a parameter group of the checkpoint has {foreign[0]}={group[foreign[0]]!r}, which "
                         f"{asked.name} does not have: this is another optimizer's")
    coefficient = None if asked.inner else asked.peer.options.get("trust_coefficient")
    if isinstance(coefficient, Of) and coefficient.arguments[0] not in group:
        raise ValueError(f"the checkpoint of {asked.name} has no {coefficient.arguments[0]!r} in a parameter group: "
                         "this is another optimizer's")


def read_state(asked: Told, optimizer: Any, state: Any, saved: Sequence[Mapping[str, Any] | None],
               groups: Sequence[Mapping[str, Any]], last_rate: float | None) -> Entries:
    """saved: the groups of the checkpoint; groups: with this package's options, as they will be once it is loaded.

    Raises ValueError, naming the peer, for leaves that are not its own, and for those that are missing."""
    given = {key: value for key, value in leaves(state) if not key.startswith(("param_groups/", "hypers/"))}
    places = _places(asked, optimizer, given)
    kinds = _kinds(asked, groups)
    without_moment = {number for number, known in enumerate(kinds) if MOMENT not in known}
    steps = {number: group["step"] for number, group in _group_of(optimizer, saved) if group and "step" in group}
    entries: dict[int, dict[str, Any]] = {place.number: {} for place in places}
    undecayed: dict[int, bool] = {}
    rate, step = None, None
    missing: dict[int, list[str]] = {}
    for key, kind, place in expected(asked.peer.state, places, asked):
        value = given.pop(key, None)
        if kind is STATELESS:
            continue
        if value is None:
            if place is not None and kind in kinds[place.number]:
                missing.setdefault(place.number, []).append(key)
            continue
        if kind is RATE:
            rate = _scalar(value, key)
        elif kind is STEP and place is None:
            step = int(_scalar(value, key))
        elif place is not None and kind is DECAYS:
            undecayed[place.number] = not value
        elif place is not None and kind is WEIGHT:
            _refuse_shape(asked, key, _tensor(value), place)
        elif place is not None:
            entry = "step" if kind is STEP else kinds[place.number].get(kind)
            if entry is not None:
                entries[place.number][entry] = _value(asked, kind, value, key, place, last_rate)
    if given:
        raise ValueError(f"a checkpoint of {asked.name} has no {next(iter(given))!r}: this is another optimizer's, or "
                         "its parameters were others")
    for number, lacking in missing.items():
        began = any(entry != "step" for entry in entries[number])
        if began or not asked.peer.has_groups:
            raise ValueError(f"the checkpoint of {asked.name} lacks {', '.join(map(repr, lacking))}")
    if asked.peer.norms_in_groups:
        _read_norms(asked, optimizer, saved, entries)
    for number, values in entries.items():
        count = steps.get(number, step)
        if (values or number in without_moment) and count is not None and "step" not in values:
            values["step"] = count
    order = iter(places)
    of_groups = [[next(order) for _ in group["params"]] for group in optimizer.param_groups]
    return Entries({number: values for number, values in entries.items() if values},
                   [tuple(place.order for place in group if _goes_by_index(asked)) for group in of_groups], rate,
                   [[undecayed.get(place.number, False) for place in group] for group in of_groups])


def _kinds(asked: Told, groups: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The entries of this package's state of each parameter, by what a template calls them."""
    return [kinds for group in groups for kinds in [_kinds_of(asked, group)] * len(group["params"])]


def _kinds_of(asked: Told, group: Mapping[str, Any]) -> dict[str, str]:
    if asked.peer.ours != "NovoGrad":
        return dict.fromkeys(_MOMENTS, "momentum_buffer") if group["momentum"] else {}
    found = {MOMENT: "first_moment", NEGATIVE_MOMENT: "first_moment", SECOND: "second_moment"}
    maximum = dict.fromkeys((MAXIMUM, MAXIMUM_OF_EACH), "max_second_moment")
    return {**found, **maximum} if group["amsgrad"] else found


def _value(asked: Told, kind: str, value: Any, key: str, place: Place, last_rate: float | None) -> Any:
    if kind is STEP:
        return int(_scalar(value, key))
    tensor = _tensor(value)
    if kind is MAXIMUM_OF_EACH:
        _refuse_shape(asked, key, tensor, place)
        if tensor.numel() and bool((tensor != tensor.reshape(-1)[0]).any()):
            raise ValueError(f"{key} of {asked.name} has several values: they are all the same in its checkpoints")
        return tensor.reshape(-1)[:1].sum()
    if kind not in _MOMENTS:
        return tensor.reshape(()) if tensor.numel() == 1 else tensor
    _refuse_shape(asked, key, tensor, place)
    tensor = -tensor if kind is NEGATIVE_MOMENT else tensor
    if last_rate is None:
        return tensor
    if last_rate == 0 and bool(tensor.count_nonzero()):
        raise ValueError(f"{key} of {asked.name} is not 0, and the learning rate of its last step is")
    return tensor / last_rate if last_rate else tensor


def _refuse_shape(asked: Told, key: str, tensor: Tensor, place: Place) -> None:
    if tensor.shape != place.parameter.shape:
        raise ValueError(f"{key} of {asked.name} has shape {tuple(tensor.shape)}, and its parameter "
                         f"{tuple(place.parameter.shape)}: were the parameters in another order?")


def _group_of(optimizer: Any, saved: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    number = 0
    for group, each in zip(optimizer.param_groups, saved, strict=True):
        for _ in group["params"]:
            yield number, each
            number += 1


def _read_norms(asked: Told, optimizer: Any, saved: Sequence[Any], entries: dict[int, dict[str, Any]]) -> None:
    """apex: a vector for the float16 and one for the float32 parameters, in the order of those that have a momentum."""
    number = 0
    for group, each in zip(optimizer.param_groups, saved, strict=True):
        norms = [[] if vector is None else list(_tensor(vector)) for vector in each.get("exp_avg_sq") or (None, None)]
        for parameter in group["params"]:
            entry = entries[number]
            if entry:
                kind = _NORM_DTYPES.index(parameter.dtype) if parameter.dtype in _NORM_DTYPES else 1
                if not norms[kind]:
                    raise ValueError(f"the checkpoint of {asked.name} lacks norms: exp_avg_sq[{kind}] is too short")
                value = norms[kind].pop(0).double()
                entry["second_moment"] = value.square() if each.get("norm_type", 2) == 2 else value
            number += 1
        if any(norms):
            raise ValueError(f"the checkpoint of {asked.name} has norms of parameters without exp_avg")


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    for name in ("asnumpy", "numpy"):
        if hasattr(value, name):
            value = getattr(value, name)()
            break
    if isinstance(value, (list, tuple, int, float)):
        return torch.tensor(value, dtype=torch.float32)
    return torch.from_numpy(np.array(value))


def _scalar(value: Any, key: str) -> float:
    tensor = _tensor(value)
    if tensor.numel() != 1:
        raise ValueError(f"{key} has {tensor.numel()} values: it must have one")
    return float(value) if isinstance(value, (int, float)) else float(tensor)


# ---- Where it is ----------------------------------------------------------------------------------------------------

def _places(asked: Told, optimizer: Any, given: Mapping[str, Any] | None) -> list[Place]:
    flat = [(group, position, parameter) for group in optimizer.param_groups
            for position, parameter in enumerate(group["params"])]
    names = [group["param_names"][position] if "param_names" in group else None for group, position, _ in flat]
    indices = _indices(asked, optimizer, names, [parameter for _, _, parameter in flat], given)
    return [Place(number, indices[number], names[number], group.get("peer_arguments", {}).get(LABEL), parameter)
            for number, (group, _, parameter) in enumerate(flat)]


def _indices(asked: Told, optimizer: Any, names: Sequence[str | None], parameters: Sequence[Tensor],
             given: Mapping[str, Any] | None) -> Sequence[int]:
    """The place of each parameter in the peer's own order. It has no groups: where there are several here, the order is
    that of the shapes in the checkpoint, if no shape is in two groups."""
    named = asked.arguments.get("param_idx2name")
    if named:
        by_name = {name: int(index) for index, name in named.items()}
        return [by_name[str(name)] for name in names]
    here = range(len(parameters))
    if not _goes_by_index(asked) or len(optimizer.param_groups) == 1:
        return here
    known = [index for group in optimizer.param_groups for index in group.get("peer_arguments", {}).get(INDICES, ())]
    if len(known) == len(parameters):
        return known
    if given is None:
        raise ValueError(f"{asked.name} has no groups and saves its state in the order of its parameters: give params "
                         "without groups")
    pattern = "|".join(re.escape(leaf_key(key)).replace(r"\{index\}", r"(\d+)") for key in asked.peer.state
                       if "{index}" in key)
    shapes = {int(found[found.lastindex or 0]): tuple(_tensor(value).shape) for key, value in given.items()
              if (found := re.fullmatch(pattern, key))}
    if not shapes and not any(_kinds(asked, optimizer.param_groups)):
        return here  # nothing that would have a place
    groups_with = Counter(shape for group in optimizer.param_groups
                          for shape in {tuple(parameter.shape) for parameter in group["params"]})
    if sorted(shapes.values()) != sorted(tuple(p.shape) for p in parameters) or max(groups_with.values()) > 1:
        raise ValueError(f"{asked.name} has no groups and saves its state in the order of its parameters, which the "
                         "shapes do not tell: give params without groups, or param_idx2name where it has that")
    left = {shape: sorted(index for index, its in shapes.items() if its == shape) for shape in shapes.values()}
    return [left[tuple(parameter.shape)].pop(0) for parameter in parameters]


def _goes_by_index(asked: Told) -> bool:
    return isinstance(asked.peer.state, Mapping) and any("{index}" in key for key in asked.peer.state)


# ---- Writing --------------------------------------------------------------------------------------------------------

_NOTHING = object()


def write_state(asked: Told, optimizer: Any, rate_inside: float | None) -> Any:
    """A checkpoint in the peer's structure; tensors are copies."""
    places = _places(asked, optimizer, None)
    return _Writer(asked, optimizer, places, rate_inside).write(asked.peer.state, places, None)


class _Writer:
    def __init__(self, asked: Told, optimizer: Any, places: Sequence[Place], rate_inside: float | None) -> None:
        self.asked, self.optimizer, self.places, self.rate_inside = asked, optimizer, places, rate_inside
        self.kinds = _kinds(asked, optimizer.param_groups)

    def write(self, template: Any, places: Sequence[Place], place: Place | None) -> Any:
        if isinstance(template, list):
            if template and isinstance(template[0], Mapping) and "{number}" in template[0]:
                found = [self.write(template[0]["{number}"], places, each) for each in places]
                return [{} if each is _NOTHING else each for each in found]
            return [self.write(below, places, place) for below in template]
        if not isinstance(template, Mapping):
            return self.value(template, place)
        written: dict[Any, Any] = {}
        for key, below in template.items():
            if key == "{label}":
                for label in self.asked.labels or {}:
                    written[label] = self.write(below, [each for each in places if each.label == label], place)
            elif OF_A_PARAMETER.search(key):
                written |= self.of_parameters(key, below, places)
            else:
                value = below if key == "type" else self.write(below, places, place)
                if value is not _NOTHING:
                    written[fill_in(key, None, self.asked)] = value
        return written if written or place is None else _NOTHING

    def of_parameters(self, key: str, below: Any, places: Sequence[Place]) -> dict[Any, Any]:
        written: dict[Any, Any] = {}
        for each in self.places if self.asked.labels else places:
            filled = fill_in(key, each, self.asked)
            if each in places:
                value = self.write(below, places, each)
                if value is not _NOTHING:
                    written[int(filled) if key in ("{number}", "{index}") else filled] = value
            else:
                written[filled] = {"type": "MaskedNode"}
        return written

    def value(self, kind: str, place: Place | None) -> Any:
        if kind is GROUPS:
            return self.groups()
        if kind is STEP:
            return self.step(self.places if place is None else [place])
        if kind is RATE:
            return torch.tensor([float(self.optimizer.param_groups[0]["lr"])])
        if place is None or kind in (STATELESS, DECAYS):
            return _NOTHING
        if kind is WEIGHT:
            return place.parameter.detach().clone()
        state, entry = self.optimizer.state.get(place.parameter) or {}, self.kinds[place.number].get(kind)
        if entry not in state and (self.asked.peer.has_groups or not (entry or self.asked.peer.keeps_unused_moment)):
            return _NOTHING
        value = state.get(entry)
        if kind not in _MOMENTS:
            value = torch.zeros(()) if value is None else value.detach().clone()
            return torch.full_like(place.parameter, float(value)) if kind is MAXIMUM_OF_EACH else value
        value = torch.zeros_like(place.parameter, dtype=torch.float32) if value is None else value.detach().clone()
        value = value if self.rate_inside is None else value * self.rate_inside
        return -value if kind is NEGATIVE_MOMENT else value

    def step(self, places: Sequence[Place]) -> Any:
        counts = [int(state["step"]) for each in places if (state := self.optimizer.state.get(each.parameter))]
        return max(counts) if counts else _NOTHING if len(places) == 1 and self.asked.peer.has_groups else 0

    def groups(self) -> list[dict[str, Any]]:
        asked, written, numbers = self.asked, [], iter(self.places)
        of_groups = [name for name in (*(asked.inner.arguments if asked.inner else asked.arguments),
                                       *asked.peer.group_keys) if name not in (*asked.peer.not_saved, *_COUNTED)]
        plain = {value.arguments[0]: name for name, value in asked.option_table.items()
                 if isinstance(value, Of) and value.is_the_argument}
        for group in self.optimizer.param_groups:
            told = {**asked.arguments, **group.get("peer_arguments", {})}
            own = {name: group[plain[name]] if name in plain else told[name] for name in of_groups}
            rare = {name: group[name] for name in asked.peer.group_keys
                    if name in asked.peer.not_saved and group.get(name) is not None}
            rare |= {name: told[name] for name in asked.peer.saved_if_set if told[name]}
            places = [next(numbers) for _ in group["params"]]
            counted = self.counted(group, places)
            with_params = {} if "hypers" in asked.peer.state else {"params": [each.number for each in places]}
            written.append({**own, **rare, **counted, **with_params})
        return written

    def counted(self, group: Group, places: Sequence[Place]) -> dict[str, Any]:
        keys: dict[str, Any] = {}
        if "step" in self.asked.peer.group_keys:
            count = self.step(places)
            keys["step"] = 0 if count is _NOTHING else count
        if self.asked.peer.norms_in_groups:
            norms: tuple[list[Tensor], list[Tensor]] = ([], [])
            for each in places:
                state = self.optimizer.state.get(each.parameter)
                if state:
                    value = state["second_moment"].double()
                    norms[_NORM_DTYPES.index(each.parameter.dtype)].append(
                        value.sqrt() if group["norm"] == "l2" else value)
            keys["exp_avg_sq"] = [torch.stack(part).float() if part else torch.zeros(0) for part in norms]
        return keys


# ---- The state of an inner optimizer --------------------------------------------------------------------------------

def inner_state(asked: Told, inner: Any, state: Any) -> dict[str, Any]:
    """A checkpoint of an inner optimizer as its load_state_dict takes it. Raises ValueError for entries that are not
    those that a step of it makes."""
    if not isinstance(state, Mapping) or not {"state", "param_groups"} <= set(state):
        raise ValueError(f"a checkpoint of {asked.name} is its optimizer's: state and param_groups")
    found: dict[int, dict[str, Any]] = {}
    for key, entries in state["state"].items():
        number = int(key)
        group = next((group for group in state["param_groups"] if number in group["params"]), None)
        if group is None:
            raise ValueError(f"a checkpoint of {asked.name} has state of parameter {number}, which is in no group")
        made = _made_by_a_step(inner, group)
        if set(entries) != set(made):
            raise ValueError(f"the state of parameter {number} has {', '.join(sorted(entries)) or 'nothing'}; "
                             f"{type(inner).__name__} in {asked.name} has {', '.join(sorted(made)) or 'none'}")
        found[number] = {name: _tensor(value).to(made[name].dtype) if isinstance(made[name], Tensor) else value
                         for name, value in entries.items()}
    return {**state, "state": found}


def _made_by_a_step(inner: Any, group: Mapping[str, Any]) -> dict[str, Any]:
    """The state of one parameter after a step of a new optimizer of the same class and options."""
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.ones(1)
    known = inspect.signature(type(inner)).parameters
    options = {key: value for key, value in {**inner.defaults, **group}.items()
               if key in known and key not in ("params", "capturable", "fused")}
    fresh = type(inner)([parameter], **options)
    fresh.step()
    return dict(fresh.state[parameter])
