"""What changes gradients before an optimizer's step: a loss term's decay, and a limit on the norm of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._before_step import BeforeStep

Filter = Callable[[str | None, Tensor], bool]
_PART = 2**16  # elements of a tensor whose squares are added up in one sum


class PreparedGradients(BeforeStep):
    """Before an optimizer's step: g = g + l2*w, then g = g * max_norm/max(|all g|, max_norm), in place.

    l2        scale of a loss term l2/2 |w|^2; 0: none
    takes_l2  function of name and parameter that says which parameters have that term; None: all with a gradient
    max_norm  limit of the norm of all gradients together, l2's included; None: none. A norm that is not finite makes
              every gradient nan

    A second step without new gradients changes them again. Raises ValueError for an optimizer whose gradients come to
    the step still scaled.
    """

    def __init__(self, optimizer: Optimizer, l2: float, takes_l2: Filter | None, max_norm: float | None) -> None:
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            raise ValueError("regularizer and max_grad_norm need gradients that are unscaled before the step: "
                             "unscale_in_step and fused must be False")
        self.l2, self.takes_l2, self.max_norm = l2, takes_l2, max_norm
        self.norm: Tensor | None = None  # of all gradients in the last step, before it was limited
        super().__init__(optimizer)

    def prepare(self, optimizer: Optimizer) -> None:
        grads = []
        for group in optimizer.param_groups:
            names = group.get("param_names") or [None] * len(group["params"])
            for name, parameter in zip(names, group["params"], strict=True):
                if parameter.grad is None:
                    continue
                if self.l2 and (self.takes_l2 is None or self.takes_l2(name, parameter)):
                    parameter.grad.add_(parameter, alpha=self.l2)
                grads.append(parameter.grad)
        if self.max_norm is not None and grads:
            self.norm = limit_norm(grads, self.max_norm)


def norm_before_limit(optimizer: Any) -> float | None:
    """None where nothing limits the norm of an optimizer's gradients."""
    norms = [hook.norm for hook in BeforeStep.of(optimizer) if isinstance(hook, PreparedGradients)]
    return None if not norms or norms[0] is None else float(norms[0])


def limit_norm(grads: list[Tensor], most: float) -> Tensor:
    """Returns the norm before. torch's clip_grad_norm_ adds 1e-6 to the norm; this does not."""
    devices = dict.fromkeys(grad.device for grad in grads)
    squares = [square_of_norm([grad for grad in grads if grad.device == device]).to(grads[0].device)
               for device in devices]
    norm = torch.stack(squares).sum().sqrt().float()
    factor = torch.where(norm.isfinite(), most / norm.clamp(min=most), torch.nan)
    for grad in grads:
        grad.mul_(factor.to(grad.device))
    return norm


def square_of_norm(tensors: Sequence[Tensor]) -> Tensor:
    """That of all of them together, float64. In parts: on the CPU torch adds squares up one after the other in float32,
    and is 1e-3 off at 25 million elements, 1e-6 at as many as a part has."""
    parts = [part for tensor in tensors
             for part in ((tensor,) if tensor.numel() <= _PART else torch.split(tensor.reshape(-1), _PART))]
    return torch.stack(torch._foreach_norm(parts, dtype=torch.float32)).double().square().sum()
