"""How a plan reaches tensors: NumPy views on the host, device tensors and tables of addresses on CUDA."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

Rows = list[list[int]]  # for each buffer one address a layer, 0 where the layer takes no part


class HostMemory:
    """What a CPU plan takes."""

    @staticmethod
    def array(tensor: Tensor) -> Any:
        """The tensor's own memory as a NumPy array."""
        return tensor.detach().numpy()

    @staticmethod
    def step(completed: Tensor) -> Any:
        """A number: a tensor that NumPy has seen cannot be resized any more, as offloaders do."""
        return int(completed) + 1

    @staticmethod
    def tables(rows: Rows) -> list[Any]:
        """The rows as tables of addresses."""
        return list(np.array(rows, np.uint64))

    @staticmethod
    def capturing() -> bool:
        return False

    @staticmethod
    def stream() -> int | None:
        return None

    @staticmethod
    def wait() -> None:
        return None

    @staticmethod
    def threads() -> int:
        """How many a plan takes that may choose, at this moment."""
        return torch.get_num_threads()


class CudaMemory:
    """What a CUDA plan takes. Tables are read by the device when the step runs, so they are copied there.

    A captured copy reads its page-locked source again at every replay: source and table then live as long as this
    object. The source is set aside beforehand, because page-locked memory cannot be had during a capture.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._last: tuple[int, Rows] | None = None
        self._tables: list[Any] = []
        self._spare: Tensor | None = None
        self._captured: list[tuple[Tensor, Tensor]] = []

    def array(self, tensor: Tensor) -> Any:
        return tensor.detach()

    def step(self, completed: Tensor) -> Any:
        return completed.detach()

    def tables(self, rows: Rows) -> list[Any]:
        """The rows as tables on the device; copied only when an address, or the stream, has changed."""
        if self.capturing():
            return self._captured_tables(rows)
        key = (self.stream(), rows)
        if key != self._last:
            source = torch.tensor(rows, dtype=torch.int64, device="cpu", pin_memory=True)
            self._tables = self._on_device(source)
            self._last = key
            if self._spare is None:
                self._spare = torch.empty_like(source, pin_memory=True)
        return self._tables

    def _captured_tables(self, rows: Rows) -> list[Any]:
        source = self._spare
        self._spare = None
        if source is None or list(source.shape) != [len(rows), len(rows[0])]:
            source = torch.empty((len(rows), len(rows[0])), dtype=torch.int64, device="cpu", pin_memory=True)
        source.copy_(torch.tensor(rows, dtype=torch.int64, device="cpu"))
        tables = self._on_device(source)
        self._captured.append((source, tables[0]))  # one row keeps the memory of all
        return tables

    def _on_device(self, source: Tensor) -> list[Any]:
        return list(source.to(self._device, non_blocking=True).view(torch.uint64).unbind())

    def capturing(self) -> bool:
        with torch.cuda.device(self._device):
            return torch.cuda.is_current_stream_capturing()

    def stream(self) -> int:
        return int(torch.cuda.current_stream(self._device).cuda_stream)

    def wait(self) -> None:
        torch.cuda.synchronize(self._device)

    @staticmethod
    def threads() -> int:
        return 0


def memory_of(device: torch.device) -> HostMemory | CudaMemory:
    """Raises ValueError for a device that the library has no backend for."""
    if device.type == "cpu":
        return HostMemory()
    if device.type == "cuda":
        return CudaMemory(device)
    raise ValueError(f"a parameter lies on {device}: layerwise has backends for cpu and cuda")
