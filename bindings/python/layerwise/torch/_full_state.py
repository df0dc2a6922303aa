"""The state of whole layers, put together from the pieces in an engine's flat parameters and cut into pieces again: what a
checkpoint holds that another number of ranks goes on with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from ._assignment import Spec
from ._larc import LARC
from ._optimizer import LayerwiseOptimizer
from ._pieces import Piece, Pieces
from ._state import check_state, dtypes_of

WEIGHTS = "weights"
FullState = dict[str, dict[str, Any]]


class _Elements(NamedTuple):
    """A value for each of a piece's elements, as other entries are one for the layer."""

    values: Tensor


class _Whose(NamedTuple):
    """The optimizer that has the state, where its flat parameters' pieces lie, and what its entries are by its groups'
    numbers; None of an optimizer of another kind, whose entries are as their shapes say."""

    optimizer: Any
    pieces: Pieces
    specs: list[Spec] | None


def gathered(optimizer: Any, weights: bool) -> FullState:
    """By the layers' names, on the group's first rank; nothing on the others. Collective."""
    whose = _whose(optimizer)
    local = [(piece, _entries(whose, number, flat, piece, place, weights))
             for number, flat, pieces in whose.pieces.in_flats() for place, piece in enumerate(pieces) if piece.counted]
    ranks = whose.pieces.ranks
    group = ranks.get_group(0)
    is_first = dist.get_rank(group) == 0
    of_ranks: list[Any] | None = [None] * ranks.size() if is_first else None
    first = 0 if group is None else dist.get_global_rank(group, 0)
    dist.gather_object(local, of_ranks, dst=first, group=group)
    full: FullState = {} if of_ranks is None else {layer: {} for layer in ranks.union}
    for piece, entries in (each for of_rank in of_ranks or () for each in of_rank):
        for name, value in entries.items():
            if isinstance(value, _Elements):
                whole = full[piece.layer].setdefault(name, torch.zeros(piece.size, dtype=value.values.dtype))
                whole[piece.begin:piece.begin + piece.numel] = value.values
            else:
                full[piece.layer].setdefault(name, value)
    return full


def scattered(optimizer: Any, full: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ValueError or TypeError before anything is written, on every rank that was given the same."""
    whose = _whose(optimizer)
    _check(full, whose)
    made = []
    for number, flat, pieces in whose.pieces.in_flats():
        of_flat = [full[piece.layer] for piece in pieces]
        if whose.specs is None:
            names: Iterable[str] = {name: None for entries in of_flat for name in entries if name != WEIGHTS}
            state = {name: _alike(name, flat, pieces, of_flat) for name in names}
        else:
            spec = whose.specs[number]
            state = {name: _joined(name, dtype, flat, pieces, of_flat, name == spec.moment)
                     for name, dtype in dtypes_of(spec).items() if any(name in entries for entries in of_flat)}
        weights = _elements(flat.detach().clone(), pieces, [entries.get(WEIGHTS) for entries in of_flat])
        made.append((flat, state, weights))
    for flat, state, weights in made:
        whose.optimizer.state[flat] = state
        flat.detach().copy_(weights)
    if whose.specs is None:
        return
    for number, layer, parameter in whose.pieces.elsewhere():
        spec, entries = whose.specs[number], full[layer]  # its factor is told here too
        whose.pieces.inner.state[parameter] = {
            name: torch.zeros_like(parameter, dtype=dtype) if name == spec.moment
            else torch.as_tensor(entries[name], dtype=dtype, device=parameter.device).clone()
            for name, dtype in dtypes_of(spec).items() if name in entries}


def _whose(optimizer: Any) -> _Whose:
    if isinstance(optimizer, LARC) and isinstance(optimizer.optimizer, LayerwiseOptimizer):
        optimizer = optimizer.optimizer
    if not isinstance(optimizer, LayerwiseOptimizer):
        raise TypeError(f"optimizer is a {type(optimizer).__name__}: it must be one of this package's")
    if optimizer._pieces is None:
        raise RuntimeError("optimizer has no pieces: set_pieces says what its flat parameters hold")
    if isinstance(optimizer, LARC):
        return _Whose(optimizer.optimizer, optimizer._pieces, None)
    return _Whose(optimizer, optimizer._pieces, [optimizer._spec(group) for group in optimizer.param_groups])


def _entries(whose: _Whose, number: int, flat: Tensor, piece: Piece, place: int, weights: bool) -> dict[str, Any]:
    """A piece's, on the host, in memory of their own."""
    spec = None if whose.specs is None else whose.specs[number]
    of_piece = slice(piece.offset, piece.offset + piece.numel)
    entries: dict[str, Any] = {}
    for name, value in whose.optimizer.state.get(flat, {}).items():
        if not isinstance(value, Tensor) or (spec is not None and name not in dtypes_of(spec)):
            if spec is None:
                entries[name] = value
        elif (name == spec.moment) if spec is not None else (value.shape == flat.shape):
            entries[name] = _Elements(_on_host(value[of_piece]))
        else:
            entries[name] = _on_host(value if spec is None else value[place])
    if weights:
        entries[WEIGHTS] = _Elements(_on_host(flat[of_piece]))
    return entries


def _on_host(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)


def _check(full: Mapping[str, Mapping[str, Any]], whose: _Whose) -> None:
    """Of all layers, of which this rank may have none: every rank refuses the same."""
    if not isinstance(full, Mapping):
        raise TypeError(f"state is a {type(full).__name__}: it must be what full_state returned on the first rank")
    union, numbers = whose.pieces.ranks.union, whose.pieces.numbers
    lacking, strange = [name for name in union if name not in full], [name for name in full if name not in union]
    if lacking or strange:
        said = [f"has no {lacking[0]!r}" if lacking else "", f"has {strange[0]!r}, which no piece is of" if strange else ""]
        raise ValueError(f"state {' and '.join(filter(None, said))}: it must be what full_state returned on the first "
                         "rank, given to every rank")
    for layer, size in union.items():
        entries = {name: value for name, value in full[layer].items() if name != WEIGHTS}
        if whose.specs is not None:
            check_state(entries, torch.empty(size, device="meta"), whose.specs[numbers[layer]], layer)
        else:
            entries = {name: value for name, value in entries.items() if isinstance(value, Tensor) and value.dim() > 0}
            _check_sizes(layer, size, entries)
        _check_sizes(layer, size, {WEIGHTS: full[layer][WEIGHTS]} if WEIGHTS in full[layer] else {})


def _check_sizes(layer: str, size: int, entries: Mapping[str, Tensor]) -> None:
    for name, value in entries.items():
        if tuple(value.shape) != (size,):
            raise ValueError(f"{name} of {layer!r} has shape {tuple(value.shape)} in the state: it must be ({size},)")


def _elements(flat: Tensor, pieces: list[Piece], values: Iterable[Tensor | None]) -> Tensor:
    """A flat tensor, with the pieces' elements written into it."""
    for piece, value in zip(pieces, values, strict=True):
        if value is not None:
            flat[piece.offset:piece.offset + piece.numel] = value[piece.begin:piece.begin + piece.numel]
    return flat


def _joined(name: str, dtype: torch.dtype, flat: Tensor, pieces: list[Piece], of_flat: list[Mapping[str, Any]],
            is_moment: bool) -> Tensor:
    """An entry of this package's own: what a layer lacks is 0, as before its first step."""
    values = [entries.get(name) for entries in of_flat]
    if is_moment:
        return _elements(torch.zeros(flat.numel(), dtype=dtype, device=flat.device), pieces, values)
    return torch.tensor([0 if value is None else value for value in values], dtype=dtype, device=flat.device)


def _alike(name: str, flat: Tensor, pieces: list[Piece], of_flat: list[Mapping[str, Any]]) -> Any:
    """An entry of another optimizer: of each element where it has the layer's size, else one for all layers."""
    values = [entries.get(name) for entries in of_flat]
    sample = next(value for value in values if value is not None)
    if not isinstance(sample, Tensor):
        return sample
    if sample.dim() == 0:
        return sample.clone()  # on the host, as torch's optimizers keep numbers of steps
    return _elements(torch.zeros(flat.numel(), dtype=sample.dtype, device=flat.device), pieces, values)
