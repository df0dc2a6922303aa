"""TensorFlow's Adam and AdamW, by torch's."""

from __future__ import annotations

import math

from torch.optim import Optimizer

from ._before_step import BeforeStep


class TensorFlowAdam(BeforeStep):
    """Makes torch.optim's Adam or AdamW take TensorFlow's steps: w = w - weight_decay*w, then, in step t,

        w = w - lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon)

    torch corrects v before it adds eps, so eps is epsilon / sqrt(1 - beta2^t). Its own AdamW decays by
    lr*weight_decay*w. epsilon is the eps that each group had; weight_decay is of all groups.
    """

    def __init__(self, optimizer: Optimizer, weight_decay: float) -> None:
        super().__init__(optimizer)
        self.weight_decay = weight_decay
        for group in optimizer.param_groups:
            group["epsilon"] = group["eps"]

    def prepare(self, optimizer: Optimizer) -> None:
        for group in optimizer.param_groups:
            epsilon = group.setdefault("epsilon", group["eps"])
            taken = [float(optimizer.state.get(parameter, {}).get("step", 0)) for parameter in group["params"]]
            group["eps"] = epsilon / math.sqrt(1 - group["betas"][1] ** (max(taken, default=0) + 1))
            if self.weight_decay:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.mul_(1 - self.weight_decay)
