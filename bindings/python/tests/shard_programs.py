"""What ranks run to show where the rows of a layer lie that is cut over a mesh, for tests by `on_ranks`."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import _StridedShard

from layerwise.torch import LARCSGD, NovoGrad
from layerwise.torch._shards import distribute
from layerwise.torch._shards import whole as whole_of


def strided(factor: int, along: int = 0) -> Any:
    return _StridedShard(along, split_factor=factor)


def loaded_novograd(parameter: Any, first_moment: torch.Tensor) -> NovoGrad:
    """After one step, whose state was loaded."""
    optimizer = NovoGrad([parameter], 0.01, weight_decay=0.0)
    load_first_moment(optimizer, first_moment)
    return optimizer


def load_first_moment(optimizer: NovoGrad, first_moment: torch.Tensor, saved: dict[str, Any] | None = None) -> None:
    optimizer.load_state_dict({**(saved or optimizer.state_dict()), "state": {0: {
        "step": torch.tensor(1), "first_moment": first_moment, "second_moment": torch.tensor(1.0)}}})


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


def shared_memory(rank: int, ranks: int) -> list[Any]:
    """Loading first moments of other cuts, and a whole one, into one that lies in shared memory: (whether it lies there
    still, whether it has its weights' rows)."""
    mesh = init_device_mesh("cpu", (2, ranks // 2))
    whole = torch.arange(24.0).view(8, 3)
    cuts: list[Any] = [[strided(2), Shard(0)], [Shard(0), Shard(0)], [Replicate(), Shard(1)], None]
    seen = []
    for cut in cuts[:2]:
        for other in cuts:
            weight: Any = torch.nn.Parameter(distribute(whole, mesh, cut))
            optimizer = loaded_novograd(weight, whole.clone())
            weight.grad = torch.zeros_like(weight)
            optimizer.step()
            mine = optimizer.state[weight]["first_moment"].to_local().share_memory_()
            load_first_moment(optimizer, whole.clone() if other is None else distribute(whole, mesh, other))
            now = optimizer.state[weight]["first_moment"].to_local()
            seen.append((now.data_ptr() == mine.data_ptr(), torch.equal(now, distribute(whole, mesh, cut).to_local())))
    return seen


class EveryOther(Shard):
    """Rows by turns: a kind of shard that is not torch's."""


def pieces_of(whole: torch.Tensor, first: int, rank: int, kind: Shard | None = None) -> Any:
    """A DTensor over two ranks, of which one has this many rows and the other one the rest."""
    piece = whole[:first] if rank == 0 else whole[first:]
    return DTensor.from_local(piece.clone(), init_device_mesh("cpu", (2,)), [kind or Shard(0)], run_check=False,
                              shape=whole.shape, stride=whole.stride())


def steps_of_other_pieces(rank: int, ranks: int) -> list[bool]:
    """Whether the weights of layers in pieces of any size are those of whole layers."""
    same = []
    for first in (0, 1, 3, 8):
        for optimizer, options in ((NovoGrad, {"lr": 0.01}), (LARCSGD, {"lr": 0.1, "momentum": 0.9})):
            generator = torch.Generator().manual_seed(first)
            whole = torch.randn(8, 3, generator=generator)
            weights: list[Any] = [torch.nn.Parameter(whole.clone()), torch.nn.Parameter(pieces_of(whole, first, rank))]
            optimizers = [optimizer([weight], weight_decay=0.01, **options) for weight in weights]
            for _ in range(3):
                gradient = torch.randn(8, 3, generator=generator)
                weights[0].grad, weights[1].grad = gradient, pieces_of(gradient, first, rank)
                for each in optimizers:
                    each.step()
            expected = weights[0].detach()
            same.append(torch.allclose(weights[1].detach().to_local(), expected[:first] if rank == 0 else expected[first:],
                                       rtol=1e-6, atol=1e-7))
    return same


def other_pieces(rank: int, ranks: int) -> list[tuple[bool, str]]:
    """Where a layer, and then a first moment, is in pieces that are not those of its placements, and where a kind is not
    torch's: (whether nothing was loaded, what was said)."""
    mesh = init_device_mesh("cpu", (2,))
    seen = []
    for kind, rows, first in ((Shard(0), 8, 3), (Shard(0), 2, 2), (EveryOther(0), 8, 3)):
        whole = torch.arange(3.0 * rows).view(rows, 3)
        pieces = pieces_of(whole, first, rank, kind)
        loads = [(distribute(whole, mesh, [Replicate()]), pieces), (pieces, whole.bfloat16())]
        for weight, first_moment in loads if type(kind) is Shard else loads[:1]:  # torch's Parameter loses other kinds
            optimizer = NovoGrad([torch.nn.Parameter(weight)], 0.01)
            saved = optimizer.state_dict()
            saved["param_groups"][0]["lr"] = 0.5
            try:
                load_first_moment(optimizer, first_moment, saved)
                said = ""
            except (NotImplementedError, ValueError) as error:
                said = str(error)
            seen.append((not optimizer.state and optimizer.param_groups[0]["lr"] == 0.01, said))
    return seen
