"""What a step says of each layer, and how it gets to TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from ._gradients import norm_before_limit

SCOPE = "Loss_Optimization"  # OpenSeq2Seq's, before all tags but learning_rate


class LayerStats(NamedTuple):
    """One layer in its last step; NaN where the optimizer has no such value. The columns of `layerwise.Stat`."""

    weight_norm: float  #: |w| (LARC)
    grad_norm: float  #: |g|, unscaled; the largest |g| with the infinity norm
    second_moment: float  #: v as stored (NovoGrad)
    factor: float  #: LARC's r; NovoGrad's 1/d
    effective_lr: float  #: LARC: lr * lr_mult * r; NovoGrad: lr * lr_mult, bias-corrected where asked for
    clipped: bool  #: LARC clip: the factor was cut to 1, the layer runs at lr itself


def rows(layer_stats: Tensor) -> list[LayerStats | None]:
    """One entry a layer; None for a layer that never took part."""
    return [None if math.isnan(row[1]) else LayerStats(row[0], row[1], row[2], row[3], row[4], bool(row[5]))
            for row in layer_stats.tolist()]


class Writer(Protocol):
    """TensorBoard's SummaryWriter, or whatever else has its add_scalar."""

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None) -> Any: ...


class HasLayerStats(Protocol):
    """An optimizer of this package."""

    param_groups: Any

    def layer_stats(self) -> dict[str, LayerStats]: ...


def write_summaries(writer: Writer, optimizer: HasLayerStats, global_step: int,
                    variables: Mapping[str, str] | Callable[[str], str] | None = None) -> None:
    """Writes the layers' statistics as scalars, a tag for each: "larc_final_lr/conv1.weight".

    LARC and LARCSGD, with OpenSeq2Seq's names (its larc_summaries): larc_clip_on (1 where the factor is below 1; clip
    only), larc_grad_update (the factor), larc_final_lr (lr times the factor), variable_norm and gradient_norm.
    NovoGrad: gradient_norm, second_moment, novograd_factor (1/d), novograd_lr. Waits for the device.

    variables  the names that the parameters had as OpenSeq2Seq's variables, by parameter name, or a function of it. The
               tags are then its own, so that the curves lie on those of its event files:
               "Loss_Optimization/larc_final_lr/conv1/kernel_0" for "conv1/kernel"; of its mixed precision it is
               "Loss_Optimization/FP32-master-copy/conv1/kernel". Besides, as there: "learning_rate", the first group's;
               "Loss_Optimization/global_gradient_norm"; and where max_grad_norm has limited that, what it was limited
               to, "Loss_Optimization/global_clipped_gradient_norm"

    Raises ValueError for parameters that variables lacks, before anything is written.
    """
    clips = bool(getattr(optimizer, "clips", True))
    layer_stats = optimizer.layer_stats()
    if variables is not None:
        original = _original_names(layer_stats, variables)
        for tag, value in _of_all(optimizer, layer_stats).items():
            writer.add_scalar(tag, value, global_step)
    for name, row in layer_stats.items():
        larc = not math.isnan(row.weight_norm)
        values = {"larc_grad_update": row.factor, "larc_final_lr": row.effective_lr, "variable_norm": row.weight_norm,
                  "gradient_norm": row.grad_norm} if larc else {
            "gradient_norm": row.grad_norm, "second_moment": row.second_moment, "novograd_factor": row.factor,
            "novograd_lr": row.effective_lr}
        if larc and clips:
            values = {"larc_clip_on": int(row.factor < 1), **values}
        for tag, value in values.items():
            writer.add_scalar(f"{tag}/{name}" if variables is None else f"{SCOPE}/{tag}/{original[name]}_0", value,
                              global_step)


def _original_names(names: Mapping[str, Any], variables: Mapping[str, str] | Callable[[str], str]) -> dict[str, str]:
    if not isinstance(variables, Mapping):
        return {name: variables(name) for name in names}
    missing = [name for name in names if name not in variables]
    if missing:
        raise ValueError(f"variables lacks {', '.join(map(repr, missing))}: it must name every parameter's variable")
    return {name: variables[name] for name in names}


def _of_all(optimizer: HasLayerStats, layer_stats: Mapping[str, LayerStats]) -> dict[str, float]:
    values = {"learning_rate": float(optimizer.param_groups[0]["lr"])}
    if layer_stats and all(group.get("norm", "l2") == "l2" for group in optimizer.param_groups):
        norm, before = math.hypot(*(row.grad_norm for row in layer_stats.values())), norm_before_limit(optimizer)
        values[f"{SCOPE}/global_gradient_norm"] = norm if before is None else before
        if before is not None:
            values[f"{SCOPE}/global_clipped_gradient_norm"] = norm
    return values
