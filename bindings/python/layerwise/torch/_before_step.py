"""What is done before an optimizer's step, after its closure."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer


class BeforeStep:
    """A hook of an optimizer: `prepare` runs when the gradients are there and the step is not taken yet.

    With a closure that is after the closure, each time it runs. Copies and pickles of this package's optimizers keep
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
            with torch.no_grad():
                self.prepare(optimizer)
            return None

        def then_prepare() -> Any:
            loss = closure()
            with torch.no_grad():
                self.prepare(optimizer)
            return loss

        return (args[0],), {**named, "closure": then_prepare}
