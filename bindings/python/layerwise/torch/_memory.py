"""How a plan reaches tensors: NumPy views on the host, device tensors and tables of addresses on CUDA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import Plan, _abi

Rows = list[list[int]]  # for each buffer one address a layer, 0 where the layer takes no part


class RepeatablePlan(Plan):
    """A plan that can take a step again."""

    last: tuple[Any, ...] = ()  # the step that was taken last

    def _run(self, function: Callable[..., int], addresses: Sequence[int | None],
             options: Sequence[_abi.Struct | None], stream: int | None) -> None:
        super()._run(function, addresses, options, stream)
        self.last = function, addresses, options, stream

    def again(self, taken: tuple[Any, ...], numbers: dict[str, Any]) -> None:
        """Takes a step once more with these numbers. What was checked when it was taken first must hold still."""
        function, addresses, options, stream = taken
        for name, number in numbers.items():
            for struct in options:
                if hasattr(struct, name):
                    setattr(struct, name, number)
        super()._run(function, addresses, options, stream)


class HostCall(NamedTuple):
    """A call of the library that can be made again."""

    plan: RepeatablePlan
    taken: tuple[Any, ...]
    tables: np.ndarray[Any, Any]  # uint64, a row for each buffer and a column for each layer, which the call reads


def lr_option(lr: Any) -> dict[str, Any]:
    """The field of the library's that has lr, a number or a float32 tensor on the host, and its value: of a tensor the
    address, which must live while the step runs."""
    return {"lr_ptr": lr.data_ptr()} if isinstance(lr, Tensor) else {"lr": lr or 0.0}


class HostMemory:
    """What a CPU plan takes. A step that differs from the one before in lr, in its number and in the addresses of its
    layers alone takes that one again: checking the rest anew takes longer than a small step."""

    def __init__(self) -> None:
        self._tables = np.zeros((0, 0), np.uint64)
        self._key: tuple[Any, ...] = ()
        self._taken: tuple[Any, ...] = ()
        self.repeated: HostCall | None = None  # the last step, where it was the one before taken again

    def run(self, plan: RepeatablePlan, method: str, rows: dict[str, list[int]], values: dict[str, Any],
            completed: Tensor | None) -> None:
        """Takes a step of the plan.

        rows       the buffers' addresses by name
        values     the other arguments; tensors lie on the host
        completed  the number of completed steps; None: the method takes no step
        """
        # A number: a tensor that NumPy has seen cannot be resized any more, as offloaders do.
        step: dict[str, Any] = {} if completed is None else {"step": int(completed) + 1}
        lr = values["lr"]
        numbers = {**step, **lr_option(lr)}
        kind = (lr.dtype, lr.device, lr.numel()) if isinstance(lr, Tensor) else None
        key = (plan, method, *numbers, kind, *rows, *[
            (value.data_ptr(), value.dtype, value.numel()) if isinstance(value, Tensor) else value
            for name, value in values.items() if name != "lr"])
        if key == self._key:
            self._tables[:] = list(rows.values())
            plan.again(self._taken, numbers)
            self.repeated = HostCall(plan, self._taken, self._tables)
            return
        self.repeated = None
        self._tables = np.array(list(rows.values()), np.uint64)
        arrays = {name: value.detach().numpy() if isinstance(value, Tensor) else value
                  for name, value in values.items()}
        getattr(plan, method)(**dict(zip(rows, self._tables, strict=True)), **arrays, **step)
        self._key, self._taken = key, plan.last

    @staticmethod
    def call(plan: Plan, method: str, rows: dict[str, list[int]], values: dict[str, Any]) -> None:
        """Calls what is no step, as `run` takes it."""
        arrays = {name: value.numpy() if isinstance(value, Tensor) else value for name, value in values.items()}
        tables = np.array(list(rows.values()), np.uint64)
        getattr(plan, method)(**dict(zip(rows, tables, strict=True)), **arrays)

    @staticmethod
    def capturing() -> bool:
        return False

    @staticmethod
    def wait() -> None:
        return None

    @staticmethod
    def threads() -> int:
        """How many a plan takes that may choose, at this moment."""
        return torch.get_num_threads()


class _Everywhere:
    """The memory of this process as NumPy is told of it, but for its first bytes: an array at 0 would be none."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.__array_interface__ = {"data": (dtype.itemsize, False), "shape": (2**62 // dtype.itemsize,),
                                    "typestr": dtype.str, "version": 3}


class HostScalars:
    """Scalars that lie anywhere on the host, all read or written at once: torch takes as long for each one alone.

    addresses  uint64, each a multiple of the scalars' size; what lies there must live
    """

    def __init__(self, addresses: np.ndarray[Any, Any], dtype: Any) -> None:
        kind = np.dtype(dtype)
        self._memory = np.asarray(_Everywhere(kind))
        places = addresses.astype(np.int64) // kind.itemsize - 1
        self._places: Any = slice(places[0], places[0] + 1) if len(places) == 1 else places  # a view is taken at once

    def read(self) -> np.ndarray[Any, Any]:
        return self._memory[self._places]

    def write(self, values: np.ndarray[Any, Any]) -> None:
        self._memory[self._places] = values


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

    def run(self, plan: Plan, method: str, rows: dict[str, list[int]], values: dict[str, Any],
            completed: Tensor | None) -> None:
        """As that of HostMemory; everything lies on the device."""
        arrays = {name: value.detach() if isinstance(value, Tensor) else value for name, value in values.items()}
        if completed is not None:
            arrays["step"] = completed.detach()
        tables = dict(zip(rows, self.tables(list(rows.values())), strict=True))
        getattr(plan, method)(**tables, **arrays, stream=self.stream())

    def call(self, plan: Plan, method: str, rows: dict[str, list[int]], values: dict[str, Any]) -> None:
        """As that of HostMemory."""
        self.run(plan, method, rows, values, None)

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
