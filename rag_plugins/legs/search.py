"""One leg after another: queries to vectors, vectors to rankings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias, TypeVar

import numpy as np

from rag_plugins.errors import BadInput
from rag_plugins.filters import Filter
from rag_plugins.fusion import Ranking
from rag_plugins.legs.passes import TokenPass
from rag_plugins.lexical.rules import Query, words
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.models.bm25 import LENGTH
from rag_plugins.models.protocols import Encoding, Leg, Representation
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.vectors import FloatArray, Matrix, SparseVector

__all__ = ["Found", "LegSearch", "QueryVectors"]

T = TypeVar("T")

QueryVectors: TypeAlias = Mapping[str, Sequence[FloatArray] | Sequence[SparseVector]]
"""By leg a vector of each query."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a leg found, best first; the first pass of one with two, and what the user should know."""

    ranking: Ranking
    shortlist: Ranking = ()
    notices: tuple[str, ...] = ()


class LegSearch:
    """Searches one leg at a time: in the store, in a term index, or in two passes."""

    def __init__(
        self,
        store: MilvusStore,
        legs: Sequence[Leg],
        lexical: Mapping[str, LexicalSearch],
        passes: Mapping[str, TokenPass],
    ) -> None:
        """`lexical` and `passes` search the legs they name in place of the store."""
        self.legs: dict[str, Leg] = {leg.name: leg for leg in legs}
        self.lexical = lexical
        self.passes = passes
        self._store = store

    def by_vector(self, leg: Leg) -> bool:
        """Whether the leg searches the store by a vector of the query."""
        return leg.name not in self.lexical and leg.name not in self.passes

    def encode(self, queries: Sequence[str | Query], legs: Sequence[Leg]) -> QueryVectors:
        """Of the legs that search the store; one pass of each encoder for all queries and legs."""
        texts = [words(query) for query in queries]
        stored = [leg for leg in legs if self.by_vector(leg)]
        if not texts or not stored:
            return {}
        wanted: dict[int, set[Representation]] = {}
        for leg in stored:
            wanted.setdefault(id(leg.encoder), set()).add(leg.representation)
        encoders = {id(leg.encoder): leg.encoder for leg in stored}
        encodings = {
            key: encoder.encode_queries(texts, frozenset(wanted[key])) for key, encoder in encoders.items()
        }
        return {leg.name: _vectors(encodings[id(leg.encoder)], leg.representation) for leg in stored}

    def alike(self, ids: Sequence[str]) -> Matrix:
        """Cosines between passages, shape (n, n), by the vectors of a leg: dense ones where there are any.

        A passage without a vector is like itself alone.
        """
        legs = sorted(self.legs.values(), key=lambda leg: (leg.representation.value, leg.reads != "text"))
        if legs[0].representation is Representation.DENSE:
            return _cosines([self._dense(legs[0].name, id) for id in ids], np.dot)
        vectors = self._store.vectors(legs[0].name, ids)
        return _cosines([_terms(vectors[id]) if id in vectors else None for id in ids], SparseVector.dot)

    def _dense(self, field: str, id: str) -> FloatArray | None:
        return next(iter(self._store.matrix(field, [id])), None)

    def rank(
        self,
        leg: Leg,
        query: str | Query,
        vector: FloatArray | SparseVector | None,
        depth: int,
        filter: Filter | None = None,
        exact: bool = False,
    ) -> Found:
        """The leg's best `depth`; `vector` is the query's, None where `encode` gives none."""
        if leg.name in self.lexical:
            ranking, notices = self.lexical[leg.name].search(query, depth, filter)
            return Found(ranking, notices=notices)
        if leg.name in self.passes:
            shortlist, ranking = self.passes[leg.name].search(words(query), depth, filter)
            return Found(ranking, shortlist)
        if vector is None:
            raise BadInput(f"leg {leg.name}: it searches by a vector of the query, and got none")
        return Found(self._store.search(leg.name, vector, depth, filter, exact=exact))


def _terms(vector: SparseVector) -> SparseVector:
    """Without the length that BM25 keeps beside its terms."""
    return SparseVector.of({term: weight for term, weight in vector.as_dict().items() if term != LENGTH})


def _cosines(vectors: Sequence[T | None], inner: Callable[[T, T], float]) -> Matrix:
    lengths = [0.0 if vector is None else math.sqrt(inner(vector, vector)) for vector in vectors]
    cosines: Matrix = np.eye(len(vectors), dtype=np.float32)
    for n, m in combinations(range(len(vectors)), 2):
        one, other = vectors[n], vectors[m]
        if one is not None and other is not None and lengths[n] and lengths[m]:
            cosines[n, m] = cosines[m, n] = inner(one, other) / (lengths[n] * lengths[m])
    return cosines


def _vectors(
    encoding: Encoding, representation: Representation
) -> Sequence[FloatArray] | Sequence[SparseVector]:
    vectors: Mapping[Representation, Sequence[FloatArray] | Sequence[SparseVector] | None] = {
        Representation.DENSE: None if encoding.dense is None else list(encoding.dense),
        Representation.SPARSE: encoding.sparse,
    }
    found = vectors.get(representation)
    if found is None:
        raise BadInput(f"a leg reads one vector a text, dense or sparse; this one asks for {representation}")
    return found
