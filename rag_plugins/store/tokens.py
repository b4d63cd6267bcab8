"""Packed token vectors by passage id, apart from the rows.

Apart, because Milvus Lite holds every field of every row in memory: with 30 KB of tokens a row, 10,000
rows took 860 MB more while they were written, and a segment's texts may not pass 2 GB. A file database
keeps them in SQLite beside it, a server in a companion collection. They are derived data: whoever finds
none computes them again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rag_plugins.store.engine import Engine
from rag_plugins.store.sqlite import Database
from rag_plugins.store.state import State

__all__ = ["FileTokens", "ServerTokens", "TokenStore", "token_store"]

_TABLE = "CREATE TABLE IF NOT EXISTS tokens (scope TEXT, id TEXT, data BLOB, PRIMARY KEY (scope, id))"


class TokenStore(Protocol):
    """Bytes by passage id, within one tenant of one collection."""

    def get(self, ids: Sequence[str]) -> dict[str, bytes]:
        """What is there of these ids."""
        ...

    def put(self, tokens: Mapping[str, bytes]) -> None:
        """Keep or replace."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Remove; absent ids do not matter."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class FileTokens:
    """Tokens in an SQLite file. Safe to share between threads."""

    def __init__(self, path: Path, scope: str) -> None:
        """`scope` names collection and tenant."""
        self._scope = scope
        self._file = Database(path, [_TABLE], "it may be deleted, tokens are made again")

    def get(self, ids: Sequence[str]) -> dict[str, bytes]:
        """What is there of these ids."""
        query = "SELECT id, data FROM tokens WHERE scope = ? AND id IN"
        return dict(self._file.select(query, ids, self._scope))

    def put(self, tokens: Mapping[str, bytes]) -> None:
        """Keep or replace."""
        rows = [(self._scope, id, data) for id, data in tokens.items()]
        self._file.insert("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)", rows)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove; absent ids do not matter."""
        self._file.delete("DELETE FROM tokens WHERE scope = ? AND id IN", ids, self._scope)

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        self._file.close()


class ServerTokens:
    """Tokens in a companion collection, where every client of the server finds them."""

    def __init__(self, texts: State, scope: str) -> None:
        """`scope` names the tenant."""
        self._texts = texts
        self._scope = hashlib.sha256(scope.encode()).hexdigest()[:32]

    def get(self, ids: Sequence[str]) -> dict[str, bytes]:
        """What is there of these ids."""
        found = self._texts.get_all([self._key(id) for id in ids])
        return {key.rpartition("/")[2]: base64.b64decode(str(text)) for key, text in found.items()}

    def put(self, tokens: Mapping[str, bytes]) -> None:
        """Keep or replace."""
        self._texts.put({self._key(id): base64.b64encode(data).decode() for id, data in tokens.items()})

    def delete(self, ids: Sequence[str]) -> None:
        """Remove; absent ids do not matter."""
        self._texts.delete([self._key(id) for id in ids])

    def close(self) -> None:
        """There is nothing to let go of."""

    def _key(self, id: str) -> str:
        return f"{self._scope}/{id}"


def token_store(engine: Engine, collection: str, tenant: str) -> TokenStore:
    """Where the token vectors of a tenant's passages are kept."""
    path = engine.address.path
    if path is None:
        return ServerTokens(State(engine, f"{collection}_tokens"), tenant)
    return FileTokens(path.with_name(path.name + ".tokens"), f"{collection}/{tenant}")
