"""Arrays in one file: a header of JSON, then the arrays as they lie in memory, each with its checksum.

    magic (8) | length of the header (4) | its crc32 (4) | header, JSON | arrays, each at a multiple of 64

The header lists name, type, shape, place and crc32 of every array, and what the caller has to say of them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from rag_plugins.errors import StoreError
from rag_plugins.types import JsonValue

__all__ = ["load", "save", "sweep"]

_MAGIC = b"RAGPLUG1"
"""The last character is the version of the format."""

_HEAD = struct.Struct("<8sII")
_ALIGNED = 64
_KINDS = "biuf"
"""Booleans, integers and floats: nothing that could hold Python objects."""

_UNFINISHED = ".part"


def save(path: Path, arrays: Mapping[str, NDArray[Any]], meta: JsonValue) -> None:
    """Write a file whole or not at all, through to the disk. Raises `StoreError`."""
    parts = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    temporary = path.with_name(f"{uuid4().hex}{_UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            _write(file, parts, meta)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"writing {path}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(path: Path) -> tuple[dict[str, NDArray[Any]], JsonValue]:
    """What `save` was given, read into memory. Raises `StoreError` for a file that is absent or damaged."""
    try:
        with open(path, "rb") as file:
            described, start = _header(file)
            arrays = {entry["name"]: _array(file, entry, start) for entry in described["arrays"]}
            return arrays, described["meta"]
    except (OSError, KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise StoreError(f"{path} cannot be read ({error}); it may be deleted, it is made again") from error


def sweep(folder: Path) -> None:
    """Remove what writers that were killed have left unfinished. Nobody may be writing."""
    for path in folder.glob(f"*{_UNFINISHED}"):
        path.unlink(missing_ok=True)


def _write(file: BinaryIO, arrays: Mapping[str, NDArray[Any]], meta: JsonValue) -> None:
    described: list[dict[str, Any]] = []
    end = 0
    for name, array in arrays.items():
        if array.dtype.kind not in _KINDS:
            raise StoreError(f"array {name} is of {array.dtype}: expected numbers or booleans")
        start = _aligned(end)
        end = start + array.nbytes
        entry = {"name": name, "type": array.dtype.str, "shape": array.shape, "at": start}
        described.append({**entry, "crc": _checksum(array)})
    header = json.dumps({"meta": meta, "arrays": described}).encode()
    file.write(_HEAD.pack(_MAGIC, len(header), zlib.crc32(header)))
    file.write(header)
    begin = _aligned(_HEAD.size + len(header))
    for entry, array in zip(described, arrays.values(), strict=True):
        file.write(b"\0" * (begin + entry["at"] - file.tell()))
        file.write(_bytes(array))


def _header(file: BinaryIO) -> tuple[Any, int]:
    """What the header says, and where the arrays begin."""
    magic, length, crc = _HEAD.unpack(file.read(_HEAD.size))
    if magic != _MAGIC:
        raise ValueError(f"it begins with {magic!r}, expected {_MAGIC!r}")
    if length > os.fstat(file.fileno()).st_size:  # Memory is taken before the file is found to be shorter.
        raise ValueError("its header is damaged")
    header = file.read(length)
    if len(header) != length or zlib.crc32(header) != crc:
        raise ValueError("its header is damaged")
    return json.loads(header), _aligned(_HEAD.size + length)


def _array(file: BinaryIO, entry: Mapping[str, Any], start: int) -> NDArray[Any]:
    kind, shape = np.dtype(entry["type"]), tuple(entry["shape"])
    file.seek(start + entry["at"])
    array = np.fromfile(file, kind, math.prod(shape))
    if array.size != math.prod(shape) or _checksum(array) != entry["crc"]:
        raise ValueError(f"{entry['name']} is damaged")
    return array.reshape(shape)


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(_bytes(array))


def _bytes(array: NDArray[Any]) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8))  # pyright: ignore[reportArgumentType]


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _sync_folder(folder: Path) -> None:
    """So that the new name, too, survives a loss of power; Windows cannot and need not."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
