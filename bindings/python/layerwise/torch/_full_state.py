"""The state of whole layers, put together from the pieces in an engine's flat parameters and cut into pieces again: what a
checkpoint holds that another number of ranks goes on with."""

from __future__ import annotations

from collections import Counter
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
OfLayers = Mapping[str, Mapping[str, Any]]


class _Elements(NamedTuple):
    """An entry with a value for each of a piece's elements; any other entry is one value for the layer."""

    values: Tensor


class _Holder(NamedTuple):
    """The optimizer that keeps the state of the flat parameters, and the pieces in them.

    specs  by the number of the parameter group, what the entries are; None: an optimizer from elsewhere inside a LARC,
           whose entries are of each element where they have the flat parameter's shape
    """

    optimizer: Any
    pieces: Pieces
    specs: list[Spec] | None


def _holder_of(optimizer: Any) -> _Holder:
    if isinstance(optimizer, LARC) and isinstance(optimizer.optimizer, LayerwiseOptimizer):
        optimizer = optimizer.optimizer
    if not isinstance(optimizer, LayerwiseOptimizer):
        raise TypeError(f"optimizer is a {type(optimizer).__name__}: it must be one of this package's")
    if optimizer._pieces is None:
        raise RuntimeError("optimizer has no pieces: set_pieces says what its flat parameters hold")
    if isinstance(optimizer, LARC):
        return _Holder(optimizer.optimizer, optimizer._pieces, None)
    return _Holder(optimizer, optimizer._pieces, [optimizer._spec(group) for group in optimizer.param_groups])


# ---- From pieces to whole layers -------------------------------------------------------------------------------------


def gather(optimizer: Any, with_weights: bool) -> FullState:
    """By the layers' names, on the first rank of the pieces' group; nothing on the others. Collective. Raises RuntimeError
    on the first rank where the ranks' states are not those of one run."""
    holder = _holder_of(optimizer)
    local = [(piece, _entries(holder, number, flat, piece, place, with_weights))
             for number, flat, pieces in holder.pieces.in_flats() for place, piece in enumerate(pieces) if piece.counted]
    ranks = holder.pieces.ranks
    group = ranks.get_group(0)
    of_ranks: list[Any] | None = [None] * ranks.size() if dist.get_rank(group) == 0 else None
    dist.gather_object(local, of_ranks, dst=0 if group is None else dist.get_global_rank(group, 0), group=group)
    return {} if of_ranks is None else _joined([each for of_rank in of_ranks for each in of_rank], ranks.union)


def _entries(holder: _Holder, number: int, flat: Tensor, piece: Piece, place: int, with_weights: bool) -> dict[str, Any]:
    """A piece's, on the host, in memory of their own."""
    of_piece = slice(piece.offset, piece.offset + piece.numel)
    state = holder.optimizer.state.get(flat, {})
    entries: dict[str, Any]
    if holder.specs is None:
        entries = {name: value if not isinstance(value, Tensor) else _Elements(_on_host(value[of_piece]))
                   if value.shape == flat.shape else _on_host(value) for name, value in state.items()}
    else:
        spec = holder.specs[number]
        entries = {name: _Elements(_on_host(state[name][of_piece])) if name == spec.moment else _on_host(state[name][place])
                   for name in dtypes_of(spec) if name in state}
    return {**entries, WEIGHTS: _Elements(_on_host(flat[of_piece]))} if with_weights else entries


def _on_host(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)


def _joined(pieces: list[tuple[Piece, dict[str, Any]]], union: Mapping[str, int]) -> FullState:
    full: FullState = {layer: {} for layer in union}
    found: Counter[tuple[str, str]] = Counter()
    for piece, entries in pieces:
        of_layer = full[piece.layer]
        for name, value in entries.items():
            if isinstance(value, _Elements):
                whole = of_layer.setdefault(name, torch.zeros(piece.size, dtype=value.values.dtype))
                whole[piece.begin:piece.begin + piece.numel] = value.values
                found[piece.layer, name] += piece.numel
            elif not _equal(of_layer.setdefault(name, value), value):
                raise RuntimeError(f"{name} of {piece.layer!r} is {of_layer[name]} on one rank and {value} on another: "
                                   "their states are not of one run")
    for (layer, name), count in found.items():
        if count != union[layer]:
            raise RuntimeError(f"{name} of {layer!r} is there for {count} of its {union[layer]} elements: other ranks have "
                               "no state of their pieces")
    return full


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
    return bool(a == b)


# ---- From whole layers to pieces -------------------------------------------------------------------------------------


def scatter(optimizer: Any, full: OfLayers) -> None:
    """Raises ValueError or TypeError before anything is written."""
    holder = _holder_of(optimizer)
    _check(full, holder)
    made = []
    for number, flat, pieces in holder.pieces.in_flats():
        of_flat = [full[piece.layer] for piece in pieces]
        made.append((flat, pieces, of_flat, _foreign_state(flat, pieces, of_flat) if holder.specs is None else
                     _own_state(flat, pieces, of_flat, holder.specs[number])))
    for flat, pieces, of_flat, state in made:
        holder.optimizer.state[flat] = state
        _write(flat.detach(), pieces, [entries.get(WEIGHTS) for entries in of_flat])
    if holder.specs is None:
        return
    for number, layer, parameter in holder.pieces.elsewhere():  # this rank tells of their second moments too
        spec, entries = holder.specs[number], full[layer]
        holder.pieces.inner.state[parameter] = {
            name: torch.zeros_like(parameter, dtype=dtype) if name == spec.moment
            else torch.as_tensor(entries[name], dtype=dtype, device=parameter.device).clone()
            for name, dtype in dtypes_of(spec).items() if name in entries}


def _check(full: OfLayers, holder: _Holder) -> None:
    """Every layer, also those of which this rank has no element: so every rank refuses the same."""
    if not isinstance(full, Mapping):
        raise TypeError(f"state is a {type(full).__name__}: it must be what full_state returned on the first rank")
    union, numbers = holder.pieces.ranks.union, holder.pieces.numbers
    lacking, strange = [name for name in union if name not in full], [name for name in full if name not in union]
    if lacking or strange:
        said = [f"has no {lacking[0]!r}" if lacking else "", f"has {strange[0]!r}, which no piece is of" if strange else ""]
        raise ValueError(f"state {' and '.join(filter(None, said))}: it must be what full_state returned on the first "
                         "rank, given to every rank")
    without = [layer for layer in union if WEIGHTS not in full[layer]]
    if 0 < len(without) < len(union):
        raise ValueError(f"state has no weights of {without[0]!r}: it must have those of all layers, or of none")
    for layer, size in union.items():
        of_elements = {name: value for name, value in full[layer].items()
                       if name == WEIGHTS or (holder.specs is None and isinstance(value, Tensor) and value.dim() > 0)}
        for name, value in of_elements.items():
            if tuple(value.shape) != (size,):
                raise ValueError(f"{name} of {layer!r} has shape {tuple(value.shape)} in the state: it must be ({size},)")
        if holder.specs is not None:
            entries = {name: value for name, value in full[layer].items() if name != WEIGHTS}
            check_state(entries, torch.empty(size, device="meta"), holder.specs[numbers[layer]], layer)


def _own_state(flat: Tensor, pieces: list[Piece], of_flat: list[Mapping[str, Any]], spec: Spec) -> dict[str, Tensor]:
    """What a layer lacks is 0, as before its first step."""
    state = {}
    for name, dtype in dtypes_of(spec).items():
        values = [entries.get(name) for entries in of_flat]
        if all(value is None for value in values):
            continue
        if name == spec.moment:
            state[name] = _write(torch.zeros(flat.numel(), dtype=dtype, device=flat.device), pieces, values)
        else:
            state[name] = torch.tensor([0 if value is None else value for value in values], dtype=dtype,
                                       device=flat.device)
    return state


def _foreign_state(flat: Tensor, pieces: list[Piece], of_flat: list[Mapping[str, Any]]) -> dict[str, Any]:
    """An optimizer from elsewhere has one number of steps for a flat parameter, whatever its layers."""
    state: dict[str, Any] = {}
    for name in {name: None for entries in of_flat for name in entries if name != WEIGHTS}:
        values = [entries.get(name) for entries in of_flat]
        first = values[0]
        if isinstance(first, Tensor) and first.dim() > 0 and all(value is not None for value in values):
            state[name] = _write(torch.zeros(flat.numel(), dtype=first.dtype, device=flat.device), pieces, values)
            continue
        differs = next((at for at, value in enumerate(values) if not _equal(value, first)), None)
        if differs is not None:
            raise ValueError(f"{name} is {first} of {pieces[0].layer!r} and {values[differs]} of {pieces[differs].layer!r}, "
                             "which are now in one flat parameter: its optimizer keeps one for both")
        state[name] = first.clone() if isinstance(first, Tensor) else first  # on the host, as torch keeps steps
    return state


def _write(flat: Tensor, pieces: list[Piece], of_layers: Iterable[Tensor | None]) -> Tensor:
    """Each piece's elements of whole layers, where there are any, into a flat tensor, which it returns."""
    for piece, of_layer in zip(pieces, of_layers, strict=True):
        if of_layer is not None:
            flat[piece.offset:piece.offset + piece.numel] = of_layer[piece.begin:piece.begin + piece.numel]
    return flat
