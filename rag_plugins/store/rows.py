"""A tenant's rows by id: nobody reads another's, whatever ids are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from rag_plugins.errors import StoreError
from rag_plugins.filters import DOCUMENT, Dialect, Filter, Includes, literal, may_include, to_milvus, where
from rag_plugins.store.codec import TEXTS, decode
from rag_plugins.store.engine import Engine, Entity, cut, id_in
from rag_plugins.store.entry import spilled_keys, with_spilled
from rag_plugins.store.schema import Row, VectorField, dense_vector, is_id, row_vector, sparse_vector
from rag_plugins.store.state import State
from rag_plugins.types import JsonValue, Passage
from rag_plugins.vectors import FloatArray, Matrix, SparseVector

__all__ = ["PASSAGE", "VIEWS", "MakeVectors", "Rows", "Vector", "having"]

PASSAGE = ("id", "tenant", "doc_id", "caller_id", "metadata", *TEXTS, "spilled")
"""What is read of a row to make a passage."""

VIEWS = tuple(name for name in PASSAGE if name != "provenance")
"""The same without words and boxes, which take longer to build than the rest takes to read."""

_FEW = 8
"""Texts that are compared with: each is a look at every row's metadata, which Lite takes 13 µs for."""

Vector: TypeAlias = FloatArray | SparseVector

MakeVectors: TypeAlias = Callable[[Sequence[Passage]], Sequence[Vector]]
"""New vectors for passages, in their order."""


class Rows:
    """Reads the rows of one tenant of a collection."""

    def __init__(self, engine: Engine, collection: str, tenant: str, state: State) -> None:
        """`tenant` as it is stored; `state` has the texts too long for a row."""
        self.engine = engine
        self.collection = collection
        self.tenant = tenant
        self._state = state

    def scope(self, filter: Filter | None = None) -> str:
        """The tenant outermost, whatever the filter says."""
        mine = f"(tenant == {literal(self.tenant)})"
        if filter is None:
            return mine
        return f"({mine} and {to_milvus(filter, Dialect(self.engine.lite, self._instead))})"

    @property
    def own(self) -> str:
        """What ids alone do not say: a server looks into the tenant's partition then, and no other.

        Nothing on Lite, which looks ids up by themselves and reads every row for anything else.
        """
        return "" if self.engine.lite else self.scope()

    def _instead(self, part: Includes) -> str:
        """By its texts or, where they are many, the ids of their rows: what it holds for, read."""
        within = f"({self.scope()} and {may_include(part)})"
        field = DOCUMENT if part.key == DOCUMENT else "metadata"
        found: dict[str, str] = {}
        for ids in cut(self.engine.ids(self.collection, within)):
            for row in self.get(ids, ("id", "tenant", field)):
                value = row[DOCUMENT] if field == DOCUMENT else row[field].get(part.key)
                if isinstance(value, str) and part.holds(value):
                    found[row["id"]] = value
        texts = sorted(set(found.values()))
        return to_milvus(where(part.key).is_in(texts)) if len(texts) <= _FEW else f"({id_in(list(found))})"

    def get(self, ids: Sequence[str], fields: Sequence[str]) -> list[Entity]:
        """Rows by id. The tenant is compared here too: Lite is not told of it."""
        # What is no id is no row's: engines need not read it, some cannot.
        possible = [id for id in dict.fromkeys(ids) if is_id(id)]
        rows = self.engine.get(self.collection, possible, fields, self.own)
        return [row for row in rows if row["tenant"] == self.tenant]

    def ids(self, filter: Filter | None = None, field: str | None = None) -> list[str]:
        """All ids, ascending; `field`: of rows with a vector in this dense field."""
        scope = self.scope(filter)
        within = scope if field is None else f"({scope} and {having(field)})"
        return list(dict.fromkeys(self.engine.ids(self.collection, within)))

    def count(self, field: str | None = None) -> int:
        """How many rows the tenant has; `field`: with a vector in this dense field."""
        if field is not None:
            return self.engine.count(self.collection, f"({self.scope()} and {having(field)})")
        if not self.engine.lite:
            return self.engine.count(self.collection, self.scope())
        # Lite counts all rows at once, but builds every row to count some of them.
        others = f"tenant != {literal(self.tenant)}"
        foreign = self.engine.query(self.collection, others, ["id"], limit=1)
        return self.engine.count(self.collection, self.scope() if foreign else "")

    def total(self) -> int:
        """How many rows all tenants have."""
        return self.engine.count(self.collection)

    def documents(self, ids: Sequence[str]) -> dict[str, str]:
        """The document of each passage, by id; missing ones are left out."""
        return {row["id"]: row["doc_id"] for row in self.get(ids, ("id", "tenant", "doc_id"))}

    def passages(
        self, ids: Sequence[str], fields: Sequence[str] = PASSAGE, *, strict: bool = True
    ) -> dict[str, Passage]:
        """Passages by id, in the order of `ids`; missing ones are left out.

        Raises `StoreError` for one whose long texts are lost, or (not `strict`) leaves it out, too.
        """
        whole = {row["id"]: row for row in self.whole(self.get(ids, fields), strict=strict)}
        return {id: decode(whole[id]) for id in ids if id in whole}

    def whole(self, rows: Sequence[Entity], *, strict: bool = True) -> list[Entity]:
        """Rows with all texts in place. Raises `StoreError` for lost ones, or leaves out their rows."""
        texts = self.spilled(rows)
        whole: list[Entity] = []
        for row in rows:
            try:
                whole.append(with_spilled(row, texts))
            except StoreError:
                if strict:
                    raise
        return whole

    def with_vectors(
        self,
        field: VectorField,
        ids: Sequence[str],
        make: MakeVectors,
    ) -> list[Entity]:
        """Rows of new vectors alone, which `make` gives for passages (without provenance).

        They name their tenant, as every row that is written: by it a server knows the partition.
        """
        passages = list(self.passages(ids, VIEWS).values())
        return [
            {
                "id": passage.id,
                "tenant": self.tenant,
                field.name: row_vector(field, Row(passage, {field.name: vector})),
            }
            for passage, vector in zip(passages, make(passages), strict=True)
        ]

    def spilled(self, rows: Sequence[Entity]) -> dict[str, JsonValue]:
        """By key, the texts that rows keep elsewhere; lost ones are left out."""
        keys = [key for row in rows for key in spilled_keys(row["spilled"]).values()]
        return self._state.get_all(keys) if keys else {}

    def sparse(self, field: str, ids: Sequence[str]) -> dict[str, SparseVector]:
        """The stored vectors of a sparse field by id."""
        return {row["id"]: sparse_vector(row[field]) for row in self.get(ids, ("id", "tenant", field))}

    def dense(self, field: str, ids: Sequence[str]) -> dict[str, FloatArray]:
        """The stored vectors of a dense field by id; rows without one are left out."""
        rows = self.get(ids, ("id", "tenant", "absent", field))
        return {row["id"]: dense_vector(row[field]) for row in rows if field not in row["absent"]}

    def confidences(self, ids: Sequence[str]) -> dict[str, float]:
        """How sure recognition was, by id; rows that were not recognised are left out."""
        rows = self.get(ids, ("id", "tenant", "confidence"))
        return {row["id"]: row["confidence"] for row in rows if row["confidence"] is not None}

    def matrix(self, field: str, dim: int, ids: Sequence[str]) -> Matrix:
        """The same, (n, dim), in the order of `ids`, without missing ones."""
        vectors = self.dense(field, ids)
        found = [vectors[id] for id in ids if id in vectors]
        return np.array(found, np.float32).reshape(len(found), dim)


def having(field: str) -> str:
    """An expression that matches rows with a vector in a dense field."""
    return f"not array_contains(absent, {literal(field)})"
