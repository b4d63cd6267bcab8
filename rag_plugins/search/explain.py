"""Why a passage is where it is in a sparse leg: the terms that it shares with the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from rag_plugins.lexical.rules import Query, words
from rag_plugins.lexical.search import LexicalSearch
from rag_plugins.models.m3 import M3Encoder
from rag_plugins.models.protocols import SPARSE, Leg, Representation, SparseModel
from rag_plugins.models.sparse import SparseEncoder
from rag_plugins.search.outcome import Outcome
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import Hit, Passage, TermMatch, View, embed_text
from rag_plugins.vectors import SparseVector

__all__ = ["Explainer", "shared_terms"]

_NO_TERMS = SparseVector.of({})


class Explainer:
    """Fills the terms of hits, for every sparse leg of one store."""

    def __init__(self, store: MilvusStore, legs: Sequence[Leg], lexical: Mapping[str, LexicalSearch]) -> None:
        self._store = store
        self._legs = [leg for leg in legs if leg.representation is Representation.SPARSE]
        self._lexical = lexical

    def explained(self, hits: Sequence[Hit], outcome: Outcome) -> list[Hit]:
        """The hits with what each leg matched; of several queries, one after the other."""
        passages = [hit.passage for hit in hits]
        terms = {leg.name: self._terms(outcome, passages, leg) for leg in self._legs} if hits else {}
        return [
            replace(hit, terms={name: found[n] for name, found in terms.items()})
            for n, hit in enumerate(hits)
        ]

    def _terms(
        self, outcome: Outcome, passages: Sequence[Passage], leg: Leg
    ) -> Sequence[tuple[TermMatch, ...]]:
        if not outcome.queries:
            return self._matches(outcome.query, passages, leg)
        found = [self._named(of_query.query, passages, leg) for of_query in outcome.queries.values()]
        return [tuple(chain.from_iterable(matches)) for matches in zip(*found, strict=True)]

    def _named(
        self, query: str | Query, passages: Sequence[Passage], leg: Leg
    ) -> Sequence[tuple[TermMatch, ...]]:
        return [
            tuple(replace(match, query=str(query)) for match in matches)
            for matches in self._matches(query, passages, leg)
        ]

    def _matches(
        self, query: str | Query, passages: Sequence[Passage], leg: Leg
    ) -> Sequence[tuple[TermMatch, ...]]:
        if leg.name in self._lexical:
            return self._lexical[leg.name].explain(query, [passage.views for passage in passages])
        if not isinstance(leg.encoder, M3Encoder | SparseEncoder):
            return [()] * len(passages)
        stored = self._store.vectors(leg.name, [passage.id for passage in passages])
        return [
            shared_terms(leg.encoder, words(query), stored.get(passage.id, _NO_TERMS), passage.views)
            for passage in passages
        ]


def shared_terms(
    encoder: SparseModel, query: str, document: SparseVector, views: tuple[View, ...]
) -> tuple[TermMatch, ...]:
    """What a learned sparse model matched, strongest first; the products sum to the leg's score.

    `document` is the passage's stored vector.
    """
    vector = (encoder.encode_queries([query], SPARSE).sparse or (SparseVector.of({}),))[0]
    asked, found = vector.as_dict(), document.as_dict()
    shared = sorted(asked.keys() & found.keys())
    text = embed_text(views)
    literal = encoder.literal(query) | (encoder.literal(text.text) if text else frozenset[int]())
    matches = [
        TermMatch(term, asked[dimension], found[dimension], expanded=dimension not in literal)
        for dimension, term in zip(shared, encoder.terms(shared), strict=True)
    ]
    return tuple(sorted(matches, key=lambda match: (-match.score, match.term)))
