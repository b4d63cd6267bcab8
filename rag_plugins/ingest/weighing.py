"""What fusion knows of a collection's legs, kept true as it grows: scales, weights, their worth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from rag_plugins.ingest.asking import DEPTH, Asked, Asker
from rag_plugins.ingest.judgements import judgements
from rag_plugins.ingest.known_items import KINDS, known_items
from rag_plugins.ingest.sentences import count_words
from rag_plugins.legs.search import LegSearch
from rag_plugins.models.bm25 import Bm25Encoder
from rag_plugins.models.protocols import Leg, Representation
from rag_plugins.store.learned import LearnedRecord
from rag_plugins.store.milvus import MilvusStore
from rag_plugins.types import embed_text
from rag_plugins.vectors import Matrix

__all__ = ["ENOUGH", "FusionKeeper"]

ENOUGH = 20
"""Passages from which on there is something to learn."""

_GROWTH = 1.5
"""It is learned anew when the collection has grown so many times."""

_FEWEST, _MOST = 60, 150
_PASSAGES_AN_ITEM = 20
"""One passage in so many is asked for: it is encoded once more, and two queries are."""

_BACKGROUND = 1000
"""Passages that say which scores come by chance."""

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
        self._asker = Asker(legs, self._counted)
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
        scales = self._scales(self._asker.ask([item.query for item in items]))
        asked = self._asker.ask([queries[id] for id in judged])
        cases = [
            Case("labels", _evidence(asked.rankings_of(queries[id]), scales), grades, documents)
            for id, grades in judged.items()
        ]
        return self._put(cases, scales, "labels")

    def _learn(self, log: Sequence[str], kept: Learned | None) -> Learned:
        items = known_items(self._sample(), [words for query in log if (words := count_words(query))])
        asked = self._asker.ask([*(item.query for item in items), *log])
        scales = self._scales(asked)
        rankings = self._asker.with_rests(items, asked)
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

    def _scales(self, asked: Asked) -> dict[str, Scale]:
        return {leg.name: self._scale(leg, asked) for leg in self._counted}

    def _scale(self, leg: Leg, asked: Asked) -> Scale:
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

    def _put(
        self, cases: Sequence[Case], scales: Mapping[str, Scale], source: Source, kept: Learned | None = None
    ) -> Learned:
        start = {name: 1.0 / len(group) for group in self._alike for name in group}
        made = source == "known items"
        # No sentence asks for what pictures alone show.
        pictures = [leg.name for leg in self._counted if leg.reads == "image"] if made else []
        robust = [leg.name for leg in self._counted if leg.robust]
        found = weigh(cases, start, KINDS if made else (), pictures, robust, self._alike)
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

    @property
    def _alike(self) -> list[list[str]]:
        """Legs by what they look at (words, meaning, picture): those that look at the same share one vote."""
        groups: dict[tuple[str, Representation], list[str]] = {}
        for leg in self._counted:
            groups.setdefault((leg.reads, leg.representation), []).append(leg.name)
        return list(groups.values())


def _evidence(rankings: Mapping[str, Ranking], scales: Mapping[str, Scale]) -> dict[str, dict[str, float]]:
    return {leg: evidence(ranking, scales[leg], DEPTH) for leg, ranking in rankings.items()}
