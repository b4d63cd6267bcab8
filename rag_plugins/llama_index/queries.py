"""What a VectorStoreQuery asks an index for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from rag_plugins.errors import BadInput
from rag_plugins.faces.legs import (
    LegVectors,
    balanced,
    dense_leg,
    query_vectors,
    search_vectors,
    sparse_legs,
    word_legs,
)
from rag_plugins.filters import DOCUMENT, And, Filter, where
from rag_plugins.index import RagIndex
from rag_plugins.llama_index.filters import to_filter
from rag_plugins.search.wanted import LegChoice
from rag_plugins.store.schema import MAX_HITS
from rag_plugins.text import clean
from rag_plugins.types import Hit

__all__ = ["EMBED_MODEL", "Queries"]

EMBED_MODEL = "embed with the model of the collection, embed_model=store.embed_model"
"""What to do about vectors that do not fit."""

_logger = logging.getLogger(__name__)

_ALIKE = 0.2
"""Cosine below which two vectors of one text are of two models; unrelated ones have about 0."""

_THRESHOLD = 0.5
_FETCH_K = 20


def _hybrid(index: RagIndex, query: VectorStoreQuery) -> LegChoice | None:
    return None if query.alpha is None else balanced(index, query.alpha)


_LEGS: Mapping[VectorStoreQueryMode, Callable[[RagIndex, VectorStoreQuery], LegChoice | None]] = {
    VectorStoreQueryMode.DEFAULT: lambda index, query: None,
    VectorStoreQueryMode.HYBRID: _hybrid,
    VectorStoreQueryMode.SEMANTIC_HYBRID: _hybrid,
    VectorStoreQueryMode.SPARSE: lambda index, query: sparse_legs(index),
    VectorStoreQueryMode.TEXT_SEARCH: lambda index, query: word_legs(index),
    VectorStoreQueryMode.MMR: lambda index, query: None,
}
"""Which legs a mode runs, None for all as the index weighs them; the modes there are."""

_WORDS = (VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.TEXT_SEARCH)
_HYBRID = (VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.SEMANTIC_HYBRID)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which passages are searched: those of a filter, or some of them."""

    filter: Filter | None
    ids: frozenset[str] | None = None


class Queries:
    """Searches an index as LlamaIndex' queries ask for."""

    def __init__(self, index: RagIndex, trusted: bool) -> None:
        """Unless `trusted`, the first embedding of a query is compared with the collection's model's own."""
        self._index = index
        self._trusted = trusted

    def found(self, query: VectorStoreQuery, mmr_threshold: float | None = None) -> list[Hit]:
        """The hits of a query, best first; of MMR, in the order in which they are chosen.

        DEFAULT is the index' own pipeline, and so are HYBRID and SEMANTIC_HYBRID without an `alpha`, which
        is the weight of the dense legs; these give `hybrid_top_k` hits where it is set. TEXT_SEARCH runs
        BM25, SPARSE learned sparse legs too. MMR weighs relevance by `mmr_threshold` (0.5). How deep each leg
        is read is the configuration's (`fusion.depth`), whatever `sparse_top_k` is. A blank query_str with an
        embedding is searched by that alone. An empty list of node_ids or doc_ids is none, as
        VectorIndexRetriever means it; nodes beside those of node_ids are left out after the search.
        Raises `BadInput`, also for modes that train a model on the collection for each query.
        """
        mode = query.mode
        if mode not in _LEGS:
            raise BadInput(f"mode {mode!r}: expected one of {[known.value for known in _LEGS]}")
        index, scope, k = self._index, _scope(self._index, query), _k(query)
        if scope.ids is not None and not scope.ids:
            return []
        settings: dict[str, Any] = {"filter": scope.filter, "legs": _LEGS[mode](index, query)}
        if mode not in _WORDS:
            settings["vectors"] = self._vectors(query)
        text, wanted = query.query_str or "", k if scope.ids is None else _all(index, scope)
        if mode is VectorStoreQueryMode.MMR:
            balance = _balance(mmr_threshold, query.mmr_threshold)
            hits = index.diverse(text, wanted, fetch_k=max(_FETCH_K, 4 * k), balance=balance, **settings)
        else:
            hits = index.search(text, wanted, **settings)
        return [hit for hit in hits if scope.ids is None or hit.passage.id in scope.ids][:k]

    def _vectors(self, query: VectorStoreQuery) -> LegVectors:
        vectors, text = search_vectors(self._index, query.query_embedding, EMBED_MODEL), query.query_str or ""
        leg = dense_leg(self._index)
        if leg is not None and vectors and text.strip() and not self._trusted:
            self._trusted = True
            cosine = float(query_vectors(leg, [text])[0] @ vectors[leg.name])
            if cosine < _ALIKE:  # No error: what HyDE makes up may be far from the question.
                _logger.warning(
                    "a query's embedding and that of the collection's model have cosine %.2f: %s",
                    cosine,
                    EMBED_MODEL,
                )
        return vectors


def _balance(*given: float | None) -> float:
    return next((each for each in given if each is not None), _THRESHOLD)


def _k(query: VectorStoreQuery) -> int:
    deep = query.hybrid_top_k if query.mode in _HYBRID else None
    return query.similarity_top_k if deep is None else deep


def _scope(index: RagIndex, query: VectorStoreQuery) -> _Scope:
    filters = [filter] if (filter := to_filter(query.filters)) is not None else []
    if query.doc_ids:
        filters.append(where(DOCUMENT).is_in([clean(id) for id in query.doc_ids]))
    ids = None
    if query.node_ids:
        named = index.get(query.node_ids)
        # Filters know documents, not passages: the others of these documents are left out of the hits.
        filters.append(where(DOCUMENT).is_in(list({passage.doc_id for passage in named})))
        ids = frozenset(passage.id for passage in named)
    return _Scope(And(tuple(filters)) if filters else None, ids)


def _all(index: RagIndex, scope: _Scope) -> int:
    """How many passages the filter leaves, for which others must not crowd out those that are wanted."""
    return min(max(len(index.store.ids(scope.filter)), 1), MAX_HITS)
