"""Writes TensorFlow's checkpoint format, for the tests of what reads it: LevelDB's table of protocol buffers."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {"float32": 1, "int64": 9, "float16": 19}


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def number(field: int, value: int) -> bytes:
    """As protocol buffers have it: 0 is left out."""
    return varint(field << 3) + varint(value) if value else b""


def held(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Keys without what they share with the one before; one restart point; no compression; the checksum is left 0."""
    written, last = b"", b""
    for key, value in pairs:
        shared = len(os.path.commonprefix([last, key]))
        written += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return written + struct.pack("<II", 0, 1) + bytes(5)


def write_checkpoint(prefix: Path, arrays: dict[str, Any]) -> None:
    data, entries = b"", [(b"", number(1, 1) + held(3, number(1, 1)))]
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        raw = array.tobytes()
        shape = b"".join(held(2, number(1, size)) for size in array.shape)
        entries.append((name.encode(), number(1, DTYPES[str(array.dtype)]) + held(2, shape) + number(4, len(data))
                        + number(5, len(raw)) + varint(6 << 3 | 5) + bytes(4)))
        data += raw
    table = block(entries)
    metaindex = varint(len(table)) + varint(len(block([])) - 5)
    whole = table + block([])
    index = block([(b"~", varint(0) + varint(len(table) - 5))])
    footer = (metaindex + varint(len(whole)) + varint(len(index) - 5)).ljust(40, b"\0")
    Path(f"{prefix}.index").write_bytes(whole + index + footer + struct.pack("<Q", 0xDB4775248B80FB57))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
