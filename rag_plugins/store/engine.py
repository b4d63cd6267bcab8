"""One connection to Milvus, a Lite file or a server, with its traps avoided.

The traps (Milvus Lite 3.2, pymilvus 2.6 and 3.0, as measured): collections are released after a reopening
or a server's restart; a closed client keeps the file's lock; unflushed rows are searched row by row; two
writers of one collection corrupt each other; `get(ids=…)` and `delete(ids=…)` do not escape.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from threading import RLock
from time import monotonic, sleep
from types import MappingProxyType
from typing import Any, TypeVar

import grpc
from pymilvus import CollectionSchema, MilvusException
from pymilvus.milvus_client.index import IndexParams

from rag_plugins.config import StoreConfig
from rag_plugins.errors import StoreError, StoreUnavailable
from rag_plugins.filters import literal
from rag_plugins.store.address import Address
from rag_plugins.store.connection import connect, disconnect
from rag_plugins.store.indexes import explicit
from rag_plugins.store.patience import Patience, Turns, patience
from rag_plugins.store.report import reported
from rag_plugins.store.space import is_full

__all__ = ["Engine", "Entity", "cut", "id_in"]

T = TypeVar("T")
K = TypeVar("K", str, str | int)

Entity = dict[str, Any]
"""A row as the engine takes and gives it."""

_IDS_A_CALL = 512
"""Rows asked for at once."""

_IDS_A_PAGE = 16_384
"""The longest page a server gives. Long, because each costs Lite a pass over all rows."""

_NOT_LOADED = 101

_PAUSES = (0.01, 0.05, 0.2, 0.5)
"""Seconds before a call that broke off is made again. It then waits for the server by itself."""

_OVERTAKEN = "current_seq is monotonic"
"""What Lite's server says where two processes flush a collection at once."""

_OVERTAKINGS = 5
"""How often in a row that may be."""

_NOBODY = "0" * 64
"""An id that no row has."""

_APPEARING = (0.05, 0.1, 0.15, 0.3, 0.4)
"""Seconds before each look for a collection that somebody else is creating."""

_FILE_TIMEOUT = 600.0  # A file has no network to wait for, and its first sparse search builds all postings.


class Engine:
    """Collections by name. Safe to share between threads; not to be carried over a fork.

    Calls raise `StoreUnavailable` when nobody answers in time, `StoreError` for whatever else goes wrong.
    """

    def __init__(self, uri: str | Path, config: StoreConfig) -> None:
        """Connect. Raises `ConfigError` for an unusable address, `StoreLocked`, `StoreUnavailable`."""
        self.address: Address = Address.of(uri)
        self._timeout = max(config.timeout, _FILE_TIMEOUT) if self.address.path else config.timeout
        self._connection = connect(self.address, config, self._timeout)
        self._client = self._connection.client
        self._closed = False
        self.lock: AbstractContextManager[None] = self.turns(self._connection.lock)
        self.recovered: bool = self._connection.recovered
        # A real server limits how often it may be flushed, and does not need it.
        self.lite: bool = self._connection.lite

    def close(self) -> None:
        """Disconnect; the last engine on a file frees its lock. Idempotent."""
        if os.getpid() != self._connection.process:
            return  # A forked child must not touch what its parent uses.
        with self.lock:
            if not self._closed:
                self._closed = True
                disconnect(self._connection)

    def check(self) -> None:
        """Raise `StoreError` where it is closed, or was opened before a fork."""
        if self._closed:
            raise StoreError(f"the store on {self.address} is closed: open it again")
        self._connection.check_process()

    def shared(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """One object a key for all engines on this address, made by the first who asks."""
        return self._connection.shared(key, make)

    def patience(self, *, renewed: bool = False) -> AbstractContextManager[Patience]:
        """Calls within it wait no longer than one may; see `Patience`."""
        return patience(self._timeout, renewed=renewed)

    def turns(self, lock: RLock) -> Turns:
        """A lock that is held while calls are made; see `Turns`."""
        return Turns(lock, lambda: self.patience(renewed=True), self._connection.answers)

    @property
    def found(self) -> Mapping[str, int]:
        """The files of a database as they were before it was opened: see `Address.files`."""
        return self._connection.found

    def at_end(self, key: str, call: Callable[[], None]) -> None:
        """Call when the last engine on this address is closed, once a key. It may not hold on to a store."""
        self._connection.at_end[key] = call

    def has(self, name: str) -> bool:
        """Whether there is a collection of that name."""
        return self._ask("has_collection", name)

    def names(self) -> list[str]:
        """All collections."""
        self.check()
        return self._within(
            "list_collections", lambda left: list(self._client.list_collections(timeout=left))
        )

    def describe(self, name: str) -> Mapping[str, Any]:
        """The schema of a collection, as Milvus tells it."""
        return self._ask("describe_collection", name)

    def create(
        self, name: str, schema: CollectionSchema, index: IndexParams, partitions: int | None = None
    ) -> None:
        """Create, index and load; `partitions` where the schema has a partition key.

        Apart from each other: as one call they take half a second on Lite.
        """
        with self.lock:
            parts = {} if partitions is None else {"num_partitions": partitions}
            self._ask("create_collection", name, schema=schema, consistency_level="Strong", **parts)
            # Lite gains nothing from indexes: it searches exactly either way, as fast without. And a process
            # killed while Lite writes an index file leaves a collection that cannot be loaded again.
            wanted = explicit(index) if self.lite else index
            if wanted:
                self._ask("create_index", name, index_params=wanted, sync=False)
            self.load(name)

    def ensure(self, name: str, schema: CollectionSchema, index: IndexParams) -> None:
        """Create it; where somebody else is just doing the same, that one will do."""
        try:
            self.create(name, schema, index)
        except StoreUnavailable:
            raise
        except StoreError:
            if not self._appears(name):
                raise
            self.load(name)

    def _appears(self, name: str) -> bool:
        """Within a second: who creates it may not have done so yet."""
        for pause in _APPEARING:
            sleep(pause)
            if self.has(name):
                return True
        return False

    def load(self, name: str) -> None:
        """Make a collection ready for reading."""
        self._ask("load_collection", name)

    def drop(self, name: str) -> None:
        """Drop a collection with all its rows."""
        with self.lock:
            self._ask("drop_collection", name)

    def upsert(self, name: str, rows: Sequence[Entity], *, partial: bool = False) -> None:
        """Insert or replace by id; `partial` keeps the fields that rows do not name."""
        with self.lock:
            self._change("upsert", name, data=list(rows), partial_update=partial)

    def flush(self, name: str) -> None:
        """On Lite: turn what was written into segments, the form that is searched fast.

        On its server another process may flush at once: the rows of who is overtaken wait for the next flush.
        """
        if not self.lite:
            return
        with self.lock:
            for _ in range(_OVERTAKINGS):
                try:
                    return self._change("flush", name)
                except StoreError as error:
                    if _OVERTAKEN not in str(error):
                        raise
                # Without anything new there is no next one.
                self._change("delete", name, filter=id_in([_NOBODY]))
            self._change("flush", name)

    def delete(self, name: str, ids: Sequence[str], within: str = "") -> None:
        """Delete by id, of the rows that an expression matches; absent ids do not matter.

        Lite gets the ids alone, which have to be of rows that were just read within the expression: with more
        it looks rows up by itself, and its server misses some for a moment, without an error.
        """
        with self.lock:
            for batch in cut(ids):
                self._change("delete", name, filter=id_in(batch) if self.lite else _among(batch, within))

    def get(self, name: str, ids: Sequence[str], fields: Sequence[str], within: str = "") -> list[Entity]:
        """Rows by id, in no certain order; absent ids are left out. `within` is as in `delete`.

        Fast on Lite, which looks ids up where an expression says nothing else.
        """
        return [row for batch in cut(ids) for row in self.query(name, _among(batch, within), fields)]

    def query(self, name: str, filter: str, fields: Sequence[str], **bounds: int) -> list[Entity]:
        """Rows that an expression matches; `limit=` bounds them."""
        return list(self._ask("query", name, filter=filter, output_fields=list(fields), **bounds))

    def ids(self, name: str, filter: str, key: str = "id") -> list[Any]:
        """Ids that an expression matches, ascending; on Lite one may be there twice after a crash."""
        ids: list[Any] = []
        after: str | int | None = ""
        while after is not None:
            page, after = self.page(name, filter, [], after, key)
            ids += (row[key] for row in page)
        return ids

    def page(
        self, name: str, filter: str, fields: Sequence[str], after: K, key: str = "id"
    ) -> tuple[list[Entity], K | None]:
        """A page of matching rows, ascending by key, and the key to go on after, None at the end."""
        more = filter if after == "" else f"({filter} and {key} > {literal(after)})"
        # "iterator" has pages ordered by key; pymilvus' own iterator asks without any deadline.
        page = self._ask(
            "query", name, filter=more, output_fields=[key, *fields], limit=_IDS_A_PAGE, iterator="True"
        )
        rows = sorted(page, key=lambda row: row[key])
        return rows, rows[-1][key] if len(rows) == _IDS_A_PAGE else None

    def count(self, name: str, filter: str = "") -> int:
        """How many rows an expression matches; all of them without one, which is fast."""
        return int(self.query(name, filter, ["count(*)"])[0]["count(*)"])

    def search(
        self,
        name: str,
        field: str,
        vector: Any,
        limit: int,
        filter: str,
        fields: Sequence[str] = ("id",),
        params: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[tuple[Entity, float]]:
        """(id and these fields, inner product), best first; `params` are those of the index."""
        query: dict[str, Any] = {
            "data": [vector],
            "anns_field": field,
            "search_params": {"metric_type": "IP", "params": dict(params)},
            "limit": limit,
            "filter": filter,
            "output_fields": list(fields),
        }
        hits = self._ask("search", name, **query)
        if not hits[0] and self.lite and not self.address.path:
            # While another process' rows go from memory to disk, Lite's server has none to show for a moment.
            hits = self._ask("search", name, **query)
        return [({**hit["entity"], "id": hit["id"]}, float(hit["distance"])) for hit in hits[0]]

    def _change(self, method: str, name: str, **arguments: Any) -> None:
        """A write; none after one for which a file had no room: see `Connection.full`."""
        if self._connection.full:
            raise StoreError(f"{method} of {name} after this: {self._connection.full}")
        try:
            self._ask(method, name, **arguments)
        except StoreError as error:
            if self.address.path and is_full(str(error)):
                self._connection.full = str(error)
            raise

    def _ask(self, method: str, name: str, **arguments: Any) -> Any:
        """One call of the client, repeated where it is worth it, within what patience is left."""
        self.check()
        call = getattr(self._client, method)
        return self._within(f"{method} of {name}", lambda left: self._loaded(call, name, left, arguments))

    def _within(self, doing: str, call: Callable[[float], T]) -> T:
        """What a call gives, which is told how many seconds it has. One that broke off is made again."""
        with (
            patience(self._timeout) as mine,
            mine.spent(),
            self._connection.answers.noted(),
            reported(self.address, doing),
        ):
            end = monotonic() + mine.left
            for pause in _PAUSES:
                try:
                    return call(self._left(doing, end))
                except grpc.RpcError as error:
                    # Others have waited for their deadline, or are no better the next time.
                    if _code(error) != grpc.StatusCode.UNAVAILABLE:
                        raise
                sleep(min(pause, max(end - monotonic(), 0.0)))
            return call(self._left(doing, end))

    def _left(self, doing: str, end: float) -> float:
        if (left := end - monotonic()) <= 0:
            raise StoreUnavailable(f"{doing}: no answer from {self.address} in {self._timeout:g} s")
        return left

    def _loaded(self, call: Callable[..., Any], name: str, left: float, arguments: Mapping[str, Any]) -> Any:
        end = monotonic() + left
        try:
            return call(name, timeout=left, **arguments)
        except MilvusException as error:
            if error.code != _NOT_LOADED:
                raise
        # Released, and it stays so for ever unless someone loads it.
        self._client.load_collection(name, timeout=self._left("load_collection", end))
        return call(name, timeout=self._left("load_collection", end), **arguments)


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.Call) else None


def _among(ids: Sequence[str], within: str) -> str:
    return f"({within} and {id_in(ids)})" if within else id_in(ids)


def id_in(ids: Sequence[str | int], key: str = "id") -> str:
    """An expression that matches these ids."""
    return f"{key} in [{', '.join(map(literal, ids))}]"


def cut(ids: Sequence[T], size: int = _IDS_A_CALL) -> Iterator[Sequence[T]]:
    """Batches of ids, by default as many as are asked for at once."""
    return (ids[start : start + size] for start in range(0, len(ids), size))
