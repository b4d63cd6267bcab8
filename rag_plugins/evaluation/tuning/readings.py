"""What a rerank stage makes of queries whose relevant documents are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from rag_plugins.config import RerankerConfig
from rag_plugins.errors import BadInput
from rag_plugins.evaluation.beir import TestSet
from rag_plugins.evaluation.judged import by_unit
from rag_plugins.evaluation.measures import Run
from rag_plugins.evaluation.tuning.calibration import Pairs, Scaling
from rag_plugins.fusion import Ranking
from rag_plugins.index import RagIndex
from rag_plugins.models.protocols import Scores
from rag_plugins.search.outcome import Outcome
from rag_plugins.search.reranking import Judged, below, reranked
from rag_plugins.vectors import FloatArray

__all__ = ["Counts", "Reading", "Readings", "read_stage"]

_K = 10
"""The hits that searches are for."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Queries by what the set and the collection know of them; each is in one.

    `used`: judged, and a relevant document is in the collection or no document is relevant. `absent`: their
    relevant documents are not in the collection. `unjudged`: qrels.tsv has no line of them. `unread`: the
    stage read nothing, as nothing was found or the query is too long for it.
    """

    used: int
    absent: int
    unjudged: int
    unread: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stage made of one query: of the ranking before it what it read and the rest, and its scores."""

    head: Ranking
    rest: Ranking
    made: tuple[Judged, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> Reading:
        """Of the last stage that ran."""
        if not outcome.rerankings:  # A blank query.
            return cls((), (), ())
        items = outcome.rerankings[-2].items if len(outcome.rerankings) > 1 else outcome.fused
        before = [(item.id, item.score) for item in items]
        made = {item.id: item.judged for item in outcome.rerankings[-1].items if item.judged}
        head = [pair for pair in before if pair[0] in made]
        rest = [pair for pair in before if pair[0] not in made]
        return cls(head, rest, tuple(made[id] for id, _ in head))

    def blended(self, settings: RerankerConfig) -> list[tuple[str, float]]:
        """The ranking after the stage, had it this blend."""
        scores = Scores(np.array([judged.raw for judged in self.made], np.float32))
        items = reranked(self.head, scores, settings, "similarity") + below(self.rest)
        return [(item.id, item.score) for item in items]


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings by query id, and the documents that are relevant to each query.

    `document`: of each passage. `qrels`: of the queries with a relevant document in the collection.
    """

    readings: Mapping[str, Reading]
    relevant: Mapping[str, set[str]]
    document: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    unjudged: int

    def known(self, query: str) -> bool:
        """Whether it is known what in the collection is relevant, and be it nothing."""
        return query in self.qrels or not self.relevant[query]

    @property
    def counts(self) -> Counts:
        """How many queries there are of which sort."""
        read = [id for id, reading in self.readings.items() if reading.made]
        used = sum(self.known(id) for id in read)
        return Counts(used, len(read) - used, self.unjudged, len(self.readings) - len(read))

    def pairs(self) -> Pairs:
        """Every query with every passage that was read for it; a passage is as relevant as its document."""
        rows = [
            (number, judged, self.document.get(id) in self.relevant[query], self.known(query))
            for number, (query, reading) in enumerate(self.readings.items())
            for (id, _), judged in zip(reading.head, reading.made, strict=True)
        ]
        scores = np.array([judged.raw for _, judged, _, _ in rows], np.float32)
        plain, scaling = _plain(scores, [judged.probability for _, judged, _, _ in rows])
        return Pairs(
            query=np.array([number for number, *_ in rows], np.int64),
            score=scores,
            plain=plain,
            relevant=np.array([relevant for *_, relevant, _ in rows], bool),
            known=np.array([known for *_, known in rows], bool),
            scaling=scaling,
        )

    def run(self, settings: RerankerConfig) -> Run:
        """Documents by query, had the stage this blend."""
        return {query: by_unit(self.readings[query].blended(settings), self.document) for query in self.qrels}


def _plain(scores: FloatArray, probabilities: list[float | None]) -> tuple[FloatArray, Scaling]:
    """The model's own probabilities; of similarities the place between the lowest and the highest."""
    if None not in probabilities:
        return np.array(probabilities, np.float32), "sigmoid"
    span = np.ptp(scores)
    return (scores - scores.min()) / span if span else np.full(len(scores), 0.5, np.float32), "min-max"


def read_stage(index: RagIndex, tests: TestSet, *, progress: bool = False) -> Readings:
    """Search with the judged queries of a set and keep what the index's last rerank stage makes of them.

    Raises `BadInput` where the collection has none of the documents that are relevant.
    """
    document = {passage.id: passage.doc_id for batch in index.store.scan() for passage in batch}
    stored = set(document.values())
    judged = [id for id in tests.queries if id in tests.qrels]
    relevant = {id: {doc for doc, grade in tests.qrels[id].items() if grade > 0} for id in judged}
    qrels = {id: tests.qrels[id] for id in judged if relevant[id] & stored}
    if not qrels and (wanted := sorted(set().union(*relevant.values()))):
        has = f"has {min(stored)!r}" if stored else "is empty"
        raise BadInput(
            f"none of the {len(wanted)} documents that are relevant is in the collection: qrels.tsv names "
            f"{wanted[0]!r}, the collection {has}. They have to have the same doc_id"
        )
    return Readings(
        readings={
            id: Reading.of(index.run(tests.queries[id], _K))
            for id in tqdm(judged, desc="Reading", disable=not progress)
        },
        relevant=relevant,
        document=document,
        qrels=qrels,
        unjudged=len(tests.queries) - len(judged),
    )
