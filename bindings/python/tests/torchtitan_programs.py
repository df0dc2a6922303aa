"""What ranks run with torchtitan's own container of optimizers, over layers that FSDP2 cuts, as torchtitan has it do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torchtitan.components.optimizer import OptimizersContainer, ParamGroupConfig

import layerwise.torch
from network_programs import Net, train_network


class Container(OptimizersContainer):
    @dataclass(kw_only=True, slots=True)
    class Config(OptimizersContainer.Config):
        pass

    @staticmethod
    def _resolve_optimizer_factory(name: str) -> Any:
        own: dict[str, Any] = {"NovoGrad": layerwise.torch.NovoGrad, "LARCSGD": layerwise.torch.LARCSGD}
        return own.get(name) or OptimizersContainer._resolve_optimizer_factory(name)


KINDS: dict[str, dict[str, Any]] = {  # the options of network_programs.NETWORK_MAKERS
    "NovoGrad": {"lr": 0.02, "bias_correction": True},
    "LARCSGD": {"lr": 0.3, "weight_decay": 1e-4, "trust_coefficient": 0.02}}


def container(rank: int, ranks: int, name: str, steps: tuple[int, int], save: str | None = None,
              load: str | None = None) -> Any:
    net: Any = Net()
    mesh = init_device_mesh("cpu", (ranks,))
    for part in (net.a, net.b, net.c, net):
        fully_shard(part, mesh=mesh)
    config = Container.Config(param_groups=[
        ParamGroupConfig(pattern=pattern, optimizer_name=name, optimizer_kwargs=KINDS[name])
        for pattern in (r"\.bias$", ".*")])
    optimizers = config.build(model_parts=[net])
    if load is not None:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.zero_()
        saved = {"model": net.state_dict(), "optimizer": optimizers.state_dict()}
        dcp.load(saved, checkpoint_id=load)
        net.load_state_dict(saved["model"])
        optimizers.load_state_dict(saved["optimizer"])
    losses = train_network(net, optimizers, range(*steps), rank, ranks)
    if save is not None:
        dcp.save({"model": net.state_dict(), "optimizer": optimizers.state_dict()}, checkpoint_id=save)
    [inner] = optimizers.optimizers
    return losses, [parameter.detach().full_tensor() for parameter in net.parameters()], inner.layer_stats()
