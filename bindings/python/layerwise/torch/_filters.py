"""What recipes leave out of weight decay and LARC, as functions of name and parameter."""

from __future__ import annotations

from torch import Tensor


def is_bias_or_norm(name: str | None, parameter: Tensor) -> bool:
    """Whether a parameter has at most one dimension, as biases and the scales of norms have, or is named bias: timm's
    rule. For skip_larc."""
    return parameter.ndim <= 1 or (name is not None and name.rpartition(".")[2] == "bias")


def is_weight(name: str | None, parameter: Tensor) -> bool:
    """Every parameter that `is_bias_or_norm` is not. For wd_mult: True multiplies by 1, False by 0."""
    return not is_bias_or_norm(name, parameter)
