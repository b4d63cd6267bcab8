"""Which rows have changed since a snapshot: ids, written before the rows are."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path

from rag_plugins.errors import StoreError

__all__ = ["Journal"]

_MAGIC = b"RAGJRNL1"
_HEAD = struct.Struct("<II")
"""Length and crc32 of a record; the crc32 of these two follows."""

_CRC = struct.Struct("<I")
_IDS, _LINK = b"i", b"g"
"""What a record has: ids of 32 bytes each, or the generation that the collection has from here on."""

_ID = 32


class Journal:
    """A file that begins with the generation of a snapshot. One writer at a time.

    A record is on the disk when the call that adds it returns. One that a crash has cut short was never
    acted upon, so it is left out.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is read or written yet; `begin` or `resume` comes first."""
        self._path = path
        self._file: FileIO | None = None
        self._ids: dict[str, None] = {}
        self._generations: list[str] = []
        self._mode = "wb"

    @property
    def generation(self) -> str | None:
        """What the collection's must be for snapshot and journal together to be true; None: no one helps."""
        return self._generations[-1] if self._generations else None

    @property
    def generations(self) -> Sequence[str]:
        """The snapshot's, and what it has been since."""
        return self._generations

    @property
    def ids(self) -> list[str]:
        """What has changed since the snapshot, each once."""
        return list(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def resume(self, generation: str) -> None:
        """Go on after the snapshot of that generation. Raises `StoreError` where the file is damaged."""
        try:
            data = self._path.read_bytes() if self._path.exists() else b""
            records, end = _parsed(data)
            if not records or records[0] != (_LINK, generation.encode()):
                return self.begin(generation)
            self.close()
            self._mode = "ab"
            self._generations = [data.decode() for kind, data in records if kind == _LINK]
            self._ids = dict.fromkeys(id for kind, data in records if kind == _IDS for id in _unpacked(data))
            if end < len(data):
                os.truncate(self._path, end)
        except (OSError, ValueError) as error:
            raise StoreError(f"{self._path} cannot be read ({error}); it may be deleted") from error

    def begin(self, generation: str | None) -> None:
        """Start again after a snapshot of that generation, or without one: then ids are not written down."""
        self.give_up()
        self._generations = [] if generation is None else [generation]
        self._ids, self._mode = {}, "wb"

    def link(self, generation: str) -> None:
        """The collection is about to have another generation. Raises `OSError` and has given up."""
        if self._generations:
            self._add(_LINK, generation.encode())
            self._generations.append(generation)

    def add(self, ids: Sequence[str]) -> None:
        """Rows of these ids are about to change. Raises `OSError` and has given up."""
        self._ids |= dict.fromkeys(ids)
        if self._generations:
            self._add(_IDS, bytes.fromhex("".join(ids)))

    def give_up(self) -> None:
        """What is to be added cannot be: whoever looks for the file later must not find it."""
        self.close()
        self._generations = []
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file; it is opened again when needed."""
        if self._file:
            self._file.close()
            self._file = None

    def _add(self, kind: bytes, data: bytes) -> None:
        try:
            file = self._file or self._open()
            _write(file, kind, data)
            os.fsync(file.fileno())
        except OSError:
            self.give_up()
            raise

    def _open(self) -> FileIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what could not be written must not be tried again when the file is closed.
        file = self._file = FileIO(self._path, self._mode)
        if self._mode == "wb":
            _put(file, _MAGIC)
            _write(file, _LINK, self._generations[0].encode())
            self._mode = "ab"
        return file


def _write(file: FileIO, kind: bytes, data: bytes) -> None:
    head = _HEAD.pack(len(kind + data), zlib.crc32(kind + data))
    _put(file, head + _CRC.pack(zlib.crc32(head)) + kind + data)


def _put(file: FileIO, data: bytes) -> None:
    if file.write(data) != len(data):
        raise OSError("no space left for it")


def _parsed(data: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """(kind, data) of all whole records, and where they end. Raises `ValueError` for damaged ones."""
    records: list[tuple[bytes, bytes]] = []
    end = len(_MAGIC)
    if data[:end] != _MAGIC[: len(data)]:
        raise ValueError(f"it begins with {data[:end]!r}, expected {_MAGIC!r}")
    begin = end + _HEAD.size + _CRC.size
    while begin <= len(data):
        head = data[end : end + _HEAD.size]
        length, crc = _HEAD.unpack(head)
        if _CRC.unpack_from(data, end + _HEAD.size) != (zlib.crc32(head),):
            raise ValueError(f"damaged at byte {end}")
        if begin + length > len(data):
            break  # A crash has cut it short.
        record = data[begin : begin + length]
        if zlib.crc32(record) != crc:
            raise ValueError(f"damaged at byte {begin}")
        records.append((record[:1], record[1:]))
        end = begin + length
        begin = end + _HEAD.size + _CRC.size
    return records, end


def _unpacked(data: bytes) -> Iterator[str]:
    return (data[start : start + _ID].hex() for start in range(0, len(data), _ID))
