"""NovoGrad as a torch.optim.Optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from .. import _abi
from . import _ops
from ._assignment import Group, Spec
from ._calls import Launch
from ._groups import COMMON, plan_without_elements
from ._optimizer import LayerwiseOptimizer
from ._values import dtype_of, options_of


class NovoGrad(LayerwiseOptimizer):
    """NovoGrad (Ginsburg et al., arXiv 1905.11286): every parameter tensor is a layer.

        v = beta2*v + (1-beta2)*|g|^2, |g|^2 while v is still 0;    u = g / (sqrt(v + eps_root) + eps) + weight_decay*w
        m = beta1*m + c*u, c = 1, or 1 - beta1 with grad_averaging;    w = w - lr*m

    params        parameters, (name, parameter) pairs, or groups; float32, bfloat16 or float16, on the CPU or CUDA
    lr            learning rate: a number, or a tensor of one element that is read when the step runs; None where every
                  group has its own
    betas, eps, eps_root, weight_decay, grad_averaging, average_first_step, amsgrad, bias_correction, norm,
    seed_second_moment, decoupled_weight_decay, lr_in_momentum, maximize
                  as in `layerwise.Plan.novograd_step`; layerwise.h explains each under its name.
                  seed_second_moment may be "first_step": v is |g|^2 on the first step alone, also where that is 0;
                  decoupled_weight_decay True, apex's, or "normalized", timm's novogradw: w *= 1 - lr*weight_decay first
    lr_mult, wd_mult  multiply lr and weight_decay: one number, one for each parameter of the group
                  (`layerwise.fan_in_lr_multipliers` makes some), or a function of name and parameter that gives each
                  its own when it is added (`is_weight`, say; name is None where none was given); None: 1. Afterwards
                  they are options of each group
    group_multipliers  whose lr_mult and wd_mult are where a group, or another tool's checkpoint, brings them itself.
                  Frameworks write such keys beside an lr that they have multiplied already (mmengine, Megatron-core).
                  "refuse": ValueError; "apply": this optimizer's; "ignore": the framework's, whatever they hold: they
                  stay in the group and are never applied
    first_moment_dtype, second_moment_dtype  "float32" or "bfloat16"; "float32" or "float64"
    threads       CPU threads, the caller's included; 0: torch.get_num_threads(), whenever a step runs
    capturable    keeps lr in a tensor on the device, so that the replays of a captured CUDA graph follow a scheduler
    flatten       moves the parameters of each group into one buffer for each dtype (`flat_weights`); those that no step
                  could take, DTensors and those in shared memory stay where they are; gradients stay as autograd makes
                  them
    unscale_in_step  True: GradScaler leaves unscaling, and skipping a step with infinite gradients, to the step, which
                  reads the scale on the device: no pass over the gradients more and no wait, and float16 parameters
                  can be trained. Gradients are then still scaled before the step, so that clipping them, without
                  scaler.unscale_ first, would clip by the wrong norm (Lightning refuses to): False, the default, is
                  right in every loop. Set when the optimizer is made, for all groups

    All but the last may differ between groups. Parameters without gradients are left out of a step, and may be of any
    kind. t, for bias correction, counts the steps in which a parameter had a gradient.

    Layers that are cut over ranks are DTensors, as FSDP2 (fully_shard) and tensor parallelism make them: norms are
    those of the whole layers. A step is then one all-reduce more, of a number a layer, over each mesh of ranks; what a
    step is told travels with it. Ranks that differ in lr, options, layout or in which layers have gradients all raise
    layerwise.LayoutError, and where one refuses its step the others raise RuntimeError, before anything is written. On
    CUDA such a step waits for the exchange, and can be neither compiled nor captured. An engine's flat partitions are
    refused at the step, before anything is written, unless `set_pieces` has said what they hold.

    State of a parameter: step (int64), first_moment, second_moment and, with amsgrad, max_second_moment; layerwise's
    own dtypes, whatever the parameter's. Of a DTensor that is cut first_moment is one that is cut alike, and
    second_moment the whole layer's number, the same on every rank. `state[p]` is the truth: it may be emptied, which
    makes the next step a first one, replaced or written in place. A step leaves gradients as they are.

    Raises layerwise.ArgumentError (a ValueError), ValueError and TypeError for what the library refuses.
    """

    _needs_weight_norms = False

    def __init__(self, params: Any, lr: float | Tensor | None = None, betas: tuple[float, float] = (0.95, 0.98),
                 eps: float = 1e-8, weight_decay: float = 0.001, grad_averaging: bool = False, amsgrad: bool = False,
                 bias_correction: bool = False, *, eps_root: float = 0.0, average_first_step: bool = True,
                 norm: str = "l2", seed_second_moment: bool | str = True,
                 decoupled_weight_decay: bool | str = False,
                 lr_in_momentum: bool = False, maximize: bool = False, lr_mult: Any = None, wd_mult: Any = None,
                 group_multipliers: str = "refuse", first_moment_dtype: Any = "float32",
                 second_moment_dtype: Any = "float32", threads: int = 0, capturable: bool = False,
                 flatten: bool = False, unscale_in_step: bool = False) -> None:
        super().__init__(params, {
            **COMMON, "lr": lr, "betas": betas, "eps": eps, "eps_root": eps_root, "weight_decay": weight_decay,
            "grad_averaging": grad_averaging, "average_first_step": average_first_step, "amsgrad": amsgrad,
            "bias_correction": bias_correction, "norm": norm, "seed_second_moment": seed_second_moment,
            "decoupled_weight_decay": decoupled_weight_decay, "lr_in_momentum": lr_in_momentum, "maximize": maximize,
            "lr_mult": lr_mult, "wd_mult": wd_mult, "first_moment_dtype": first_moment_dtype,
            "second_moment_dtype": second_moment_dtype, "threads": threads, "capturable": capturable,
            "flatten": flatten}, group_multipliers, unscale_in_step)

    def _spec(self, group: Group) -> Spec:
        return Spec(
            "first_moment", dtype_of(group["first_moment_dtype"], "first_moment_dtype", ("float32", "bfloat16")),
            ("second_moment", "max_second_moment") if group["amsgrad"] else ("second_moment",),
            dtype_of(group["second_moment_dtype"], "second_moment_dtype", ("float32", "float64")),
            bool(group["bias_correction"] or (group["grad_averaging"] and not group["average_first_step"])
                 or group["seed_second_moment"] == "first_step"),
            group["threads"])

    def _options(self, group: Group) -> dict[str, Any]:
        beta1, beta2 = group["betas"]
        return {"beta1": beta1, "beta2": beta2, **{name: group[name] for name in options_of(_abi.NovogradOptions)}}

    def _launch(self, options: dict[str, Any], launch: Launch, moments: list[Tensor], steps: list[Tensor],
                per_layer: list[list[Tensor]]) -> None:
        _ops.run(_ops.novograd_step, **launch.arguments(), first_moment=moments, second_moment=per_layer[0],
                 max_second_moment=per_layer[1] if options["amsgrad"] else [], steps=steps,
                 **_ops.split(options, _ops.NOVOGRAD))

    def _try(self, group: Group) -> None:
        with plan_without_elements(group) as plan:
            nothing, layers = np.zeros(0, np.float32), np.zeros(plan.layers, np.float32)
            plan.novograd_step([nothing] * plan.layers, [nothing] * plan.layers, [nothing] * plan.layers, layers,
                               max_second_moment=layers.copy() if group["amsgrad"] else None, step=1,
                               lr=float(group["lr"]), **self._options(group))
