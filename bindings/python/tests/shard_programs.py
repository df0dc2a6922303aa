"""What ranks run to show where the rows of a layer lie that is cut over a mesh, for tests by `on_ranks`."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import _StridedShard

from layerwise.torch import NovoGrad
from layerwise.torch._shards import distribute
from layerwise.torch._shards import whole as whole_of


def strided(factor: int, along: int = 0) -> Any:
    return _StridedShard(along, split_factor=factor)


def loaded_novograd(parameter: Any, first_moment: torch.Tensor) -> NovoGrad:
    """After one step, whose state was loaded."""
    optimizer = NovoGrad([parameter], 0.01, weight_decay=0.0)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": {0: {
        "step": torch.tensor(1), "first_moment": first_moment, "second_moment": torch.tensor(1.0)}}})
    return optimizer


def cut_by_two(rank: int, ranks: int) -> list[tuple[Any, bool]]:
    """By rows of a layer that tensor parallelism and fully_shard cut: whether a whole tensor is cut as they have cut it,
    a whole first moment that was loaded lies at its weights' rows, and the layer put together is whole or refused."""
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    mesh = init_device_mesh("cpu", (2, ranks // 2), mesh_dim_names=("shards", "columns"))
    found: list[tuple[Any, bool]] = []
    for rows in (32, 30, 28, 6, 5, 3, 1):
        net = torch.nn.Sequential(torch.nn.Linear(3, rows, bias=False))
        whole = torch.arange(3.0 * rows).view(rows, 3)
        with torch.no_grad():
            net[0].weight.copy_(whole)
        parallelize_module(net, mesh["columns"], {"0": ColwiseParallel()})
        try:
            fully_shard(net, mesh=mesh["shards"])
        except NotImplementedError:
            continue
        weight: Any = net[0].weight
        mine = weight.detach().to_local().clone()
        optimizer = loaded_novograd(weight, whole.clone())
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        cut = distribute(whole, weight.device_mesh, weight.placements)
        try:
            together = torch.equal(whole_of(cut), whole)
        except NotImplementedError:
            together = "2.8" <= torch.__version__ < "2.10" and rows % ranks != 0
        found.append((rows, together and torch.equal(cut.to_local(), mine) and cut.shape == weight.shape and torch.equal(
            optimizer.state[weight]["first_moment"].to_local(), 0.95 * mine)))
    return found


def cut_by_three(rank: int, ranks: int) -> list[Any]:
    """What is cut otherwise than by torch, of cuts over three dimensions: (rows, placements)."""
    mesh = init_device_mesh("cpu", (2, 2, ranks // 4))
    cuts = [(Replicate(), strided(2), Shard(0)), (strided(2), Replicate(), Shard(0)), (Shard(0), strided(2), Shard(0)),
            (strided(4), strided(2), Shard(0)), (strided(4), Shard(0), Shard(0)), (strided(2), Shard(0), Shard(1)),
            (strided(2, 1), Shard(0), Shard(1)), (Shard(0), Shard(0), Shard(1))]
    different = []
    for rows in (32, 30, 13, 7, 5, 3, 1):
        whole = torch.arange(7.0 * rows).view(rows, 7)
        for cut in cuts:
            ours, theirs = distribute(whole, mesh, cut), distribute_tensor(whole, mesh, cut, src_data_rank=None)
            if not torch.equal(ours.to_local(), theirs.to_local()) or ours.stride() != theirs.stride():
                different.append((rows, str(cut)))
    return different


def another_cut(rank: int, ranks: int) -> list[Any]:
    """Of a layer that is cut by a strided shard and a plain one, where state and gradients are cut by two plain ones, at
    other rows: whether the first moment lies at its weights' rows, and what two steps say of the gradient."""
    mesh = init_device_mesh("cpu", (2, ranks // 2))
    whole = torch.arange(24.0).view(8, 3)
    cut, other = [strided(2), Shard(0)], [Shard(0), Shard(0)]
    weight: Any = torch.nn.Parameter(distribute(whole, mesh, cut))
    optimizer = loaded_novograd(weight, distribute(whole, mesh, other))
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    seen: list[Any] = [torch.equal(optimizer.state[weight]["first_moment"].to_local(),
                                   0.95 * distribute(whole, mesh, cut).to_local())]
    for stepped in (optimizer, NovoGrad([weight], 0.01)):
        weight.grad = distribute(whole, mesh, other)
        try:
            stepped.step()
            seen.append("")
        except TypeError as error:
            seen.append(str(error))
    return seen
