"""What is done before an optimizer's step, after its closure."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer


class BeforeStep:
    """A hook of an optimizer: `prepare` runs when the gradients are there and the step is not taken yet.

    With a closure that is after the closure, each time it runs. Not where the step is none: checkpoint tools ask a fresh
    optimizer for its state by a step with lr 0 and gradients of 0. Copies and pickles of this package's optimizers keep
    it; those of torch's lose it, as all hooks.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        optimizer.register_step_pre_hook(self)

    @staticmethod
    def of(optimizer: Any) -> list[BeforeStep]:
        hooks = getattr(optimizer, "_optimizer_step_pre_hooks", {}).values()
        return [hook for hook in hooks if isinstance(hook, BeforeStep)]

    def prepare(self, optimizer: Optimizer) -> None:
        raise NotImplementedError

    def __call__(self, optimizer: Optimizer, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        closure = args[1] if len(args) > 1 else named.get("closure")
        if closure is None:
            self._prepare_for_a_step(optimizer)
            return None

        def then_prepare() -> Any:
            loss = closure()
            self._prepare_for_a_step(optimizer)
            return loss

        return (args[0],), {**named, "closure": then_prepare}

    @torch.no_grad()
    def _prepare_for_a_step(self, optimizer: Optimizer) -> None:
        if torch.compiler.is_compiling() or not is_asked_for_state_alone(optimizer):
            self.prepare(optimizer)


def is_asked_for_state_alone(optimizer: Any) -> bool:
    """Whether a step is only to make the state: this package's optimizers say it themselves."""
    own = getattr(optimizer, "_is_asked_for_state_alone", None)
    if own is not None:
        return bool(own())
    if optimizer.state or any(float(group["lr"]) for group in optimizer.param_groups):
        return False
    grads = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]
             if parameter.grad is not None]
    return bool(grads) and not any(bool(grad.count_nonzero()) for grad in grads)
