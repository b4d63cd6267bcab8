"""Packed token vectors by leg and passage id, apart from the rows.

Apart, because Milvus Lite holds every field of every row in memory: with 30 KB of tokens a row, 10,000
rows took 860 MB more while they were written, and a segment's texts may not pass 2 GB. A file database
keeps them in SQLite beside it, a server in a companion collection. They are derived data: whoever finds
none computes them again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rag_plugins.store.engine import Engine
from rag_plugins.store.sqlite import Database
from rag_plugins.store.state import State

__all__ = ["FileTokens", "ServerTokens", "TokenStore", "token_store"]

_TABLE = (
    "CREATE TABLE IF NOT EXISTS tokens "
    "(scope TEXT, id TEXT, name TEXT, data BLOB, PRIMARY KEY (scope, id, name))"
)


class TokenStore(Protocol):
    """Bytes by name and passage id, within one tenant of one collection."""

    def get(self, name: str, ids: Sequence[str]) -> dict[str, bytes]:
        """What is there of these ids."""
        ...

    def put(self, tokens: Mapping[str, Mapping[str, bytes]]) -> None:
        """Keep or replace, by id and name; names that are not kept are left out."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Remove, whatever the name; absent ids do not matter."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class FileTokens:
    """Tokens in an SQLite file. Safe to share between threads."""

    def __init__(self, path: Path, scope: str, names: Collection[str]) -> None:
        """`scope` names collection and tenant."""
        self._scope = scope
        self._names = names
        self._file = Database(path, [_TABLE], "it may be deleted, tokens are made again")

    def get(self, name: str, ids: Sequence[str]) -> dict[str, bytes]:
        """See `TokenStore.get`."""
        query = "SELECT id, data FROM tokens WHERE scope = ? AND name = ? AND id IN"
        return dict(self._file.select(query, ids, self._scope, name))

    def put(self, tokens: Mapping[str, Mapping[str, bytes]]) -> None:
        """See `TokenStore.put`."""
        rows = ((self._scope, id, name, data) for id, name, data in _listed(tokens, self._names))
        self._file.insert("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)", rows)

    def delete(self, ids: Sequence[str]) -> None:
        """See `TokenStore.delete`."""
        self._file.delete("DELETE FROM tokens WHERE scope = ? AND id IN", ids, self._scope)

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        self._file.close()


class ServerTokens:
    """Tokens in a companion collection, where every client of the server finds them."""

    def __init__(self, texts: State, scope: str, names: Collection[str]) -> None:
        """`scope` names the tenant."""
        self._texts = texts
        self._scope = hashlib.sha256(scope.encode()).hexdigest()[:32]
        self._names = names

    def get(self, name: str, ids: Sequence[str]) -> dict[str, bytes]:
        """See `TokenStore.get`."""
        found = self._texts.get_all([self._key(name, id) for id in ids])
        return {key.rpartition("/")[2]: base64.b64decode(str(text)) for key, text in found.items()}

    def put(self, tokens: Mapping[str, Mapping[str, bytes]]) -> None:
        """See `TokenStore.put`."""
        listed = _listed(tokens, self._names)
        self._texts.put({self._key(name, id): base64.b64encode(data).decode() for id, name, data in listed})

    def delete(self, ids: Sequence[str]) -> None:
        """See `TokenStore.delete`."""
        self._texts.delete([self._key(name, id) for id in ids for name in self._names])

    def close(self) -> None:
        """There is nothing to let go of."""

    def _key(self, name: str, id: str) -> str:
        return f"{self._scope}/{name}/{id}"


def token_store(engine: Engine, collection: str, tenant: str, names: Collection[str]) -> TokenStore | None:
    """Where the token vectors of a tenant's passages are kept, those of these names; None without names."""
    if not names:
        return None
    path = engine.address.path
    if path is None:
        return ServerTokens(State(engine, f"{collection}_tokens"), tenant, names)
    return FileTokens(path.with_name(path.name + ".tokens"), f"{collection}/{tenant}", names)


def _listed(
    tokens: Mapping[str, Mapping[str, bytes]], names: Collection[str]
) -> Iterator[tuple[str, str, bytes]]:
    """(id, name, bytes) of those to be kept."""
    return (
        (id, name, data) for id, of_row in tokens.items() for name, data in of_row.items() if name in names
    )
