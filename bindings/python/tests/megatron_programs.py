"""What ranks run under Megatron-core. It asks for CUDA by name: here its tensors lie on the CPU and say otherwise."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch.overrides import TorchFunctionMode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that Transformer Engine and apex are missing
    import megatron.core.optimizer as megatron
    from megatron.core import dist_checkpointing, parallel_state
    from megatron.core.dist_checkpointing.strategies import filesystem_async
    from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
    from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer
    from megatron.core.optimizer.layer_wise_optimizer import LayerWiseDistributedOptimizer
    from megatron.core.transformer import TransformerConfig
    from megatron.core.transformer.utils import make_sharded_tensors_for_checkpoint

from layerwise.torch import engines, pieces
from network_programs import NETWORK_MAKERS, Net, batch


class OnCpu(TorchFunctionMode):
    def __torch_function__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if "cuda" in str(kwargs.get("device", "")):
            kwargs["device"] = "cpu"
        if function is torch.Tensor.cuda:
            return args[0]
        returned = function(*args, **kwargs)
        if function is torch.Tensor.type and isinstance(returned, str):
            return returned.replace("torch.", "torch.cuda.", 1)
        return returned


def _begin() -> OnCpu:
    stream = types.SimpleNamespace(wait_stream=lambda _: None, wait_event=lambda _: None, synchronize=lambda: None)
    cuda: Any = torch.cuda
    cuda.current_device, cuda.current_stream, cuda.synchronize = lambda: "cpu", lambda *_: stream, lambda *_: None
    parallel_state.initialize_model_parallel()
    return OnCpu()


def _wrapped(net: Any, layout: Any = None, **options: Any) -> Any:
    config = TransformerConfig(num_layers=1, hidden_size=8, num_attention_heads=1, use_cpu_initialization=True)
    return DistributedDataParallel(config, DistributedDataParallelConfig(**options), net, full_param_layout=layout)


def _train(model: Any, optimizer: Any, steps: Iterable[int], rank: int, ranks: int) -> list[float]:
    """The losses of the ranks' parts of the batch together."""
    losses = []
    for step in steps:
        x, y = batch(step, rank, ranks)
        model.zero_grad_buffer()
        optimizer.zero_grad()
        loss = ((model(x.to(next(model.parameters()).dtype)).float() - y) ** 2).mean()
        loss.backward()
        model.finish_grad_sync()
        optimizer.step()
        loss = loss.detach()
        dist.all_reduce(loss)
        losses.append(float(loss) / dist.get_world_size())
    return losses


def distributed(rank: int, ranks: int, maker: str, steps: tuple[int, int], bf16: bool = False, whole_batch: bool = False,
                save: str | None = None, load: str | None = None) -> Any:
    """Its DistributedOptimizer, which cuts flat buffers. whole_batch: on every rank."""
    with _begin():
        net: Any = Net().bfloat16() if bf16 else Net()
        loaded = {} if load is None else torch.load(load)
        if load is not None:
            net.load_state_dict(loaded["model"])
        model = _wrapped(net, use_distributed_optimizer=True, grad_reduce_in_fp32=True)
        # the keys that Megatron writes into groups
        given = [{"params": list(net.parameters()), "wd_mult": 1.0, "lr_mult": 1.0, "is_expert_parallel": False}]
        inner = NETWORK_MAKERS[maker](given, group_multipliers="ignore")
        config = megatron.OptimizerConfig(lr=0.02, use_distributed_optimizer=True, clip_grad=0.0, bf16=bf16)
        group = parallel_state.get_data_parallel_group(with_context_parallel=True)
        optimizer = DistributedOptimizer(
            inner, config, None, lambda optimizer, _=None: optimizer.init_state(), model_chunks=[model],
            per_model_buffers={0: model.buffers}, data_parallel_group=group, data_parallel_group_gloo=group,
            data_parallel_group_idx=0, distributed_optimizer_instance_id=0)
        inner.set_pieces(*pieces.megatron(optimizer))
        if load is not None:
            pieces.load_full_state(inner, loaded["optimizer"])
        losses = _train(model, optimizer, range(*steps), *((0, 1) if whole_batch else (rank, ranks)))
        full = pieces.full_state(inner, weights=True)
        if save is not None and rank == 0:
            torch.save({"model": net.state_dict(), "optimizer": full}, save)
        return losses, [parameter.detach() for parameter in net.parameters()], inner.layer_stats()


def by_name(rank: int, ranks: int, name: str, steps: tuple[int, int], layer_wise: bool = False, bf16: bool = False,
            whole_batch: bool = False, save: str | None = None, load: str | None = None) -> Any:
    """The optimizer that its table has under a name. whole_batch: on every rank."""
    engines.register_megatron(novograd={"bias_correction": True}, larcsgd={"trust_coefficient": 0.02})
    with _begin():
        net: Any = Net().bfloat16() if bf16 else Net()
        config = megatron.OptimizerConfig(
            optimizer=name, lr=0.02 if name == "novograd" else 0.3, weight_decay=1e-3, decoupled_weight_decay=False,
            bf16=bf16, clip_grad=0.0, use_layer_wise_distributed_optimizer=layer_wise)
        options = {"use_distributed_optimizer": layer_wise, "grad_reduce_in_fp32": True}
        layout = None
        if layer_wise:
            for parameter in net.parameters():
                parameter.is_managed_by_layer_wise_optimizer = True
            layout = LayerWiseDistributedOptimizer.compute_full_param_layout(
                list(net.parameters()), None, ranks, DistributedDataParallelConfig(**options))
        model = _wrapped(net, layout, **options)
        optimizer = megatron.get_megatron_optimizer(config, [model], config_overrides={})
        inner = [part.optimizer for part in optimizer.chained_optimizers]
        if load is not None:
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.zero_()
            loaded = dist_checkpointing.load(_sharded(net, optimizer, is_loading=True), load)
            net.load_state_dict(loaded["model"])
            optimizer.load_state_dict(loaded["optimizer"])
        losses = _train(model, optimizer, range(*steps), *((0, 1) if whole_batch else (rank, ranks)))
        if save is not None:
            dist_checkpointing.save(_sharded(net, optimizer), save)
            filesystem_async._results_queue = None  # ends a process of its own, which would outlive this one
        kinds = [type(each).__mro__[2].__name__ for each in inner]
        held = sum(len(group["params"]) for each in inner for group in each.param_groups)
        return losses, [parameter.detach() for parameter in net.parameters()], kinds, held


def _sharded(net: Any, optimizer: Any, is_loading: bool = False) -> Any:
    model = make_sharded_tensors_for_checkpoint(net.state_dict(keep_vars=True), "", {})
    return {"model": model, "optimizer": optimizer.sharded_state_dict(model, is_loading)}
