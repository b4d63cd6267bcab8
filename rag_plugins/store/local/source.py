"""Where the memory of a tenant's rows reads them: Milvus Lite's rows, in the shape that memory takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import nan

import numpy as np

from rag_plugins.filters import literal
from rag_plugins.funnel import Prefixes
from rag_plugins.resident.batch import Batch, FieldKind
from rag_plugins.store.engine import Entity
from rag_plugins.store.records import Records
from rag_plugins.store.rows import PASSAGE, Rows
from rag_plugins.store.schema import dense_vector, sparse_vector
from rag_plugins.store.state import State

__all__ = ["Source", "batch_of"]


@dataclass(frozen=True, slots=True)
class Source:
    """What one store lends to the memory that all stores of the process share."""

    rows: Rows
    state: State
    records: Records
    prefixes: Callable[[str], Prefixes | None]

    @property
    def lock(self) -> AbstractContextManager[None]:
        """Held by whoever writes."""
        return self.rows.engine.lock

    @property
    def tenant(self) -> str:
        """As it is stored."""
        return self.rows.tenant

    def read(self, ids: Sequence[str], fields: Sequence[str] = ()) -> list[Entity]:
        """Rows by id, with vectors of these fields; a text may be kept elsewhere, see `whole`."""
        return self.rows.get(ids, (*PASSAGE, "confidence", *fields))

    def whole(self, rows: Sequence[Entity], *, strict: bool = True) -> list[Entity]:
        """See `Rows.whole`."""
        return self.rows.whole(rows, strict=strict)

    def has(self, count: int) -> bool:
        """Whether the tenant may have so many rows, as far as Lite can say without reading them."""
        engine, name = self.rows.engine, self.rows.collection
        total = engine.count(name)
        if total <= count:
            return total == count
        return bool(engine.query(name, f"tenant != {literal(self.tenant)}", ["id"], limit=1))


def batch_of(rows: Sequence[Entity], fields: Mapping[str, FieldKind]) -> Batch:
    """Rows as the engine takes or gives them."""
    return Batch(
        [row["id"] for row in rows],
        [(row["doc_id"], row["metadata"]) for row in rows],
        [nan if row["confidence"] is None else row["confidence"] for row in rows],
        {
            name: [sparse_vector(row[name]) for row in rows]
            if field.dim is None
            else np.array([dense_vector(row[name]) for row in rows], np.float32).reshape(-1, field.dim)
            for name, field in fields.items()
        },
    )
