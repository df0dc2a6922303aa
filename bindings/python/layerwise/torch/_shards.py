"""Whole layers and pieces of layers: a layer's norm needs the whole layer.

Sharding engines hand an optimizer pieces in three ways: tensors that say so (DTensor and its like), parameters with an
engine's mark, and flat partitions that take the place of the parameters that the optimizer was given. DTensors say of
what they are a piece, and are served (_exchange.py); the others are refused.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

WHAT_TO_DO = ("A layer's norm needs the whole layer, and one process sees a piece. Use an engine that leaves "
              "parameters whole (DistributedDataParallel, ZeroRedundancyOptimizer), or another optimizer for these")

PLAIN = (Tensor, torch.nn.Parameter)  # the types of tensors that do not say how they lie on ranks
# The attributes by which engines mark parameters that are pieces, or several layers in one.
_MARKS = {
    "_fsdp_flattened": "belongs to a FullyShardedDataParallel module, flattened and cut",
    "_is_flat_param": "is a FlatParameter of FullyShardedDataParallel, many layers in one",
    "_is_sharded": "is marked _is_sharded, cut by fairscale's FullyShardedDataParallel",
    "ds_tensor": "is cut by DeepSpeed's ZeRO stage 3",
}
# Whether DTensor.full_tensor() returns padding in place of a row, where fully_shard cuts unevenly what tensor
# parallelism has cut. Before torch 2.8 fully_shard refuses such layers.
_TORCH_LOSES_ROWS = "2.8" <= torch.__version__ < "2.10"
# The engines that know how many ranks share a layer that is marked tensor_model_parallel.
_TENSOR_PARALLEL_ENGINES = ("megatron.core.parallel_state", "megatron.mpu", "apex.transformer.parallel_state")


PIECE = "_layerwise_piece"  # the attribute by which a parameter of this package's own says what it is a piece of


class PieceOf(NamedTuple):
    """ranks: who share the layer, as a mesh; layer: its name; size: its elements; begin: of the piece in it."""

    ranks: Any
    layer: str
    size: int
    begin: int
    counted: bool


def piece_of(tensor: Tensor) -> PieceOf | None:
    piece: PieceOf | None = getattr(tensor, PIECE, None)
    return piece


def layer_size(parameter: Tensor) -> int:
    """Elements of the whole layer."""
    piece = piece_of(parameter)
    return parameter.numel() if piece is None else piece.size


def is_dtensor(tensor: Any) -> bool:
    """Whether it says how it lies on a mesh of ranks."""
    return all(hasattr(tensor, name) for name in ("placements", "device_mesh", "to_local"))


def mesh_of(tensor: Tensor) -> Any:
    """The mesh over which a layer is cut; None for a tensor that every rank holds whole."""
    if type(tensor) in PLAIN or not is_dtensor(tensor):
        piece = piece_of(tensor)
        return None if piece is None else piece.ranks
    mesh, placements = tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
    is_cut = any(not placement.is_replicate() and mesh.size(dimension) > 1
                 for dimension, placement in enumerate(placements))
    return mesh if is_cut else None


def is_counted(tensor: Any) -> bool:
    """Whether this rank counts its piece: of replicas the first."""
    piece = piece_of(tensor)
    if piece is not None:
        return piece.counted
    coordinate = tensor.device_mesh.get_coordinate()
    return all(coordinate[dimension] == 0 for dimension, placement in enumerate(tensor.placements)
               if placement.is_replicate())


def are_cut_alike(parameter: Any, grad: Any) -> bool:
    """Whether each rank has the same elements of both: all of them, or a piece."""
    if type(parameter) in PLAIN and type(grad) in PLAIN:
        return True
    if is_dtensor(grad) and is_dtensor(parameter) and _cut_of(grad) == _cut_of(parameter):
        return True
    return not any(is_dtensor(tensor) and mesh_of(tensor) is not None for tensor in (parameter, grad))


def _cut_of(tensor: Any) -> Any:
    """Equal where DTensors are cut alike. Placements alone do not say it: before torch 2.10 a strided shard equals a
    plain one, whose rows lie elsewhere."""
    return tensor.device_mesh, [(placement, _blocks(placement)) for placement in tensor.placements]


def piece_like(piece: Tensor, parameter: Any) -> Any:
    """A DTensor with this local tensor, cut as the parameter is."""
    kind = torch.distributed.tensor.DTensor
    return kind.from_local(piece, parameter.device_mesh, parameter.placements, run_check=False, shape=parameter.shape,
                           stride=parameter.stride())


def distribute(tensor: Tensor, mesh: Any, placements: Any) -> Any:
    """A DTensor of a whole tensor that every rank has, without a message. torch's own sends one in 2.6, and in 2.8 and
    2.9 gives ranks other rows than fully_shard does where it cuts unevenly what tensor parallelism has cut."""
    piece = _rank_piece(tensor.detach(), mesh, placements).clone()
    kind = torch.distributed.tensor.DTensor
    return kind.from_local(piece, mesh, placements, run_check=False, shape=tensor.shape, stride=tensor.stride())


def _rank_piece(tensor: Tensor, mesh: Any, placements: Any) -> Tensor:
    """What this rank has of a whole tensor. Raises NotImplementedError for shards of a kind that is not torch's, since
    only those who made the kind know which rows are whose."""
    kinds: Any = torch.distributed.tensor.placement_types
    coordinate = mesh.get_coordinate()
    for dimension, placement in enumerate(placements):
        if not _is_shard(placement):
            continue
        if type(placement) not in (kinds.Shard, kinds._StridedShard):
            kind = f"{type(placement).__module__}.{type(placement).__qualname__}"
            raise NotImplementedError(f"which part of a tensor of shape {tuple(tensor.shape)} each rank has is not known: "
                                      f"{kind} is no placement of torch's. Give state cut as the parameter is")
        # A strided shard has its part of each of the blocks that dimensions on the right have cut before.
        blocks = tensor.chunk(_blocks(placement), placement.dim)
        tensor = torch.cat([_part(block, placement.dim, mesh.size(dimension), coordinate[dimension])
                            for block in blocks], placement.dim)
    return tensor


def _part(tensor: Tensor, along: int, parts: int, number: int) -> Tensor:
    """One of torch.chunk's parts, which are equal but for the last ones; empty where there are fewer."""
    size = tensor.shape[along]
    each = -(-size // parts)
    first = min(each * number, size)
    return tensor.narrow(along, first, min(each, size - first))


def _is_shard(placement: Any) -> bool:
    """Shard or its strided form, which in some versions of torch is no Shard."""
    return hasattr(placement, "dim")


def _blocks(placement: Any) -> int:
    """Of a strided shard, in how many blocks it takes its parts; of every other placement 1."""
    blocks: int = getattr(placement, "split_factor", 1)
    return blocks


def as_cut(tensor: Tensor, parameter: Any) -> Any:
    """The tensor, a whole one or a DTensor of another cut, as a DTensor that is cut as the parameter is. Raises as
    `check_cut`."""
    check_cut(tensor, parameter)
    return tensor if _is_cut_as(tensor, parameter) else distribute(
        whole(tensor), parameter.device_mesh, parameter.placements)


def check_cut(tensor: Tensor, parameter: Any, name: str = "state") -> None:
    """Raises as `check_whole` where `as_cut` would put the tensor together, and ValueError where this rank's piece of
    the parameter is not the one that its placements say."""
    if _is_cut_as(tensor, parameter):
        held = tensor.to_local().shape  # type: ignore[attr-defined]
    else:
        check_whole(tensor, name)
        held = _piece_shape(tensor.shape, parameter)
    mine = local(parameter).shape
    if held != mine:
        raise ValueError(f"{name}, of shape {tuple(tensor.shape)}, would have {tuple(held)} on this rank with "
                         f"{parameter.placements}, and its parameter has {tuple(mine)}: they must be cut alike")


def _is_cut_as(tensor: Any, parameter: Any) -> bool:
    return is_dtensor(tensor) and bool(_cut_of(tensor) == _cut_of(parameter))


def _piece_shape(shape: Any, like: Any) -> torch.Size:
    """What this rank has of a whole tensor of this shape that is cut like a DTensor."""
    return _rank_piece(torch.empty(shape, device="meta"), like.device_mesh, like.placements).shape


def write(there: Any, value: Any) -> Any:
    """Writes a tensor, a whole one or a DTensor of any cut, into the memory of one of its shape. Raises as `as_cut`."""
    local(there).copy_(local(as_cut(value, there)) if is_dtensor(there) else whole(value))
    return there


def whole(tensor: Any) -> Any:
    """Of a DTensor all of it; anything else as it is. Raises as `check_whole`."""
    check_whole(tensor)
    return tensor.full_tensor() if is_dtensor(tensor) else tensor


def check_whole(tensor: Any, name: str = "a tensor") -> None:
    """Raises NotImplementedError for a DTensor of which torch would lose rows in putting it together, ValueError for one
    of which this rank's piece is not the one that the placements say: torch does not look."""
    if not is_dtensor(tensor):
        return
    shape = tuple(tensor.shape)
    cut = f"{tensor.placements} over {tuple(tensor.device_mesh.shape)} ranks"
    strided = [placement for placement in tensor.placements if hasattr(placement, "split_factor")]
    if _TORCH_LOSES_ROWS and any(shape[each.dim] % _parts(tensor, each.dim) for each in strided):
        raise NotImplementedError(
            f"{name}, of shape {shape}, is cut unevenly by {cut}: torch {torch.__version__} would lose rows in putting "
            "it together (DTensor.full_tensor). Give it whole or cut as the parameter is, or use torch 2.10")
    if type(tensor) is torch.distributed.tensor.DTensor:  # others may know better what they have
        held, expected = tensor.to_local().shape, _piece_shape(shape, tensor)
        if held != expected:
            raise ValueError(f"{name}, of shape {shape}, is cut by {cut}, and this rank has {tuple(held)} of it: it must "
                             f"be {tuple(expected)} to be put together. Give it whole or cut as the parameter is")


def _parts(tensor: Any, along: int) -> int:
    """Into how many parts a DTensor is cut along one of its dimensions."""
    return math.prod(tensor.device_mesh.size(dimension) for dimension, placement in enumerate(tensor.placements)
                     if _is_shard(placement) and placement.dim == along)


def local(tensor: Tensor, name: str = "a parameter") -> Tensor:
    """The tensor itself, or what this rank has of a DTensor.

    Raises TypeError for a DTensor whose sum is still to be made, a sharded tensor of another kind, and a wrapper, whose
    values lie in other tensors.
    """
    if type(tensor) in PLAIN:
        return tensor
    kind = type(tensor).__name__
    if is_dtensor(tensor):
        mesh, placements = tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
        for dimension, placement in enumerate(placements):
            is_known = placement.is_replicate() or _is_shard(placement)
            if not is_known and mesh.size(dimension) > 1:
                raise TypeError(f"{name} is a {kind} with {placement} over {mesh.size(dimension)} ranks: it must be "
                                "replicated or sharded")
        if mesh.get_coordinate() is None:
            raise TypeError(f"{name} is a {kind} on a mesh that this rank is no part of: an optimizer takes what its "
                            "rank has a part of")
        with torch.no_grad():
            return local(_arrived(tensor.to_local()), name)  # type: ignore[attr-defined]
    if hasattr(tensor, "local_shards") or hasattr(tensor, "to_local"):
        raise TypeError(f"{name} is a {kind}, a sharded layer. {WHAT_TO_DO}")
    if hasattr(tensor, "__tensor_flatten__") or (tensor.layout is torch.strided and _has_no_memory(tensor)):
        raise TypeError(f"{name} is a {kind}, a wrapper whose values lie in other tensors: layerwise takes tensors "
                        "with memory of their own")
    return tensor


def _arrived(tensor: Any) -> Any:
    """What an asynchronous collective has brought."""
    return tensor.wait() if hasattr(tensor, "trigger_wait") else tensor


def _has_no_memory(tensor: Tensor) -> bool:
    return tensor.numel() > 0 and tensor.device.type != "meta" and tensor.data_ptr() == 0


def refuse_piece(parameter: Tensor, name: str) -> None:
    """Raises TypeError for a parameter that says, or that an engine has marked, that it is no whole layer."""
    local(parameter, name)
    for mark, what in _MARKS.items():
        if getattr(parameter, mark, None) not in (None, False):
            raise TypeError(f"{name} {what}. {WHAT_TO_DO}")
    if getattr(parameter, "tensor_model_parallel", False) and tensor_parallel_ranks() > 1:
        raise TypeError(f"{name} is marked tensor_model_parallel, and {tensor_parallel_ranks()} ranks may share it. "
                        f"{WHAT_TO_DO}")


def tensor_parallel_ranks() -> int:
    """As the engine says, where one is there: Megatron marks its layers even where one rank holds them whole. Without
    one nobody can say, and all ranks may."""
    for engine in map(sys.modules.get, _TENSOR_PARALLEL_ENGINES):
        if engine is not None and getattr(engine, "model_parallel_is_initialized", lambda: False)():
            return int(engine.get_tensor_model_parallel_world_size())
    return _ranks()


def _ranks() -> int:
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if there else 1


class _Given(NamedTuple):
    parameter: weakref.ref[Tensor]
    shape: torch.Size | None  # None where it has none yet
    name: str | None


class GivenParameters:
    """The parameters that an optimizer was given, with their shapes, so that pieces in their place are noticed, and
    their names. Keeps none of them alive.

    engine_takes_layers_away  whole ones, which are other ranks': vectors may be what is left
    """

    def __init__(self, engine_takes_layers_away: bool = False) -> None:
        self._engine_takes_layers_away = engine_takes_layers_away
        self._given: dict[int, _Given] = {}  # by identity

    def _find(self, parameter: Tensor) -> _Given | None:
        given = self._given.get(id(parameter))
        return given if given is not None and given.parameter() is parameter else None

    def name(self, parameter: Tensor) -> str | None:
        """The name that the parameter was given with, wherever it stands now."""
        given = self._find(parameter)
        return None if given is None else given.name

    def add(self, group: Mapping[str, Any]) -> None:
        """Raises TypeError for trained parameters that are sharded tensors; nothing is added then."""
        for position, parameter in enumerate(group["params"]):
            if parameter.requires_grad and not is_lazy(parameter):
                local(parameter, _name(group, position))
        for position, parameter in enumerate(group["params"]):
            name = _name(group, position) if group.get("param_names") else None
            self._given[id(parameter)] = _Given(weakref.ref(parameter), _shape(parameter), name)

    def follow(self, groups: Sequence[Mapping[str, Any]], group: Mapping[str, Any]) -> None:
        """Accepts parameters that were added to a group, or taken from it, or that stand in the place of others.

        Raises ValueError where those are flat partitions: a parameter that changed its shape; vectors in the place of
        matrices, fewer or more than one process of them in the place of vectors of other lengths.
        """
        for position, parameter in enumerate(group["params"]):
            given = self._find(parameter)
            if given is None or given.shape is None or given.shape == _shape(parameter) or not given.shape.numel():
                continue
            raise ValueError(f"{given.name or _name(group, position)} had shape {tuple(given.shape)} when it was given "
                             f"and has {tuple(parameter.shape)} now: make a new optimizer. Where an engine has cut it: "
                             f"{WHAT_TO_DO}")
        if any(self._find(parameter) is None for parameter in group["params"]):
            present = [parameter for other in groups for parameter in other["params"]]
            self._refuse_flat_partitions(present)
            self._given = {id(each): self._find(each) or _Given(weakref.ref(each), _shape(each), None)
                           for each in present}

    def _refuse_flat_partitions(self, present: Sequence[Tensor]) -> None:
        known = {id(parameter) for parameter in present if self._find(parameter) is not None}
        missing = [given for identity, given in self._given.items()
                   if identity not in known and given.shape is not None]
        if not missing:
            return
        vacant = Counter(given.shape for given in missing if given.shape is not None)
        vectors = Counter(parameter.shape for parameter in present
                          if id(parameter) not in known and _shape(parameter) is not None and parameter.dim() == 1)
        others = vectors - vacant
        fewer = len(present) < len(self._given)
        vacant_vectors = sum(count for shape, count in (vacant - vectors).items() if len(shape) == 1)
        replaced_one_by_one = not fewer and _ranks() == 1 and others.total() <= vacant_vectors
        joined = (fewer and not self._engine_takes_layers_away and all(parameter.dim() <= 1 for parameter in present)
                  and max(map(len, vacant)) > 1)
        linked = any(hasattr(given.parameter(), "_hp_mapping") for given in missing)  # DeepSpeed's ZeRO stages 1 and 2
        if vectors and (joined or linked or (others and not replaced_one_by_one)):
            flat = next(iter(others or vectors))
            raise ValueError(f"a parameter of shape {tuple(flat)} stands in the place of {len(missing)} others, the "
                             f"first of shape {tuple(next(iter(vacant)))}: a flat partition, as DeepSpeed and Megatron "
                             f"make them. {WHAT_TO_DO}")


def _shape(parameter: Tensor) -> torch.Size | None:
    return None if is_lazy(parameter) or parameter.is_nested else parameter.shape


def _name(group: Mapping[str, Any], position: int) -> str:
    names = group.get("param_names") or ()
    return str(names[position]) if position < len(names) else f"parameter {position}"
