"""Known items put to every leg: what each finds, and would find of a passage that lacks the query's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from rag_plugins.fusion import Ranking
from rag_plugins.ingest.known_items import KnownItem
from rag_plugins.legs.search import LegSearch, QueryVectors
from rag_plugins.models.protocols import Encoder, Leg
from rag_plugins.types import EmbedText
from rag_plugins.vectors import Matrix, SparseVector

__all__ = ["DEPTH", "Asked", "Asker"]

DEPTH = 100
"""Hits a leg, as a search for 10 has it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Queries by their text: which row of `vectors` and `rankings`, by leg, is theirs."""

    rows: Mapping[str, int]
    vectors: QueryVectors
    rankings: Mapping[str, Sequence[Ranking]]

    def rankings_of(self, query: str) -> dict[str, Ranking]:
        """By leg what it found for one of the queries."""
        return {leg: of_leg[self.rows[query]] for leg, of_leg in self.rankings.items()}

    def vector(self, leg: str, query: str) -> Matrix | SparseVector:
        """A query's vector, for a leg that is searched by one."""
        return self.vectors[leg][self.rows[query]]


class Asker:
    """Puts queries to some legs of a collection."""

    def __init__(self, search: LegSearch, legs: Sequence[Leg]) -> None:
        self._search = search
        self._legs = legs

    def ask(self, queries: Sequence[str]) -> Asked:
        """Search every leg for each of the queries."""
        texts = list(dict.fromkeys(queries))
        vectors = self._search.encode(texts, self._legs) if texts else {}
        rankings: dict[str, list[Ranking]] = {}
        for leg in self._legs:
            of_leg = vectors.get(leg.name, [None] * len(texts))
            found = (self._search.rank(leg, *query, DEPTH) for query in zip(texts, of_leg, strict=True))
            rankings[leg.name] = [each.ranking for each in found]
        return Asked({text: n for n, text in enumerate(texts)}, vectors, rankings)

    def with_rests(self, items: Sequence[KnownItem], asked: Asked) -> list[dict[str, Ranking]]:
        """By item and leg what it finds where the passage asked for is its rest."""
        rankings = [asked.rankings_of(item.query) for item in items]
        for leg in self._legs:
            if leg.reads != "text":
                continue
            scores = self._rest_scores(leg, items, asked)
            for item, of_item, score in zip(items, rankings, scores, strict=True):
                if score is not None:
                    of_item[leg.name] = _replaced(of_item[leg.name], item.id, score)
        return rankings

    def _rest_scores(self, leg: Leg, items: Sequence[KnownItem], asked: Asked) -> list[float | None]:
        """What the leg gives the rest of each item, None for those that are asked for as they are."""
        if leg.name in self._search.lexical:
            explain = self._search.lexical[leg.name].explain
            return [
                None
                if item.rest is None
                else sum(match.score for match in explain(item.query, [(EmbedText(item.rest),)])[0])
                for item in items
            ]
        rests = list(dict.fromkeys(item.rest for item in items if item.rest is not None))
        if not rests:
            return [None] * len(items)  # Not every encoder makes nothing of nothing.
        encoder = cast("Encoder", leg.encoder)
        made = encoder.encode_documents([EmbedText(rest) for rest in rests], frozenset({leg.representation}))
        vectors = list(made.dense) if made.dense is not None else list(made.sparse or ())
        of_rest = dict(zip(rests, vectors, strict=True))
        return [
            None if item.rest is None else _inner(asked.vector(leg.name, item.query), of_rest[item.rest])
            for item in items
        ]


def _replaced(ranking: Ranking, id: str, score: float) -> Ranking:
    """The passage at another score; out of a full list where it would not have come into it."""
    others = [hit for hit in ranking if hit[0] != id]
    if score <= 0.0 or (len(ranking) >= DEPTH and score < ranking[-1][1]):
        return others
    return sorted([*others, (id, score)], key=lambda hit: (-hit[1], hit[0]))


def _inner(query: Matrix | SparseVector, document: Matrix | SparseVector) -> float:
    if isinstance(query, SparseVector) and isinstance(document, SparseVector):
        return query.dot(document)
    return float(np.dot(cast("Matrix", query), cast("Matrix", document)))
