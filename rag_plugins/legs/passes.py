"""Legs that search in two passes: one vector a page finds a shortlist, all its token vectors rank it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import accumulate
from operator import ne

import numpy as np

from rag_plugins.filters import Filter
from rag_plugins.fusion import Ranking
from rag_plugins.models.protocols import QueryEncoder, Representation
from rag_plugins.models.tokens import max_similarities
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.store.schema import MAX_HITS
from rag_plugins.tracing import span
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["TokenPass"]

_logger = logging.getLogger(__name__)
_BOTH = frozenset({Representation.DENSE, Representation.TOKENS})

_PER_PAGE = 4
"""Passages of a page that make no shortlist shorter; each brings its page's tokens along once more."""


class TokenPass:
    """One late-interaction leg: its first pass over a field of the store, then MaxSim over kept tokens.

        score(q, d) = sum over query tokens t of  max over tokens u of d of  <t, u>

    (ColBERT, arXiv:2004.12832), exact but for the precision that the tokens are kept in.
    """

    def __init__(self, store: MilvusStore, leg: str, encoder: QueryEncoder, shortlist: int) -> None:
        """`leg` names the field and the tokens, `shortlist` is how many pages MaxSim reads."""
        self._store = store
        self._leg = leg
        self._encoder = encoder
        self._shortlist = shortlist

    def search(self, query: str, depth: int, filter: Filter | None = None) -> tuple[Ranking, Ranking]:
        """The shortlist as the first pass ranks it, and its best `depth` by MaxSim, ties by id.

        Passages whose tokens are lost follow all others, in the order of the first pass and with the
        last score that one of those has. Raises `BadInput` and `StoreError`.
        """
        with span("rag_plugins.encode"):
            encoding = self._encoder.encode_queries([query], _BOTH)
        vectors, [tokens] = encoding.dense, encoding.tokens or (np.zeros((0, 0), np.float32),)
        if vectors is None or not len(tokens):
            return [], []
        shortlist = self._first(vectors[0], depth, filter)
        packed = self._store.fetch_tokens(self._leg, [id for id, _ in shortlist])
        return shortlist, self._ranked(shortlist, _scores(tokens, packed))[:depth]

    def _first(self, vector: FloatArray, depth: int, filter: Filter | None) -> Ranking:
        """Passages of `shortlist` pages; those of one page have the same vector, so the same score."""
        limit = max(self._shortlist, depth)
        found = self._store.search(self._leg, vector, limit, filter)
        if len(found) == limit and _pages(found)[-1] < self._shortlist:
            more = min(_PER_PAGE * limit, MAX_HITS)
            found = self._store.search(self._leg, vector, more, filter)
        pages = _pages(found)
        return [hit for n, hit in enumerate(found) if n < depth or pages[n] <= self._shortlist]

    def _ranked(self, shortlist: Ranking, scores: Mapping[str, float]) -> Ranking:
        read = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        lost = [(id, score) for id, score in shortlist if id not in scores]
        if lost:
            _logger.warning("%s: tokens of %d passages are lost: write them again", self._leg, len(lost))
        return [*read, *((id, read[-1][1]) for id, _ in lost)] if read else lost


def _pages(ranking: Ranking) -> list[int]:
    """For each hit, which page it is of, from 1, as far as scores tell."""
    scores = [round(score, 6) for _, score in ranking]
    return list(accumulate(map(ne, scores[1:], scores), initial=1)) if scores else []


def _scores(query: Matrix, packed: Mapping[str, bytes]) -> dict[str, float]:
    """MaxSim by passage id; passages of one page have the same tokens, which are read once."""
    pages = {data: n for n, data in enumerate(dict.fromkeys(packed.values()))}
    sums: FloatArray = max_similarities(query, list(pages)).sum(axis=1)
    return {id: float(sums[pages[data]]) for id, data in packed.items()}
