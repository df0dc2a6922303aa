"""TensorFlow's checkpoints, format V2: a sorted table of what there is, and its bytes in files beside it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_DTYPES = {1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 9: "i8", 10: "?", 17: "u2", 19: "f2", 22: "u4",
           23: "u8"}


class _Entry(NamedTuple):
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    slices: bool


def read_checkpoint(prefix: str | os.PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a checkpoint by their names; strings and bfloat16 are left out, checksums are not checked.

    prefix  "run/model-10" for the files run/model-10.index and run/model-10.data-00000-of-00001, or the .index itself

    Raises OSError for a file that cannot be read, and ValueError naming one that is no such checkpoint, is cut short,
    or is compressed, big-endian or of partitioned variables.
    """
    stem = os.fspath(prefix).removesuffix(".index")
    entries = dict(_table(Path(stem + ".index")))
    header = _fields(entries.pop("", b""))
    shards = int(header.get(1, [1])[0])
    if int(header.get(2, [0])[0]):
        raise ValueError(f"{stem}.index is of a big-endian machine")
    files = [np.memmap(f"{stem}.data-{shard:05d}-of-{shards:05d}", np.uint8, "r") for shard in range(shards)]
    arrays = {}
    for name, raw in entries.items():
        entry = _entry(raw)
        if entry.slices:
            raise ValueError(f"{name} of {stem} is partitioned: save it whole")
        if entry.dtype not in _DTYPES:
            continue
        held = bytes(files[entry.shard][entry.offset:entry.offset + entry.size])
        dtype = np.dtype(_DTYPES[entry.dtype]).newbyteorder("<")
        if len(held) != entry.size or entry.size != dtype.itemsize * int(np.prod(entry.shape, dtype=np.int64)):
            raise ValueError(f"{name} of {stem}.data: {len(held)} bytes for {entry.shape} of {dtype}: the file is cut "
                             "short")
        arrays[name] = np.frombuffer(held, dtype).reshape(entry.shape).astype(dtype.newbyteorder("="))
    return arrays


def _table(path: Path) -> Iterator[tuple[str, bytes]]:
    """The keys and values of a sorted table, LevelDB's."""
    held = path.read_bytes()
    if len(held) < _FOOTER or struct.unpack("<Q", held[-8:])[0] != _MAGIC:
        raise ValueError(f"{path} is no index of a TensorFlow checkpoint")
    footer = held[-_FOOTER:]
    _, at = _handle(footer, 0)  # of the metaindex, which holds nothing
    index, _ = _handle(footer, at)
    for _, value in _block(held, index, path):
        yield from ((key.decode(), entry) for key, entry in _block(held, _handle(value, 0)[0], path))


def _handle(held: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(held, at)
    size, at = _varint(held, at)
    return (offset, size), at


def _block(held: bytes, handle: tuple[int, int], path: Path) -> Iterator[tuple[bytes, bytes]]:
    offset, size = handle
    if offset + size + 5 > len(held):
        raise ValueError(f"{path} is cut short")
    if held[offset + size]:
        raise ValueError(f"{path} is compressed: save it without")
    block = held[offset:offset + size]
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]  # where the restart points begin
    key, at = b"", 0
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at:at + own]
        yield key, block[at + own:at + own + length]
        at += own + length


def _varint(held: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = held[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _fields(message: bytes) -> dict[int, list[Any]]:
    """A protocol buffer's fields: numbers, and bytes for what is longer."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value: Any
        if tag & 7 == 0:
            value, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(tag & 7)
            if size is None:
                size, at = _varint(message, at)
            value, at = message[at:at + size], at + size
        found.setdefault(tag >> 3, []).append(value)
    return found


def _entry(message: bytes) -> _Entry:
    fields = _fields(message)
    shape = _fields(fields.get(2, [b""])[0]).get(2, [])
    dtype, shard, offset, size = (int(fields.get(number, [0])[0]) for number in (1, 3, 4, 5))
    return _Entry(dtype, tuple(int(_fields(size).get(1, [0])[0]) for size in shape), shard, offset, size, 7 in fields)
