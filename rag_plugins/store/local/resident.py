"""A file database that is searched in memory: Milvus Lite is the disk alone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np

from rag_plugins.config import StoreConfig
from rag_plugins.errors import ConfigError, StoreError
from rag_plugins.filters import Filter
from rag_plugins.funnel import Prefixes
from rag_plugins.resident.batch import FieldKind
from rag_plugins.resident.rows import Mask, Table
from rag_plugins.store.assets import AssetStore
from rag_plugins.store.codec import decode, decode_views
from rag_plugins.store.engine import Engine, Entity
from rag_plugins.store.entry import Entry, with_spilled
from rag_plugins.store.header import Header
from rag_plugins.store.local.memory import Memory
from rag_plugins.store.local.snapshots import Content
from rag_plugins.store.local.source import Source
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.nearest import checked_query
from rag_plugins.store.records import FileRecords
from rag_plugins.store.schema import VectorField, sparse_vector
from rag_plugins.store.state import State
from rag_plugins.text import digest
from rag_plugins.types import Passage, View
from rag_plugins.vectors import FloatArray, Matrix, SparseVector

__all__ = ["ResidentStore"]

_AT_ONCE = 4
"""Searches in memory at a time, in one process. More are no faster, and each that waits for the interpreter's
lock keeps an event loop waiting for up to 5 ms: 36 of fifty at once held it for .1 to .3 s, 4 for .02 s."""


class ResidentStore(MilvusStore):
    """One tenant's view of a collection in a `*.db` file. Every row is in Lite before it is in memory.

    A file admits one process, so memory is coherent with it by construction. A snapshot beside it, in
    `<file>.resident`, is all derived data: it may be deleted.
    """

    turn = BoundedSemaphore(_AT_ONCE)

    def __init__(
        self,
        engine: Engine,
        header: Header,
        tenant: str,
        state: State,
        records: FileRecords | State,
        assets: AssetStore,
        config: StoreConfig,
    ) -> None:
        """Read the rows into memory, unless another store of this process has. Raises `StoreError`."""
        super().__init__(engine, header, tenant, state, records, assets, config)
        path = engine.address.path
        if path is None:
            raise ConfigError(f"{engine.address}: expected a file, a path that ends in .db")
        self._source = Source(self.rows, state, records, self.prefix_fields.active)
        folder = _folder(path, self.collection, self._tenant)
        kinds = _kinds(header.fields, config)
        shape = sorted((name, kind.dim) for name, kind in kinds.items())
        self._memory = self.shared(f"memory of {shape}", lambda: Memory(folder, kinds, self._generation))
        self._memory.enter(self._source)

    def search(
        self,
        field: str,
        vector: FloatArray | SparseVector,
        limit: int,
        filter: Filter | None = None,
        *,
        exact: bool = False,
    ) -> list[tuple[str, float]]:
        """See `MilvusStore.search`."""
        known = self._fields.get(field)
        if known is None or not known.resident:
            return super().search(field, vector, limit, filter, exact=exact)
        table = self._table()
        query = checked_query(known, vector, limit)
        if query is None:
            return []
        in_memory = sparse_vector(query) if known.kind == "sparse" else np.asarray(vector, np.float32)
        return table.search(field, in_memory, limit, filter, exact=exact)

    def fetch(self, ids: Sequence[str]) -> dict[str, Passage]:
        """See `MilvusStore.fetch`."""
        known = self._table().known(ids)
        found: dict[str, Any] = {id: row for id, row in self._memory.payload.rows(known).items()}
        found |= self._missing(known, found)
        return {id: decode(found[id]) for id in known if id in found}

    def views(self, ids: Sequence[str]) -> dict[str, tuple[View, ...]]:
        """See `MilvusStore.views`."""
        known = self._table().known(ids)
        found: dict[str, Any] = {id: data for id, data in self._memory.payload.views(known).items()}
        found |= {id: row["views"] for id, row in self._missing(known, found, strict=False).items()}
        return {id: decode_views(found[id]) for id in known if id in found}

    def matrix(self, field: str, ids: Sequence[str]) -> Matrix:
        """See `MilvusStore.matrix`."""
        return self._table().matrix(field, ids)

    def confidences(self, ids: Sequence[str]) -> dict[str, float]:
        """See `MilvusStore.confidences`."""
        return self._table().confidences(ids)

    def ids(self, filter: Filter | None = None, field: str | None = None) -> list[str]:
        """See `MilvusStore.ids`."""
        return self._table().ids(filter, field)

    def located(self, filter: Filter | None = None) -> tuple[Mapping[str, int], Mask]:
        """The place of each id, and at which places a filter holds: see `Table.located`."""
        return self._table().located(filter)

    def count(self, field: str | None = None) -> int:
        """See `MilvusStore.count`."""
        return len(self._table()) if field is None else self._table().count(field)

    def set_prefixes(self, field: str, prefixes: Prefixes | None) -> None:
        """See `MilvusStore.set_prefixes`."""
        with self._engine.lock:
            self._table()
            super().set_prefixes(field, prefixes)
            self._memory.set_prefixes(field, self.prefixes(field))

    def settle(self) -> None:
        """See `MilvusStore.settle`: keep a snapshot of what is in memory, if enough has changed."""
        self._memory.settle(self._source)

    def keep(self, section: str, dump: Callable[[], Content]) -> None:
        """Ask this whenever a snapshot is saved. It may not hold on to a store, nor wait for one.

        What `dump` leaves out of the latest changes is lost: whoever reads it again looks at `ids`, too.
        """
        self._memory.sections.keep(section, dump)

    def kept(self, section: str) -> Content | None:
        """What the snapshot has of it: arrays, and what was said of them; None where there is none."""
        self._table()
        return self._memory.kept(section)

    def suspects(self) -> list[str]:
        """See `MilvusStore.suspects`: those since the last snapshot."""
        changed = self._memory.read_again
        return super().suspects() if changed is None else changed

    def changed(self) -> list[str]:
        """Ids written or deleted since that snapshot; ask before `kept`, for a newer one may come between."""
        self._table()
        return self._memory.changed

    def close(self) -> None:
        """See `MilvusStore.close`. The last store writes a snapshot, if enough has changed."""
        try:
            self._engine.check()
        except StoreError:  # Closed already, or a forked child, which must not touch files.
            return super().close()
        try:
            self._memory.leave(self._source)
        finally:
            super().close()

    def __repr__(self) -> str:
        return f"ResidentStore({str(self._engine.address)!r}, collection={self.collection!r})"

    def _table(self) -> Table:
        self._engine.check()
        return self._memory.table(self._source)

    def _missing(
        self, ids: Sequence[str], found: Mapping[str, Any], *, strict: bool = True
    ) -> dict[str, Entity]:
        """Rows that the payload lacks: from Lite, and from now on in it."""
        missing = [id for id in ids if id not in found]
        if not missing:
            return {}
        rows = self._source.whole(self._source.read(missing), strict=strict)
        self._memory.payload.put(rows, replace=False)
        return {row["id"]: row for row in rows}

    def _write(self, entries: Sequence[Entry], old: Mapping[str, str]) -> None:
        super()._write(entries, old)
        self._memory.put([with_spilled(entry.fields, entry.spilled) for entry in entries])

    def _erase(self, rows: Sequence[Entity]) -> None:
        super()._erase(rows)
        self._memory.remove([row["id"] for row in rows])

    def _amended(self, ids: Sequence[str], field: VectorField | None = None) -> None:
        if field is None or field.resident:
            self._memory.refresh(ids, self._source)

    @contextmanager
    def _changing(self, ids: Sequence[str]) -> Generator[None]:
        with self._memory.changing(ids, self._source):
            yield


def _kinds(fields: Sequence[VectorField], config: StoreConfig) -> dict[str, FieldKind]:
    return {field.name: FieldKind(field.dim, config.precision) for field in fields if field.resident}


def _folder(path: Path, collection: str, tenant: str) -> Path:
    # The digest tells names apart that differ in case alone, too.
    name = f"{collection}-{digest(f'{collection}/{tenant}')[:16]}"
    return path.with_name(path.name + ".resident") / name
