"""What a repeated call of the library on the host reads and writes that is no tensor's own memory: tables of addresses,
and vectors of what each layer has one value of. Filled from where the layers' tensors lie, and written back there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._memory import HostScalars
from ._native import Functions

Array = np.ndarray[Any, Any]


class InNumpy:
    """The columns of a call's layers.

    tables   uint64, a row for each buffer
    vectors  each of one kind of value
    columns  int64, those of these layers, in their order
    rows     uint64, read at every call: the layers' addresses in each table, then of what each vector has, then of
             their numbers of steps, where they count them. All of the latter lie on multiples of their size
    """

    def __init__(self, tables: Array, vectors: Sequence[Array], columns: Array, rows: Array) -> None:
        whole = np.array_equal(columns, np.arange(tables.shape[1]))
        self._columns: Any = slice(None) if whole else columns
        self._tables, self._vectors, self._addresses = tables, vectors, rows[:len(tables)]
        scalars = rows[len(tables):]
        self._scalars = [HostScalars(row, vector.dtype) for row, vector in zip(scalars, vectors, strict=False)]
        self._steps = HostScalars(scalars[-1], np.int64) if len(scalars) > len(vectors) else None

    def completed(self) -> int:
        """The number of steps that all of the layers have completed; -1: they differ."""
        assert self._steps is not None
        counts = self._steps.read()
        return int(counts[0]) if (counts == counts[0]).all() else -1

    def fill(self) -> None:
        self._tables[:, self._columns] = self._addresses
        for vector, scalars in zip(self._vectors, self._scalars, strict=True):
            vector[self._columns] = scalars.read()

    def write_back(self) -> None:
        """Adds 1 to the numbers of steps."""
        for vector, scalars in zip(self._vectors, self._scalars, strict=True):
            scalars.write(vector[self._columns])
        if self._steps is not None:
            self._steps.write(self._steps.read() + 1)


class Compiled:
    """The same, in watch.cpp."""

    def __init__(self, functions: Functions, tables: Array, vectors: Sequence[Array], columns: Array,
                 rows: Array) -> None:
        self._functions = functions
        self._alive = tables, vectors, columns, rows
        has_step = len(rows) > len(tables) + len(vectors)
        self._of_call = functions.columns(
            (tables.ctypes.data, *tables.shape), [(vector.ctypes.data, vector.itemsize) for vector in vectors],
            (columns.ctypes.data, len(columns)), (rows.ctypes.data, has_step))

    def completed(self) -> int:
        found: int = self._functions.completed(self._of_call)
        return found

    def fill(self) -> None:
        self._functions.fill(self._of_call)

    def write_back(self) -> None:
        self._functions.write_back(self._of_call)
