"""Calls of a bucket that can be made again, with another lr, number of the step and gradients at other addresses.

Both kinds have `layers`, how many take part, and are asked in this order: `settle` once, then for every call
`completed` and `run`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._columns import Compiled, InNumpy
from ._memory import CudaMemory, HostCall, lr_option
from ._native import Functions

Rows = np.ndarray[Any, Any]  # uint64


class OnHost:
    """A call on the host: the one of the library is made again.

    call     of the library
    layers   which layers take part
    vectors  the arrays of one value for each of the bucket's layers, which the call reads and writes
    has_step, depends_on_step  whether the layers count their steps, and whether the call is told how many
    """

    def __init__(self, call: HostCall, layers: Sequence[int], vectors: Sequence[np.ndarray[Any, Any]],
                 has_step: bool, depends_on_step: bool) -> None:
        self.call, self.layers = call, len(layers)
        self._places = np.array(layers, np.int64)
        self._vectors = vectors
        self._has_step, self._depends_on_step = has_step, depends_on_step
        self._columns: InNumpy | Compiled | None = None

    def settle(self, rows: Rows, functions: Functions | None) -> bool:
        """rows: the addresses, one for each of these layers, of the buffers, of what the vectors are made of, and of
        the numbers of steps; they are kept, and read at every call. False where the call was not made with these.
        functions: those that take the place of NumPy's."""
        buffers, scalars = rows[:len(self.call.tables)], self.scalars(rows)
        if len(scalars) != len(self._vectors) + self._has_step:
            return False
        if not np.array_equal(buffers, self.call.tables[:, self._places]):
            return False
        sizes = [vector.itemsize for vector in self._vectors] + [np.dtype(np.int64).itemsize] * self._has_step
        if any((row % size).any() for row, size in zip(scalars, sizes, strict=True)):
            return False
        of_call = self.call.tables, self._vectors, self._places, rows
        self._columns = InNumpy(*of_call) if functions is None else Compiled(functions, *of_call)
        return True

    def scalars(self, rows: Rows) -> Rows:
        """The rows of what has one value a layer."""
        return rows[len(self.call.tables):]

    def completed(self) -> int | None:
        """The number of completed steps that the call is to be told; None: it is told none; -1: the layers differ."""
        assert self._columns is not None
        return self._columns.completed() if self._depends_on_step and self._has_step else None

    def run(self, lr: Any, completed: int | None, tensors: list[Tensor], begin: int) -> None:
        """lr: a number, or a float32 tensor; tensors: those of `settle`'s rows, from begin on."""
        assert self._columns is not None
        numbers = lr_option(lr)
        if completed is not None:
            numbers["step"] = completed + 1
        self._columns.fill()
        self.call.plan.again(self.call.taken, numbers)
        self._columns.write_back()


class OnDevice:
    """A call whose tables a device reads, and whose layers' values lie there, each in its own tensor; not one that
    depends on the number of the step.

    plan, method, arguments  as `CudaMemory.run` takes them
    rows       the buffers' addresses by name, for all of the bucket's layers, 0 where one takes no part
    vectors    by name the arrays of one value for each of the bucket's layers, whole and apart; None: not given
    has_step   whether the layers count their steps
    """

    def __init__(self, memory: CudaMemory, plan: Any, method: str, layers: Sequence[int], rows: Mapping[str, list[int]],
                 vectors: Mapping[str, tuple[Tensor, Sequence[Tensor]] | None], arguments: Mapping[str, Any],
                 has_step: bool) -> None:
        self.layers = len(layers)
        self._memory, self._plan, self._method, self._names = memory, plan, method, list(rows)
        self._places = np.array(layers, np.int64)
        self._table = np.array(list(rows.values()), np.uint64)
        self._parts = [[vector[1][place] for place in layers] for vector in vectors.values() if vector is not None]
        self._has_step = has_step
        self._arguments = {name: value for name, value in arguments.items() if name != "lr"} | {
            name: None if vector is None else vector[0] for name, vector in vectors.items()}
        self._rows = np.zeros((0, 0), np.uint64)

    def settle(self, rows: Rows, _: Functions | None) -> bool:
        self._rows = rows[:len(self._table)]
        return (len(self.scalars(rows)) == len(self._parts) + self._has_step
                and np.array_equal(self._rows, self._table[:, self._places]))

    def scalars(self, rows: Rows) -> Rows:
        return rows[len(self._table):]

    def completed(self) -> int | None:
        return None

    def run(self, lr: Any, completed: int | None, tensors: list[Tensor], begin: int) -> None:
        ends = range(begin + len(self._table) * self.layers, len(tensors) + 1, self.layers)
        kinds = [tensors[end:end + self.layers] for end in ends[:len(self._parts) + self._has_step]]
        self._table[:, self._places] = self._rows
        with torch.no_grad():
            for part, scalars in zip(self._parts, kinds, strict=False):
                torch._foreach_copy_(part, scalars)
            self._memory.run(self._plan, self._method, dict(zip(self._names, self._table.tolist(), strict=True)),
                             {**self._arguments, "lr": lr if isinstance(lr, Tensor) else lr or 0.0}, None)
            for part, scalars in zip(self._parts, kinds, strict=False):
                torch._foreach_copy_(scalars, part)
            if self._has_step:
                torch._foreach_add_(kinds[-1], 1)
