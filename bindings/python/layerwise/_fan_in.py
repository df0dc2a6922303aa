"""Learning-rate multipliers from the shapes of the layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import _errors
from ._errors import refusal


def fan_in_lr_multipliers(shapes: Iterable[Sequence[int]], out_axis: int = 0) -> np.ndarray[Any, Any]:
    """1/sqrt(n) for each layer, n its fan-in: the number of inputs of one output.

    For a convolution over c channels with k x k kernels that is 1/(sqrt(c)*k). Vectors and scalars (biases, norms) have
    no fan-in: 1.

    shapes    the layers' shapes, whole numbers >= 0; a layer without elements gets 1
    out_axis  the axis of the outputs: 0 for PyTorch's (out, in, kernel...), -1 for JAX's (kernel..., in, out)

    Returns float64 (layers,), for `Plan.set_layers(lr_mult=...)` and the optimizers' lr_mult; host memory.
    Raises ArgumentError for a shape without that axis or with a negative length.
    """
    return np.array([_multiplier(tuple(shape), out_axis) for shape in shapes], np.float64)


def _multiplier(shape: tuple[int, ...], out_axis: int) -> float:
    if any(length < 0 for length in shape):
        raise refusal(_errors.INVALID_VALUE, f"shapes holds {shape}: lengths must not be negative")
    if len(shape) < 2:
        return 1.0
    if not -len(shape) <= out_axis < len(shape):
        raise refusal(_errors.INVALID_VALUE, f"out_axis is {out_axis}: the shape {shape} has {len(shape)} axes")
    inputs = list(shape)
    del inputs[out_axis]
    fan_in = float(np.prod(inputs, dtype=np.float64))
    return 1.0 if fan_in == 0 else fan_in**-0.5
