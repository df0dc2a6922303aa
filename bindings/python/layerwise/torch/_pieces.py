"""Layers in the flat parameters of an engine: many layers in one, and of a layer a piece.

An engine (DeepSpeed's ZeRO 1 and 2, Megatron's distributed optimizer) puts flat parameters in the place of those that
an optimizer was given. Once it is said which pieces of which layers lie where, an optimizer of the same kind steps the
pieces as parameters, views of the flat ones, their gradients and their state. LARC scales the pieces' gradients, and
what it goes around steps the flat parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from ._assignment import Spec
from ._multipliers import OPTION, SHARED_NAMES
from ._shards import PIECE, PieceOf
from ._state import dtypes_of

if TYPE_CHECKING:
    from ._optimizer import LayerwiseOptimizer


class Piece(NamedTuple):
    """What a flat parameter has of a layer.

    layer    the layer's name, the same on every rank
    size     elements of the whole layer
    begin    where in the layer the piece begins
    offset   where in the flat parameter it lies
    numel    its elements
    counted  False: a replica of what another rank counts
    """

    layer: str
    size: int
    begin: int
    offset: int
    numel: int
    counted: bool = True


class PieceRanks:
    """The ranks that hold the pieces, as a mesh of one dimension; union: every layer's size by its name."""

    ndim = 1

    def __init__(self, group: Any, device_type: str, union: dict[str, int]) -> None:
        self._group, self.device_type, self.union = group, device_type, union

    def size(self) -> int:
        return dist.get_world_size(self._group)

    def get_group(self, _: int) -> Any:
        return self._group


class _Held(NamedTuple):
    """A piece as the inner optimizer's parameter; flat: None where this rank has no element of the layer."""

    parameter: torch.nn.Parameter
    piece: Piece
    flat: Tensor | None
    place: int  # among the flat parameter's pieces


class Pieces:
    """The pieces of an optimizer's flat parameters, and the optimizer that steps them.

    Collective: raises ValueError or TypeError on every rank where one of them refuses its pieces.
    """

    def __init__(self, outer: LayerwiseOptimizer, pieces: Mapping[Tensor, Sequence[Piece]], group: Any) -> None:
        problem, local = None, []
        try:
            local = _checked(outer, pieces)
            for each in outer.param_groups:
                _options(each, outer._whose(each))
        except Exception as error:  # the others wait for what this rank has
            problem = error
        flats = [flat for each in outer.param_groups for flat in each["params"]]
        union, self.numbers = _union(local, problem, group)  # the group's number of every layer
        if problem is not None:
            raise problem
        device = flats[0].device if flats else torch.device("cpu")
        self.ranks = ranks = PieceRanks(group, device.type, union)
        dtype = flats[0].dtype if flats else torch.float32
        here = {piece.layer for _, piece, _, _ in local}
        self._held: list[list[_Held]] = [[] for _ in outer.param_groups]
        for number, piece, flat, place in local:
            self._held[number].append(_Held(_parameter(flat, piece, ranks), piece, flat, place))
        for layer, number in self.numbers.items():
            if layer not in here:
                piece = Piece(layer, union[layer], 0, 0, 0)
                empty = torch.empty(0, dtype=dtype, device=device)
                self._held[number].append(_Held(_parameter(empty, piece, ranks), piece, None, 0))
        self._outer = outer
        self.inner = outer._made_for_pieces(
            [{**self._options(group), "params": [(held.piece.layer, held.parameter) for held in of_group]}
             for group, of_group in zip(outer.param_groups, self._held, strict=True)])
        self._flats = [flat for _, _, flat, place in local if place == 0]
        self._addresses = [flat.data_ptr() for flat in self._flats]
        self._made_of: dict[int, tuple[Tensor, ...]] = {}  # by the flat parameter's identity, the tensors of its state
        self.inner._follow_cuts()

    def _options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        return _options(group, self._outer._whose(group))

    def in_flats(self) -> Iterator[tuple[int, Tensor, list[Piece]]]:
        """The number of its group, each flat parameter, and its pieces in the order of their places."""
        for number, of_group in enumerate(self._held):
            flats = {id(held.flat): held.flat for held in of_group if held.flat is not None}
            for flat in flats.values():
                held_by = sorted((held for held in of_group if held.flat is flat), key=lambda held: held.place)
                yield number, flat, [held.piece for held in held_by]

    def elsewhere(self) -> Iterator[tuple[int, str, Tensor]]:
        """The group's number of each layer of which this rank has no element, and the inner optimizer's parameter."""
        for number, of_group in enumerate(self._held):
            yield from ((number, held.piece.layer, held.parameter) for held in of_group if held.flat is None)

    def step(self, grad_scale: Any, found_inf: Any) -> None:
        self.bring()
        self.inner._step(grad_scale, found_inf)

    def bring(self) -> None:
        """The options, gradients and state of the flat parameters to their pieces."""
        with self.inner._exchanges.told():
            self.bring_untold()

    def bring_untold(self) -> None:
        """Where somebody else tells the ranks of a refusal."""
        outer, inner = self._outer, self.inner
        if [flat.data_ptr() for flat in self._flats] != self._addresses:
            raise ValueError("a flat parameter has moved to other memory since its pieces were set: set_pieces again")
        if len(outer.param_groups) != len(inner.param_groups):
            raise ValueError("parameter groups were added or taken away since the pieces were set: set_pieces again")
        for given, taken in zip(outer.param_groups, inner.param_groups, strict=True):
            taken.update(self._options(given))
        for of_group in self._held:
            flats = [held.flat for held in of_group if held.flat is not None] or self._flats
            any_gradient = any(flat.grad is not None for flat in flats) or not flats
            for held in of_group:
                if held.flat is None:
                    held.parameter.grad = torch.empty_like(held.parameter) if any_gradient else None
                else:
                    grad, end = held.flat.grad, held.piece.offset + held.piece.numel
                    held.parameter.grad = None if grad is None else grad.detach()[held.piece.offset:end]
        if outer._stateful:
            self._bring_state()

    def _bring_state(self) -> None:
        """The inner optimizer's state of a piece is views of the flat parameter's, which are vectors: moments of its
        elements, and one value for each piece."""
        for number, of_group in enumerate(self._held):
            spec = self.inner._spec(self.inner.param_groups[number])
            for held in of_group:
                flat = held.flat
                if flat is None:
                    continue
                if held.place == 0:
                    self._make_ready(flat, sum(other.flat is flat for other in of_group), spec)
                state = self._outer.state[flat]
                if id(self.inner.state.get(held.parameter, {}).get("_flat")) == id(self._made_of[id(flat)]):
                    continue
                piece = slice(held.piece.offset, held.piece.offset + held.piece.numel)
                self.inner.state[held.parameter] = {
                    "_flat": self._made_of[id(flat)],
                    **{name: state[name][piece] if name == spec.moment else state[name][held.place]
                       for name in dtypes_of(spec)}}

    def check(self, values: Mapping[str, Any], flat: Tensor, spec: Spec) -> None:
        """Raises ValueError for state that is not the flat parameter's."""
        count = sum(held.flat is flat for of_group in self._held for held in of_group)
        lacking = [name for name in dtypes_of(spec) if values.get(name) is None and name not in spec.per_layer[1:]]
        if values and lacking:
            raise ValueError(f"the state of a flat parameter has no {' and no '.join(lacking)}: give all of it, or "
                             "none")
        for name in dtypes_of(spec):
            value, size = values.get(name), flat.numel() if name == spec.moment else count
            if value is not None and (not isinstance(value, Tensor) or value.shape != (size,)):
                raise ValueError(f"{name} of a flat parameter is {getattr(value, 'shape', value)} in its state: it must "
                                 f"have shape ({size},), as its pieces are")

    def _make_ready(self, flat: Tensor, count: int, spec: Spec) -> None:
        state = self._outer.state[flat]
        self.check(state, flat, spec)
        for name, dtype in dtypes_of(spec).items():
            size = flat.numel() if name == spec.moment else count
            value = state.get(name)
            if value is None:
                value = torch.zeros(size, dtype=dtype, device=flat.device)
            elif value.dtype is not dtype or value.device != flat.device or not value.is_contiguous():
                value = value.detach().to(flat.device, dtype).contiguous()
            state[name] = value
        tensors = tuple(state[name] for name in dtypes_of(spec))
        known = self._made_of.get(id(flat), ())
        if len(known) != len(tensors) or not all(a is b for a, b in zip(known, tensors, strict=True)):
            self._made_of[id(flat)] = tensors


def _options(group: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """A group's options for its pieces. Raises ValueError for those that were one for each parameter."""
    options = {name: value for name, value in group.items() if name not in ("params", "param_names")}
    if whose == "ignore":
        options = {name: value for name, value in options.items() if name not in SHARED_NAMES}
    for name in (*SHARED_NAMES, "skip_larc"):
        if isinstance(options.get(name), tuple):
            raise ValueError(f"{name} of a parameter group has one value for each parameter, whose place flat "
                             "parameters have taken: give one number, and layers that differ a group of their own")
    return {**options, OPTION: "apply", "flatten": False}


def _parameter(flat: Tensor, piece: Piece, ranks: PieceRanks) -> torch.nn.Parameter:
    parameter = torch.nn.Parameter(flat.detach()[piece.offset:piece.offset + piece.numel])
    setattr(parameter, PIECE, PieceOf(ranks, piece.layer, piece.size, piece.begin, piece.counted))
    return parameter


def _checked(outer: LayerwiseOptimizer,
             pieces: Mapping[Tensor, Sequence[Piece]]) -> list[tuple[int, Piece, Tensor, int]]:
    """Each piece with the number of its group, its flat parameter and its place there."""
    found, seen = [], set()
    for number, group in enumerate(outer.param_groups):
        for position, flat in enumerate(group["params"]):
            name = f"flat parameter {number}.{position}"
            if flat not in pieces:
                raise ValueError(f"{name} has no pieces: they must be given for every parameter")
            if flat.dim() != 1 or not flat.is_contiguous():
                raise ValueError(f"{name} has shape {tuple(flat.shape)} and strides {flat.stride()}: it must be a "
                                 "vector")
            end = 0
            for place, piece in enumerate(sorted(pieces[flat], key=lambda piece: piece.offset)):
                if piece.offset < end or piece.numel < 1 or piece.offset + piece.numel > flat.numel():
                    raise ValueError(f"{piece} of {name}: it must have elements, lie in the {flat.numel()} of the "
                                     "parameter and share none with another")
                if piece.begin < 0 or piece.begin + piece.numel > piece.size:
                    raise ValueError(f"{piece} of {name}: it must lie in its layer")
                if piece.layer in seen:
                    raise ValueError(f"{piece.layer!r} has two pieces on this rank: it must have one at most")
                seen.add(piece.layer)
                end = piece.offset + piece.numel
                found.append((number, piece, flat, place))
    strange = len(pieces) - sum(len(group["params"]) for group in outer.param_groups)
    if strange > 0:
        raise ValueError(f"pieces are given for {strange} parameters more than the optimizer has")
    return found


def _union(local: Sequence[tuple[int, Piece, Tensor, int]], problem: Exception | None,
           group: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Every layer's size and group, of all ranks, in one order."""
    own = str(problem) if problem is not None else [(number, piece.layer, piece.size) for number, piece, _, _ in local]
    gathered: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(gathered, own, group=group)
    union: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for rank, said in enumerate(gathered):
        if isinstance(said, str):
            raise ValueError(f"rank {rank} of the group refuses its pieces: {said}")
        for number, layer, size in said:
            if union.setdefault(layer, size) != size or numbers.setdefault(layer, number) != number:
                raise ValueError(f"rank {rank} of the group has {layer!r} in parameter group {number} with {size} "
                                 f"elements, another in {numbers[layer]} with {union[layer]}")
    return union, numbers


