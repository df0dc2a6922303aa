"""LARC with SGD and momentum, in one pass, as a torch.optim.Optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from .. import _abi
from . import _ops
from ._assignment import Group, Spec
from ._calls import Launch
from ._groups import COMMON, larc_options, plan_without_elements
from ._optimizer import LayerwiseOptimizer
from ._values import dtype_of, options_of


class LARCSGD(LayerwiseOptimizer):
    """LARC (You et al., arXiv 1708.03888) and SGD with momentum in one step: every parameter tensor is a layer.

        r = trust_coefficient*|w| / (|g| + eps), with clip r = min(r/lr, 1): lr*r is then min(lr, r), LARS' rate capped
        h = r*g + weight_decay*w, or r*(g + weight_decay*w) with fold_weight_decay, |g| + weight_decay*|w| for |g| in r
        b = momentum*b + (1 - dampening)*h, h at first;    w = w - lr*b, or lr*(h + momentum*b) with nesterov

    params, lr, maximize, lr_mult, wd_mult, group_multipliers, first_moment_dtype, threads, capturable, flatten,
    unscale_in_step
                  as of `NovoGrad`
    trust_coefficient  the library's eta
    clip          True: mode "clip"; False: mode "scale", r itself is the factor
    fold_weight_decay  True: as above (apex, timm, lightly); "gradient": r has |g + weight_decay*w| (optax, every L2
                  regularizer); "both": that and weight_decay*|w| (fastai); "decoupled": w *= 1 - lr*weight_decay before
                  the step (fastai); False: decay is outside r
    lr_in_momentum  True: b = momentum*b + lr*h, w = w - b (optax, Paddle, TensorFlow, MMPretrain)
    factor_after_momentum  True: r multiplies b, not h (fastai, ColossalAI, holocron)
    dampen_first_step  True: (1 - dampening)*h at first too, beside nesterov as well (pytorch_optimizer)
    clip_value    elements of h are cut to it before they enter b (ColossalAI: 10); 0: not
    momentum, dampening, nesterov, weight_decay, eps, min_update, max_update, zero_norm, zero_grad_norm,
    weight_norm_threshold
                  as in `layerwise.Plan.larc_sgd_step`; layerwise.h explains each under its name
    skip_larc     True: r is 1; one for the group, one for each of its parameters, or a function of name and parameter
                  as of `NovoGrad`'s multipliers: `is_bias_or_norm`, say
    always_adapt  False: r is 1 too for parameters that do not decay, whose weight_decay or wd_mult is 0: timm's rule

    State of a parameter: step (int64) and, where momentum is not 0, momentum_buffer; it loads torch.optim.SGD's.
    A step leaves gradients as they are. Raises as `NovoGrad`.
    """

    def __init__(self, params: Any, lr: float | Tensor | None = None, momentum: float = 0.9, dampening: float = 0.0,
                 weight_decay: float = 0.0, nesterov: bool = False, *, trust_coefficient: float = 0.002,
                 clip: bool = True, eps: float = 1e-8, min_update: float = 0.0, max_update: float = 0.0,
                 fold_weight_decay: bool | str = False, zero_norm: str = "keep", zero_grad_norm: str = "as_weight",
                 weight_norm_threshold: float = 0.0, lr_in_momentum: bool = False, factor_after_momentum: bool = False,
                 dampen_first_step: bool = False, clip_value: float = 0.0, maximize: bool = False,
                 lr_mult: Any = None, wd_mult: Any = None, skip_larc: Any = False, always_adapt: bool = True,
                 group_multipliers: str = "refuse", first_moment_dtype: Any = "float32", threads: int = 0,
                 capturable: bool = False, flatten: bool = False, unscale_in_step: bool = False) -> None:
        super().__init__(params, {
            **COMMON, "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "trust_coefficient": trust_coefficient, "clip": clip, "eps": eps,
            "min_update": min_update, "max_update": max_update, "fold_weight_decay": fold_weight_decay,
            "zero_norm": zero_norm, "zero_grad_norm": zero_grad_norm, "weight_norm_threshold": weight_norm_threshold,
            "lr_in_momentum": lr_in_momentum, "factor_after_momentum": factor_after_momentum,
            "dampen_first_step": dampen_first_step, "clip_value": clip_value, "maximize": maximize,
            "lr_mult": lr_mult, "wd_mult": wd_mult, "skip_larc": skip_larc, "always_adapt": always_adapt,
            "first_moment_dtype": first_moment_dtype, "threads": threads, "capturable": capturable, "flatten": flatten},
            group_multipliers, unscale_in_step)

    @property
    def clips(self) -> bool:
        """Whether the factor is cut to 1, in the first group."""
        return bool(self.param_groups[0]["clip"])

    def _spec(self, group: Group) -> Spec:
        dtype = dtype_of(group["first_moment_dtype"], "first_moment_dtype", ("float32", "bfloat16"))
        return Spec("momentum_buffer" if group["momentum"] else None, dtype,
                    depends_on_step=group["dampening"] != 0 and not group["dampen_first_step"],
                    threads=group["threads"])

    def _options(self, group: Group) -> dict[str, Any]:
        names = ("maximize", *options_of(_abi.SgdOptions))
        return {**larc_options(group), **{name: group[name] for name in names}}

    def _launch(self, options: dict[str, Any], launch: Launch, moments: list[Tensor], steps: list[Tensor],
                per_layer: list[list[Tensor]]) -> None:
        buffers = moments if options["momentum"] else []  # looked at in a traced step too: another one without them
        _ops.run(_ops.larc_sgd_step, **launch.arguments(), momentum_buffer=buffers, steps=steps,
                 **_ops.split(options, _ops.LARC_SGD))

    def _try(self, group: Group) -> None:
        with plan_without_elements(group) as plan:
            nothing = [np.zeros(0, np.float32)] * plan.layers
            plan.larc_sgd_step(nothing, nothing, nothing if group["momentum"] else None, step=1, lr=float(group["lr"]),
                               **self._options(group))
