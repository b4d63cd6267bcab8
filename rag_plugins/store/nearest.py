"""Searches in the engine: of a whole field, or by the stages of a funnel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from rag_plugins.errors import BadInput, StoreError, StoreUnavailable
from rag_plugins.filters import Filter
from rag_plugins.funnel import Funnel, Prefixes
from rag_plugins.store.engine import Entity, id_in
from rag_plugins.store.indexes import Indexes, search_params
from rag_plugins.store.prefix_fields import PrefixFields
from rag_plugins.store.rows import Rows, having
from rag_plugins.store.schema import MAX_HITS, VectorField, engine_vector, query_vector
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["Nearest", "checked_query"]

_logger = logging.getLogger(__name__)

_LONG = 2048
"""Ids in a shortlist: on Lite's server returning 2000 and searching among them takes seven times as long as
the exact search of 20,000 rows."""

_Ranking = list[tuple[str, float]]


class Nearest:
    """(id, inner product) of one tenant's nearest rows, best first, ties by id."""

    def __init__(self, rows: Rows, prefix_fields: PrefixFields, indexes: Indexes) -> None:
        """`indexes` of dense fields that have one of their own."""
        self._rows = rows
        self._prefix_fields = prefix_fields
        self._indexes = indexes

    def search(
        self,
        field: VectorField,
        vector: FloatArray | SparseVector,
        limit: int,
        filter: Filter | None,
        prefixes: Prefixes | None,
    ) -> _Ranking:
        """By prefixes, or, as far as its index is exact, exactly. Raises `BadInput`."""
        query = checked_query(field, vector, limit)
        if query is None:
            return []
        if prefixes and not isinstance(vector, SparseVector) and _prunes(prefixes.funnel, limit):
            return self._staged(field, prefixes, vector, limit, filter)
        return self._search(field, query, limit, self._rows.scope(filter))

    def _staged(
        self, field: VectorField, prefixes: Prefixes, query: FloatArray, limit: int, filter: Filter | None
    ) -> _Ranking:
        """The first stage as a search, later ones restricted to what it has left."""
        narrower = self._prefix_fields.of(field.name)
        hits: _Ranking = []
        for number, stage in enumerate(prefixes.funnel.stages):
            stored = narrower.get(stage.width, field)
            numbers = prefixes.cut(query, stage.width)
            keep = prefixes.funnel.kept(stage, limit)
            if number == 0:
                hits = self._search(stored, engine_vector(stored, numbers), keep, self._rows.scope(filter))
            elif hits:
                hits = self._among([id for id, _ in hits], stored, numbers, keep)
        return hits

    def _among(self, ids: Sequence[str], stored: VectorField, query: FloatArray, limit: int) -> _Ranking:
        """The nearest of these. They have passed the filter already."""
        within = f"({self._rows.scope()} and {id_in(ids)})"
        try:
            hits = self._search(stored, engine_vector(stored, query), limit, within, few=True)
        except StoreUnavailable:
            raise
        except StoreError as error:
            _logger.warning("vectors are fetched, because the engine refuses to search among ids: %s", error)
            hits = []
        # An approximate index may also lose rows that a filter makes rare.
        return hits if len(hits) >= min(limit, len(ids)) else self._scored(ids, stored, query, limit)

    def _scored(self, ids: Sequence[str], stored: VectorField, query: FloatArray, limit: int) -> _Ranking:
        vectors = self._rows.dense(stored.name, ids)
        if not vectors:
            return []
        scores = np.stack(list(vectors.values())) @ np.asarray(query, np.float32)
        return _ranked([({"id": id}, score) for id, score in zip(vectors, scores.tolist(), strict=True)])[
            :limit
        ]

    def _search(
        self, field: VectorField, query: Any, limit: int, scope: str, *, few: bool = False
    ) -> _Ranking:
        params = search_params(self._indexes.get(field.name), limit, few=few)
        ask, name = self._rows.engine.search, self._rows.collection
        if field.kind == "sparse":  # A row without terms is in no list of postings.
            return _ranked(ask(name, field.name, query, limit, scope, params=params))
        leg = field.prefix_of or field.name
        hits = ask(name, field.name, query, limit, scope, ("absent",), params)
        there = [hit for hit in hits if leg not in hit[0]["absent"]]
        if len(there) < len(hits) == limit:
            # They have taken the place of rows that score below their zero.
            there = ask(name, field.name, query, limit, f"({scope} and {having(leg)})", params=params)
        return _ranked(there)


def _prunes(funnel: Funnel, limit: int) -> bool:
    """Whether stages save anything in a search for so many hits: long shortlists cost more than they save."""
    first = funnel.stages[0]
    return first.keep is None or funnel.kept(first, limit) <= max(first.keep, _LONG)


def checked_query(field: VectorField, vector: FloatArray | SparseVector, limit: int) -> Any:
    """The vector as the engine takes it, None where it finds nothing. Raises `BadInput`."""
    if not 1 <= limit <= MAX_HITS:
        raise BadInput(f"limit {limit}: expected 1 to {MAX_HITS}")
    return query_vector(field, vector)


def _ranked(hits: Sequence[tuple[Entity, float]]) -> _Ranking:
    # After a crash Lite may give a row twice for a while; the better score comes first.
    unique: dict[str, float] = {row["id"]: score for row, score in reversed(hits)}
    return sorted(unique.items(), key=lambda hit: (-hit[1], hit[0]))
