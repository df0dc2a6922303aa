"""Which pieces of which layers an engine's flat parameters hold, for `set_pieces` of this package's optimizers:

    optimizer.set_pieces(*layerwise.torch.pieces.deepspeed(engine.optimizer))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from . import _full_state
from ._pieces import Piece
from ._shards import tensor_parallel_ranks

__all__ = ["Piece", "awaited", "deepspeed", "full_state", "load_full_state", "megatron"]

PiecesAndGroup = tuple[dict[Tensor, list[Piece]], Any]


@contextmanager
def awaited(optimizer: Any) -> Iterator[None]:
    """While an engine takes the optimizer over: a step that it asks for, to have state made, does nothing.

        with layerwise.torch.pieces.awaited(optimizer):
            engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)

    Raises RuntimeError for a step whose gradients are not all 0.
    """
    optimizer._awaits_pieces = True
    try:
        yield
    finally:
        optimizer._awaits_pieces = False


def deepspeed(optimizer: Any) -> PiecesAndGroup:
    """Of DeepSpeed's ZeRO stages 1 and 2, `engine.optimizer`. Raises TypeError for another."""
    lacking = [name for name in ("bit16_groups", "single_partition_of_fp32_groups", "real_dp_process_group")
               if not hasattr(optimizer, name)]
    if lacking:
        raise TypeError(f"optimizer is a {type(optimizer).__name__} without {', '.join(lacking)}: it must be that of "
                        "an engine of DeepSpeed's ZeRO stage 1 or 2")
    names = getattr(optimizer, "param_names", {})
    pieces: dict[Tensor, list[Piece]] = {}
    for number, (parameters, flat) in enumerate(
            zip(optimizer.bit16_groups, optimizer.single_partition_of_fp32_groups, strict=True)):
        pieces[flat] = []
        for position, parameter in enumerate(parameters):
            mapping = getattr(parameter, "_hp_mapping", None)
            if mapping is None:
                continue  # another rank has all of it
            in_layer, in_flat = mapping.lp_fragment_address, mapping.hp_fragment_address
            name = str(names.get(parameter, f"{number}.{position}"))
            pieces[flat].append(Piece(name, parameter.numel(), in_layer.start, in_flat.start, in_flat.numel))
    return pieces, optimizer.real_dp_process_group[0]


def megatron(optimizer: Any) -> PiecesAndGroup:
    """Of Megatron-core's DistributedOptimizer, whose shards are a parameter each. Raises TypeError for another.

    Its tensor parallel layers are pieces of pieces, and are refused: norms of those cross two groups of ranks.
    """
    if not hasattr(optimizer, "_get_model_param_range_map"):
        raise TypeError(f"optimizer is a {type(optimizer).__name__}: it must be Megatron-core's DistributedOptimizer")
    pieces: dict[Tensor, list[Piece]] = {}
    shards = _megatron_shards(optimizer)
    for name, parameter, shard in shards:
        if getattr(parameter, "tensor_model_parallel", False) and getattr(parameter, "partition_dim", -1) >= 0:
            if tensor_parallel_ranks() > 1:
                raise TypeError(f"{name} is cut by tensor parallelism too: its norm crosses two groups of ranks")
        if shard is None:
            raise TypeError(f"{name} has no float32 shard: the engine's precision-aware optimizer keeps it elsewhere")
        place = optimizer._get_model_param_range_map(parameter)["param"]
        pieces[shard] = [Piece(name, parameter.numel(), place.start, 0, place.end - place.start)]
    return pieces, optimizer.data_parallel_group


def full_state(optimizer: Any, weights: bool = False) -> dict[str, dict[str, Any]]:
    """The state of whole layers, for a checkpoint that any number of ranks can load. An engine's own checkpoint has the
    state of flat parameters, as they are cut for the ranks that saved it.

    optimizer  of this package, after `set_pieces`; of a LARC, the state of the optimizer inside it
    weights    also the values of the flat parameters: the float32 weights, where those of the model are rounded from them

    Every rank of the pieces' group calls it. The group's first rank gets, by the layers' names, tensors on the CPU: of a
    moment a vector of the layer's elements, of anything else one value. The others get an empty dict. Raises RuntimeError
    on the first rank where the ranks' states are not those of one run.

        state = layerwise.torch.pieces.full_state(optimizer)
        engine.save_checkpoint(folder, client_state={"layerwise": state})
    """
    return _full_state.gather(optimizer, weights)


def load_full_state(optimizer: Any, state: Mapping[str, Mapping[str, Any]]) -> None:
    """Cuts the state of whole layers into the pieces of this rank, however many ranks there are. Every rank calls it with
    what `full_state` returned on the first.

        _, client = engine.load_checkpoint(folder, load_optimizer_states=False)
        layerwise.torch.pieces.load_full_state(optimizer, client["layerwise"])

    Raises ValueError or TypeError, before anything is written, where the layers are others or the state is another
    optimizer's.
    """
    _full_state.scatter(optimizer, state)


def _megatron_shards(optimizer: Any) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Names, by the place in the engine's buffers, the same on every rank; the model's parameters; what is stepped."""
    order = {parameter: f"{number}.{place}" for number, buffer in enumerate(optimizer.buffers)
             for place, parameter in enumerate(buffer.params)}
    for models, mains in ((optimizer.model_float16_groups, optimizer.shard_fp32_from_float16_groups),
                          (optimizer.model_fp32_groups, optimizer.shard_fp32_groups)):
        for parameters, shards in zip(models, mains, strict=True):
            for parameter, shard in zip(parameters, shards, strict=True):
                yield order[parameter], parameter, shard
