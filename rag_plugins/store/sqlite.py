"""An SQLite file beside a database: derived data by passage id."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rag_plugins.errors import StoreError
from rag_plugins.store.space import ADVICE, has_no_room, is_full

__all__ = ["Database"]

_VARIABLES = 500  # SQLite's oldest limit is 999 a statement.


class Database:
    """The file is made with the first call. Threads may share it, and take turns.

    Raises `StoreError` for whatever SQLite says.
    """

    def __init__(self, path: Path, tables: Sequence[str], remedy: str) -> None:
        """`tables` are made where they are absent; `remedy` ends every error."""
        self._path = path
        self._tables = tables
        self._remedy = remedy
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, or make it, before the first call does."""
        with self.transaction():
            pass

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Statements that count together or not at all."""
        with self._lock:
            try:
                self._connection = self._connection or self._connect()
                with self._connection as connection:
                    yield connection
            except (sqlite3.Error, OSError) as error:
                raise StoreError(self._told(error)) from error

    def select(self, query: str, ids: Sequence[str], *before: str) -> list[Any]:
        """Rows of a query that ends in `IN`, for any number of ids; `before` fills its other places."""
        with self.transaction() as connection:
            return [
                row
                for batch in _batches(ids)
                for row in connection.execute(f"{query} ({_places(batch)})", (*before, *batch))
            ]

    def delete(self, query: str, ids: Sequence[str], *before: str) -> None:
        """The same for a deletion."""
        with self.transaction() as connection:
            for batch in _batches(ids):
                connection.execute(f"{query} ({_places(batch)})", (*before, *batch))

    def insert(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """A statement for each row."""
        with self.transaction() as connection:
            connection.executemany(query, rows)

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None

    def _told(self, error: Exception) -> str:
        text = f"{self._path}: {error}"
        # Without room for the index of its log, it calls that an I/O error.
        if is_full(text) or has_no_room(self._path):
            return f"{text}: {ADVICE}"
        return f"{text}; {self._remedy}"

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            # A log beside the file: readers see whole transactions, and a crash of the process loses none.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            for table in self._tables:
                connection.execute(table)
        except BaseException:
            connection.close()
            raise
        return connection


def _places(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _VARIABLES] for start in range(0, len(ids), _VARIABLES))
