"""OpenSeq2Seq's loss scaling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._openseq2seq import number, refuse_unknown

if TYPE_CHECKING:
    from torch.amp import GradScaler

_BACKOFF = {"scale_min": 1.0, "scale_max": 2.0**14, "step_factor": 2.0, "step_window": 2000}


def scaler_from_openseq2seq(config: Mapping[str, Any], device: str = "cuda") -> GradScaler:
    """The PyTorch GradScaler that OpenSeq2Seq's configuration asks for; needs PyTorch.

        scaler = layerwise.scaler_from_openseq2seq(config)

    config   "dtype": without "mixed" the scaler is disabled, as there; "loss_scaling": a number, the scale of every
             step, or "Backoff": from scale_max (2^14) down by step_factor (2) at an overflow, never below scale_min
             (1), and up after step_window (2000) steps without one, never above scale_max; these are in
             "loss_scaling_params"
    device   "cuda" or "cpu"

    It leaves out steps whose gradients are not finite; there a scale that is a number takes them, and the weights are
    nan. Raises ValueError naming an unknown algorithm or parameter, or a wrong value; "LogMax" is not offered.
    """
    from .torch._loss_scaler import BoundedGradScaler

    scaling = config.get("loss_scaling")
    if isinstance(scaling, str):
        least, most, options = _backoff(scaling, config.get("loss_scaling_params") or {})
    else:
        least = most = 1.0 if scaling is None else number(scaling, "loss_scaling", lambda scale: scale > 0, "positive")
        options = {}
    return BoundedGradScaler(device, least, most, enabled=config.get("dtype") == "mixed", **options)


def _backoff(algorithm: str, given: Mapping[str, Any]) -> tuple[float, float, dict[str, Any]]:
    if algorithm.strip().lower() != "backoff":
        raise ValueError(f"loss_scaling is {algorithm!r}: it must be a number or 'Backoff'")
    refuse_unknown(given, _BACKOFF, "loss_scaling_params")
    params = {**_BACKOFF, **given}
    least = number(params["scale_min"], "scale_min", lambda scale: scale > 0, "positive")
    most = number(params["scale_max"], "scale_max", lambda scale: scale >= least, f"{least} or more, scale_min")
    factor = number(params["step_factor"], "step_factor", lambda factor: factor > 1, "more than 1")
    window = number(params["step_window"], "step_window", lambda steps: steps >= 1, "1 or more")
    return least, most, {"growth_factor": factor, "backoff_factor": 1 / factor, "growth_interval": int(window)}
