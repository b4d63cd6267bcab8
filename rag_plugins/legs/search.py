"""One leg after another: queries to vectors, vectors to rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rag_plugins.errors import BadInput
from rag_plugins.filters import Filter
from rag_plugins.fusion import Ranking
from rag_plugins.legs.passes import TokenPass
from rag_plugins.lexical.rules import Query, words
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.models.protocols import Encoding, Leg, Representation
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["Found", "LegSearch", "QueryVectors"]

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
        self.legs = {leg.name: leg for leg in legs}
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
        wanted: dict[int, set[Representation]] = {}
        for leg in stored:
            wanted.setdefault(id(leg.encoder), set()).add(leg.representation)
        encoders = {id(leg.encoder): leg.encoder for leg in stored}
        encodings = {
            key: encoder.encode_queries(texts, frozenset(wanted[key])) for key, encoder in encoders.items()
        }
        return {leg.name: _vectors(encodings[id(leg.encoder)], leg.representation) for leg in stored}

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
