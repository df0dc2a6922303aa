"""What ranks run that train one small network, under FSDP2, tensor parallelism and DeepSpeed, for tests by `on_ranks`;
the same in one process is `one_process`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from layerwise.torch import LARC, LARCSGD, NovoGrad

torch.set_num_threads(1)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = torch.nn.Linear(7, 30), torch.nn.Linear(30, 11), torch.nn.Linear(11, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))


def batch(step: int, rank: int = 0, ranks: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1000 + step)
    x = torch.randn(60, 7, generator=random)
    y = torch.tanh(x[:, :2] - x[:, 2:4])
    part = slice(60 * rank // ranks, 60 * (rank + 1) // ranks)
    return x[part], y[part]


NETWORK_MAKERS: dict[str, Callable[..., Any]] = {
    "NovoGrad": lambda params, **options: NovoGrad(params, 0.02, bias_correction=True, **options),
    "LARCSGD": lambda params, **options: LARCSGD(params, 0.3, weight_decay=1e-4, trust_coefficient=0.02, **options),
    "LARC(SGD)": lambda params: LARC(torch.optim.SGD(params, 0.3, momentum=0.9), trust_coefficient=0.02, threads=1),
    "LARC(AdamW)": lambda params: LARC(torch.optim.AdamW(params, 0.02), clip=False, trust_coefficient=0.02, threads=1),
}


def train_network(net: Any, optimizer: Any, steps: Iterable[int], rank: int = 0, ranks: int = 1,
                  scaler: Any = None, clip: float | None = None, own_clip: bool = False) -> list[float]:
    """The losses of the whole batch."""
    losses = []
    for step in steps:
        x, y = batch(step, rank, ranks)
        optimizer.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        (loss if scaler is None else scaler.scale(loss)).backward()
        if clip is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            if own_clip:
                optimizer.clip_grad_norm_(clip)
            else:
                torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        loss = loss.detach()
        if dist.is_initialized():
            dist.all_reduce(loss)
            loss /= dist.get_world_size()
        losses.append(float(loss))
    return losses


def scaler_of(kind: str | None) -> Any:
    return None if kind is None else torch.amp.GradScaler("cpu", init_scale=2.0 ** 12, growth_interval=3)


def fsdp(rank: int, ranks: int, maker: str, steps: tuple[int, int], scaler: str | None = None,
         clip: float | None = None, hybrid: bool = False, tensor_parallel: bool = False, save: str | None = None,
         load: str | None = None, full: bool = False, own_clip: bool = False, **options: Any) -> Any:
    """hybrid: 2 replicas; tensor_parallel: 2 ranks by columns and rows. full: what is saved is whole, on rank 0."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = init_device_mesh("cpu", (2, ranks // 2) if hybrid or tensor_parallel else (ranks,),
                            mesh_dim_names=("replicas", "shards") if hybrid or tensor_parallel else ("shards",))
    net: Any = Net()
    data_rank, data_ranks = rank, ranks
    if tensor_parallel:
        parallelize_module(net, mesh["shards"], {"a": ColwiseParallel(), "b": RowwiseParallel()})
        mesh = mesh["replicas"]
        data_rank, data_ranks = mesh.get_local_rank(), mesh.size()
    for part in (net.a, net.b, net.c, net):
        fully_shard(part, mesh=mesh)
    optimizer = NETWORK_MAKERS[maker](list(net.named_parameters()), **options)
    if load is not None and full:
        saved = torch.load(load)
        set_state_dict(net, optimizer, model_state_dict=saved["model"], optim_state_dict=saved["optimizer"],
                       options=StateDictOptions(full_state_dict=True))
    elif load is not None:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.zero_()
        model, state = get_state_dict(net, optimizer)
        saved = {"model": model, "optimizer": state}
        dcp.load(saved, checkpoint_id=load)
        set_state_dict(net, optimizer, model_state_dict=saved["model"], optim_state_dict=saved["optimizer"])
    losses = train_network(net, optimizer, range(*steps), data_rank, data_ranks, scaler_of(scaler), clip, own_clip)
    if save is not None and full:
        model, state = get_state_dict(net, optimizer, options=StateDictOptions(full_state_dict=True))
        if rank == 0:
            torch.save({"model": model, "optimizer": state}, save)
    elif save is not None:
        model, state = get_state_dict(net, optimizer)
        dcp.save({"model": model, "optimizer": state}, checkpoint_id=save)
    weights = [parameter.detach().full_tensor() for parameter in net.parameters()]
    return losses, weights, {name: row for name, row in optimizer.layer_stats().items()}


def one_process(maker: str, steps: int, scaler: str | None = None, clip: float | None = None, **options: Any) -> Any:
    net = Net()
    optimizer = NETWORK_MAKERS[maker](list(net.named_parameters()), **options)
    losses = train_network(net, optimizer, range(steps), scaler=scaler_of(scaler), clip=clip)
    return losses, [parameter.detach() for parameter in net.parameters()]


def deepspeed_engine(rank: int, ranks: int, stage: int, maker: str, steps: tuple[int, int], save: str = "",
                     load: str = "") -> Any:
    import logging
    import os

    os.environ.update(DS_ACCELERATOR="cpu", LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE=str(ranks),
                      MASTER_ADDR="localhost", MASTER_PORT="0")
    import deepspeed

    from layerwise.torch import pieces

    deepspeed.utils.logger.setLevel(logging.ERROR)
    net = Net()
    optimizer = NETWORK_MAKERS[maker](list(net.parameters()))
    config = {"train_micro_batch_size_per_gpu": 60 // ranks, "zero_optimization": {"stage": stage},
              "zero_force_ds_cpu_optimizer": False, "zero_allow_untested_optimizer": True}
    with pieces.awaited(optimizer):
        engine, *_ = deepspeed.initialize(model=net, optimizer=optimizer, config=config)
    optimizer.set_pieces(*pieces.deepspeed(engine.optimizer))
    if load:
        _, client = engine.load_checkpoint(load, load_optimizer_states=False)
        pieces.load_full_state(optimizer, client["layerwise"])
    losses = []
    for step in range(*steps):
        x, y = batch(step, rank, ranks)
        loss = ((engine(x) - y) ** 2).mean()
        engine.backward(loss)
        engine.step()
        loss = loss.detach()
        dist.all_reduce(loss)
        losses.append(float(loss) / ranks)
    if save:
        engine.save_checkpoint(save, client_state={"layerwise": pieces.full_state(optimizer)})
    return losses, [parameter.detach() for parameter in engine.module.parameters()], optimizer.layer_stats()
