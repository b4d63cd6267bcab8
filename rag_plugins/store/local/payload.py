"""What is shown of passages, beside a database file: texts and metadata by id, in SQLite.

Lite takes 2 ms to give ten rows, this a tenth of it. It is derived data: a row that is not in it, or is
damaged, is read from Lite and put in.
"""

from __future__ import annotations

import contextlib
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rag_plugins.errors import StoreError
from rag_plugins.store.codec import dumps
from rag_plugins.store.sqlite import Database

__all__ = ["Payload"]

_TABLES = (
    # Words and boxes come last: SQLite reads a row no further than what is asked for.
    "CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, views BLOB, facts BLOB, provenance BLOB)",
    "CREATE TABLE IF NOT EXISTS mark (generation TEXT)",
)
_REMEDY = "passages are read from the database itself, which takes longer"
_FACTS = ("doc_id", "caller_id", "metadata", "llm_text")
_CRC = 4

_logger = logging.getLogger(__name__)


class Payload:
    """The rows of one tenant. Readers do not wait for the writer. Nothing raises: what fails is not there."""

    def __init__(self, path: Path) -> None:
        """The file is made with the first row."""
        self._path = path
        self._read = Database(path, _TABLES, _REMEDY)
        self._write = Database(path, _TABLES, _REMEDY)
        self._works = True
        self._open = False

    def rows(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What `codec.decode` reads of rows, by id; absent ones are left out."""
        found = self._select("SELECT id, views, facts, provenance FROM rows WHERE id IN", ids)
        return {id: row for id, *sealed in found if (row := _row(id, *sealed))}

    def views(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The views of rows as JSON, by id; absent ones are left out."""
        found = self._select("SELECT id, views FROM rows WHERE id IN", ids)
        return {id: data for id, sealed in found if (data := _opened(id, sealed)) is not None}

    def put(self, rows: Iterable[Mapping[str, Any]], *, replace: bool = True) -> None:
        """Keep rows; `replace=False` leaves those that are there, which may be newer."""
        query = f"INSERT OR {'REPLACE' if replace else 'IGNORE'} INTO rows VALUES (?, ?, ?, ?)"
        self._change(lambda: self._write.insert(query, map(_sealed_row, rows)))

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows; absent ids do not matter."""
        self._change(lambda: self._write.delete("DELETE FROM rows WHERE id IN", ids))

    @property
    def mark(self) -> str | None:
        """What it was last marked with."""
        if self._path.exists():
            with contextlib.suppress(StoreError):
                self._ready()
                with self._read.transaction() as connection:
                    return next((name for (name,) in connection.execute("SELECT generation FROM mark")), None)
        return None

    @mark.setter
    def mark(self, generation: str) -> None:
        def change() -> None:
            with self._write.transaction() as connection:
                connection.execute("DELETE FROM mark")
                connection.execute("INSERT INTO mark VALUES (?)", (generation,))

        self._change(change)

    def clear(self) -> None:
        """Begin again without rows."""
        self.close()
        self._works = True
        with contextlib.suppress(OSError):
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file; a later call opens it again."""
        self._open = False
        self._read.close()
        self._write.close()

    def _ready(self) -> bool:
        """Both connections are opened together: who deletes the file meanwhile shall not part them."""
        if self._works and not self._open:
            self._write.open()
            self._read.open()
            self._open = True
        return self._works

    def _select(self, query: str, ids: Sequence[str]) -> list[Any]:
        try:
            return self._read.select(query, ids) if ids and self._ready() else []
        except StoreError as error:
            self._give_up(error)
            return []

    def _change(self, change: Callable[[], None]) -> None:
        try:
            if self._ready():
                change()
        except StoreError as error:
            self._give_up(error)

    def _give_up(self, error: StoreError) -> None:
        """What could not be changed must not be believed later."""
        _logger.warning("%s", error)
        self.clear()
        self._works = False


def _sealed_row(row: Mapping[str, Any]) -> tuple[str, bytes, bytes, bytes]:
    id, views = row["id"], row["views"]
    # Most passages have one view, which is what the LLM reads, too: once is enough.
    same = views == dumps([["text", row["llm_text"]]])
    facts = dumps([None if same and name == "llm_text" else row[name] for name in _FACTS])
    return id, _sealed(id, views), _sealed(id, facts), _sealed(id, row["provenance"])


def _row(id: str, *sealed: bytes) -> dict[str, Any] | None:
    views, facts, provenance = (_opened(id, data) for data in sealed)
    if views is None or facts is None or provenance is None:
        return None
    row = dict(zip(_FACTS, json.loads(facts), strict=True))
    if row["llm_text"] is None:
        row["llm_text"] = json.loads(views)[0][1]
    return row | {"id": id, "views": views, "provenance": provenance}


def _sealed(id: str, text: str) -> bytes:
    """With a checksum over the id, too, for SQLite has none: a damaged page may give the wrong row."""
    data = text.encode()
    return zlib.crc32(data, zlib.crc32(id.encode())).to_bytes(_CRC, "big") + data


def _opened(id: str, sealed: Any) -> bytes | None:
    """None for what is damaged."""
    if not isinstance(sealed, bytes):
        return None
    data = sealed[_CRC:]
    return data if zlib.crc32(data, zlib.crc32(id.encode())).to_bytes(_CRC, "big") == sealed[:_CRC] else None
