"""What fusion knows of a collection's legs, kept true as it grows: scales, weights, their worth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from random import Random
from typing import cast

import numpy as np

from rag_plugins.errors import BadInput
from rag_plugins.fusion import (
    Case,
    Learned,
    LegWorth,
    Linear,
    NormalTail,
    Ranking,
    Scale,
    Source,
    evidence,
    fresh_gain,
    mean_excess,
    weigh,
)
from rag_plugins.ingest.judgements import judgements
from rag_plugins.ingest.known_items import KINDS, KnownItem, known_items
from rag_plugins.ingest.sentences import count_words
from rag_plugins.legs.search import LegSearch, QueryVectors
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.protocols import Encoder, Leg, Representation
from rag_plugins.store.learned import LearnedRecord
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import EmbedText, embed_text
from rag_plugins.vectors import Matrix, SparseVector

__all__ = ["ENOUGH", "FusionKeeper"]

ENOUGH = 20
"""Passages from which on there is something to learn."""

_GROWTH = 1.5
"""It is learned anew when the collection has grown so many times."""

_FEWEST, _MOST = 30, 150
_PASSAGES_AN_ITEM = 20
"""One passage in so many is asked for: it is encoded once more, and two queries are."""

_BACKGROUND = 1000
"""Passages that say which scores come by chance."""

_DEPTH = 100
"""Hits a leg, as a search for 10 has it."""

_SAME = 1e-6
"""Deviation of cosines below which they tell nothing apart."""

_log = logging.getLogger(__name__)


class FusionKeeper:
    """Learns what fusion has to know of one tenant's legs, and keeps it beside the collection.

    It learns from queries made of the passages, and again when there are half as many more. Weights that were
    learned from labels stay: only scales are renewed then.
    """

    def __init__(self, store: MilvusStore, legs: LegSearch, record: LearnedRecord) -> None:
        self._store = store
        self._legs = legs
        self._counted = [leg for leg in legs.legs.values() if leg.weight != 0]
        self._record = record
        self._most = inf  # As many passages as there may be: they are counted only where that matters.
        self._failed = 0

    def settle(self, written: int) -> None:
        """After writing so many passages: learn where it is time to. A failure is logged, no more."""
        self._most += written
        if not written or self._most < self._due:
            return
        self._most = rows = self._store.count()
        if rows < self._due:
            return
        try:
            known = self._record.current
            self._learn((), known if known and known.source == "labels" and self._fits(known) else None)
        except Exception:  # Whatever it was, the passages are stored, and found as before.
            _log.warning("how the legs are to be fused could not be learned", exc_info=True)
            self._failed = rows  # Not again before it is due again.

    def learn(self, log: Sequence[str] = ()) -> Learned:
        """Learn from queries made of the passages; `log` has real ones, which these are made to resemble.

        Raises `BadInput` where there are too few passages.
        """
        return self._learn(log, None)

    def learn_from(self, queries: Mapping[str, str], relevant: Mapping[str, Mapping[str, int]]) -> Learned:
        """Learn from queries that somebody judged: grades by query and `doc_id`. Raises `BadInput`."""
        documents = {passage.id: passage.doc_id for batch in self._store.scan() for passage in batch}
        judged = judgements(queries, relevant, set(documents.values()))
        items = known_items(self._sample())
        scales = self._scales(self._ask([item.query for item in items]))
        asked = self._ask([queries[id] for id in judged])
        cases = [
            Case("labels", _evidence(asked.rankings_of(queries[id]), scales), grades, documents)
            for id, grades in judged.items()
        ]
        return self._put(cases, scales, "labels")

    def _learn(self, log: Sequence[str], kept: Learned | None) -> Learned:
        items = known_items(self._sample(), [words for query in log if (words := count_words(query))])
        asked = self._ask([*(item.query for item in items), *log])
        scales = self._scales(asked)
        rankings = self._with_rests(items, asked)
        cases = [
            Case(item.kind, _evidence(of_item, scales), {item.id: 1})
            for item, of_item in zip(items, rankings, strict=True)
        ]
        return self._put(cases, scales, "known items", kept)

    @property
    def _due(self) -> float:
        """How many passages there must be for something to be learned."""
        known = self._record.current
        rows = known.rows if known and self._fits(known) else 0
        return max(ENOUGH, _GROWTH * max(rows, self._failed))

    def _fits(self, learned: Learned) -> bool:
        return learned.fits(leg.name for leg in self._counted)

    def _sample(self) -> dict[str, str]:
        """What retrieval reads of some passages, by id, the same ones every time."""
        ids = self._store.ids()
        if len(ids) < ENOUGH:
            raise BadInput(
                f"the collection has {len(ids)} passages: legs are weighed equally below {ENOUGH}, add more"
            )
        count = min(len(ids), max(_FEWEST, min(len(ids) // _PASSAGES_AN_ITEM, _MOST)))
        views = self._store.views(Random(0).sample(ids, count))
        return {id: view.text for id, of_passage in views.items() if (view := embed_text(of_passage))}

    def _ask(self, queries: Sequence[str]) -> _Asked:
        texts = list(dict.fromkeys(queries))
        vectors = self._legs.encode(texts, self._counted) if texts else {}
        rankings: dict[str, list[Ranking]] = {}
        for leg in self._counted:
            of_leg = vectors.get(leg.name, [None] * len(texts))
            found = [
                self._legs.rank(leg, text, vector, _DEPTH) for text, vector in zip(texts, of_leg, strict=True)
            ]
            rankings[leg.name] = [each.ranking for each in found]
        return _Asked({text: n for n, text in enumerate(texts)}, vectors, rankings)

    def _scales(self, asked: _Asked) -> dict[str, Scale]:
        return {leg.name: self._scale(leg, asked) for leg in self._counted}

    def _scale(self, leg: Leg, asked: _Asked) -> Scale:
        if isinstance(leg.encoder, Bm25Encoder):
            return Linear(leg.encoder.nats)
        if leg.representation is Representation.DENSE and leg.name in asked.vectors:
            return self._tail(leg.name, np.stack(cast("Sequence[Matrix]", asked.vectors[leg.name])))
        return mean_excess(asked.rankings[leg.name])

    def _tail(self, field: str, queries: Matrix) -> Scale:
        """How the queries' cosines with any passages are spread, on average over the queries."""
        ids = self._store.ids(field=field)
        some = Random(0).sample(ids, min(len(ids), _BACKGROUND))
        if not some:
            return Linear(0.0)
        cosines = queries @ self._store.matrix(field, some).T
        deviation = float(cosines.std(axis=1).mean())
        return NormalTail(float(cosines.mean()), deviation) if deviation > _SAME else Linear(0.0)

    def _with_rests(self, items: Sequence[KnownItem], asked: _Asked) -> list[dict[str, Ranking]]:
        """By item and leg what it finds where the passage asked for is its rest."""
        rankings = [asked.rankings_of(item.query) for item in items]
        for leg in self._counted:
            if leg.reads != "text":
                continue
            scores = self._rest_scores(leg, items, asked)
            for item, of_item, score in zip(items, rankings, scores, strict=True):
                if score is not None:
                    of_item[leg.name] = _replaced(of_item[leg.name], item.id, score)
        return rankings

    def _rest_scores(self, leg: Leg, items: Sequence[KnownItem], asked: _Asked) -> list[float | None]:
        """What the leg gives the rest of each item, None for those that are asked for as they are."""
        if leg.name in self._legs.lexical:
            explain = self._legs.lexical[leg.name].explain
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

    def _put(
        self, cases: Sequence[Case], scales: Mapping[str, Scale], source: Source, kept: Learned | None = None
    ) -> Learned:
        start = {leg.name: 1.0 / self._alike(leg) for leg in self._counted}
        made = source == "known items"
        # No sentence asks for what pictures alone show.
        pictures = [leg.name for leg in self._counted if leg.reads == "image"] if made else []
        found = weigh(cases, start, KINDS if made else (), pictures)
        legs = {
            name: LegWorth(scales[name], found.weights[name], found.alone[name], found.without[name])
            for name in start
        }
        gain = fresh_gain(cases, start) if source == "labels" else None
        learned = Learned(legs, found.together, found.queries, self._store.count(), source, gain)
        if kept:
            renewed = {name: replace(kept.legs[name], scale=scales[name]) for name in start}
            learned = replace(kept, legs=renewed, rows=learned.rows)
        self._record.put(learned)
        return learned

    def _alike(self, leg: Leg) -> int:
        """Legs that look at the same (words, meaning, picture): they agree, so together they count once."""
        looks = (leg.reads, leg.representation)
        return sum((each.reads, each.representation) == looks for each in self._counted)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Queries by their text: which row of `vectors` and `rankings`, by leg, is theirs."""

    rows: Mapping[str, int]
    vectors: QueryVectors
    rankings: Mapping[str, Sequence[Ranking]]

    def rankings_of(self, query: str) -> dict[str, Ranking]:
        return {leg: of_leg[self.rows[query]] for leg, of_leg in self.rankings.items()}

    def vector(self, leg: str, query: str) -> Matrix | SparseVector:
        return self.vectors[leg][self.rows[query]]


def _evidence(rankings: Mapping[str, Ranking], scales: Mapping[str, Scale]) -> dict[str, dict[str, float]]:
    return {leg: evidence(ranking, scales[leg], _DEPTH) for leg, ranking in rankings.items()}


def _replaced(ranking: Ranking, id: str, score: float) -> Ranking:
    """The passage at another score; out of a full list where it would not have come into it."""
    others = [hit for hit in ranking if hit[0] != id]
    if score <= 0.0 or (len(ranking) >= _DEPTH and score < ranking[-1][1]):
        return others
    return sorted([*others, (id, score)], key=lambda hit: (-hit[1], hit[0]))


def _inner(query: Matrix | SparseVector, document: Matrix | SparseVector) -> float:
    if isinstance(query, SparseVector) and isinstance(document, SparseVector):
        return query.dot(document)
    return float(np.dot(cast("Matrix", query), cast("Matrix", document)))
