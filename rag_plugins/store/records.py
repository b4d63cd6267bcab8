"""What a collection should hold, kept apart from it: JSON by key.

A file database keeps it in SQLite beside it, where Milvus Lite's own bookkeeping cannot lose it together with
the rows. A server keeps it in the companion collection, where every client finds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rag_plugins.store.engine import Engine
from rag_plugins.store.sqlite import Database
from rag_plugins.store.state import State
from rag_plugins.types import JsonValue

__all__ = ["FileRecords", "Records", "records_of"]

_TABLE = "CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_REMEDY = "where it is damaged, delete it: the passages that are there are then taken as those that should be"


class Records(Protocol):
    """As `State` has it."""

    def get_all(self, keys: Sequence[str]) -> dict[str, JsonValue]:
        """The values of these keys; absent ones are left out."""
        ...

    def get_many(self, prefix: str) -> dict[str, JsonValue]:
        """The values of all keys that begin so, in the order of their keys."""
        ...

    def put(self, values: Mapping[str, JsonValue]) -> None:
        """Set values, each replacing what its key had."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove keys with their values; absent ones do not matter."""
        ...


class FileRecords:
    """Records of one collection in an SQLite file. Safe to share between threads."""

    def __init__(self, path: Path, collection: str) -> None:
        """The file is made with the first call."""
        self.path: Path = path
        self._scope = f"{collection}/"
        self._file = Database(path, [_TABLE], _REMEDY)

    def get_all(self, keys: Sequence[str]) -> dict[str, JsonValue]:
        """See `Records.get_all`."""
        query = "SELECT key, value FROM records WHERE key IN"
        return self._values(self._file.select(query, [self._scope + key for key in keys]))

    def get_many(self, prefix: str) -> dict[str, JsonValue]:
        """See `Records.get_many`."""
        first = self._scope + prefix
        query = "SELECT key, value FROM records WHERE key >= ? AND key < ? ORDER BY key"
        with self._file.transaction() as connection:
            return self._values(connection.execute(query, (first, first + chr(0x10FFFF))))

    def put(self, values: Mapping[str, JsonValue]) -> None:
        """See `Records.put`."""
        rows = ((self._scope + key, json.dumps(value)) for key, value in values.items())
        self._file.insert("INSERT OR REPLACE INTO records VALUES (?, ?)", rows)

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records.delete`."""
        self._file.delete("DELETE FROM records WHERE key IN", [self._scope + key for key in keys])

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        self._file.close()

    def _values(self, rows: Iterable[Any]) -> dict[str, JsonValue]:
        return {key.removeprefix(self._scope): json.loads(value) for key, value in rows}


def records_of(engine: Engine, collection: str, state: State) -> FileRecords | State:
    """Where the records of a collection are kept."""
    path = engine.address.path
    return state if path is None else FileRecords(path.with_name(path.name + ".manifest"), collection)
