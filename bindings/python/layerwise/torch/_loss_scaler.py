"""A loss scale that stays between two bounds."""

from __future__ import annotations

from typing import Any

import torch


class BoundedGradScaler(torch.amp.GradScaler):
    """torch.amp.GradScaler whose scale is from `least` to `most`; where they are equal, it never changes.

    Its state is GradScaler's own, the bounds excepted: they stay as it was made. Other arguments as GradScaler's.
    """

    def __init__(self, device: str, least: float, most: float, **options: Any) -> None:
        super().__init__(device, init_scale=most, **options)
        self.least, self.most = least, most

    def update(self, new_scale: Any = None) -> None:
        super().update(new_scale)
        if self.is_enabled() and self._scale is not None:
            self._scale.clamp_(self.least, self.most)
