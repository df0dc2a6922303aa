"""What a step says of each layer, and how it gets to TensorBoard."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

from torch import Tensor


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

    def layer_stats(self) -> dict[str, LayerStats]: ...


def write_summaries(writer: Writer, optimizer: HasLayerStats, global_step: int) -> None:
    """Writes the layers' statistics as scalars, a tag for each: "larc_final_lr/conv1.weight".

    LARC and LARCSGD, with OpenSeq2Seq's names (its larc_summaries): larc_clip_on (1 where the factor is below 1; clip
    only), larc_grad_update (the factor), larc_final_lr (lr times the factor), variable_norm and gradient_norm.
    NovoGrad: gradient_norm, second_moment, novograd_factor (1/d), novograd_lr. Waits for the device.
    """
    clips = bool(getattr(optimizer, "clips", True))
    for name, row in optimizer.layer_stats().items():
        larc = not math.isnan(row.weight_norm)
        values = {"larc_grad_update": row.factor, "larc_final_lr": row.effective_lr, "variable_norm": row.weight_norm,
                  "gradient_norm": row.grad_norm} if larc else {
            "gradient_norm": row.grad_norm, "second_moment": row.second_moment, "novograd_factor": row.factor,
            "novograd_lr": row.effective_lr}
        if larc and clips:
            values = {"larc_clip_on": int(row.factor < 1), **values}
        for tag, value in values.items():
            writer.add_scalar(f"{tag}/{name}", value, global_step)
