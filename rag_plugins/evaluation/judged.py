"""Queries whose answers are known, and in what they are counted: documents, pages or passages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, TypeAlias

from rag_plugins.evaluation.beir import TestSet
from rag_plugins.evaluation.measures import Qrels
from rag_plugins.index import RagIndex
from rag_plugins.types import Passage

__all__ = ["Judged", "Source", "Unit", "by_unit", "judged_documents", "unit_of"]

Unit: TypeAlias = Literal["document", "page", "passage"]
"""What is relevant to a query, or not."""

Source: TypeAlias = Literal["labels", "known items", "LLM"]
"""Who says so: people, or whoever made the query of the passage."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Queries of one collection by id, what is relevant to each, and the answers that are known.

    `qrels` grade ids as `unit_of` makes them; `unit` says which, by query. `places` has by unit the id that
    each passage counts for. Queries without qrels are not searched with: `unheard`, whose answer stands in no
    passage's LLM text, so that ingestion may have lost it, and `absent`, whose documents are not there (why).
    """

    queries: Mapping[str, str]
    qrels: Qrels
    unit: Mapping[str, Unit]
    places: Mapping[Unit, Mapping[str, str]]
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    unheard: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict[str, str])
    source: Source = "labels"

    def sample(self, queries: int | None) -> Judged:
        """At most so many of the queries that have something relevant; drawn with a fixed seed."""
        if queries is None or queries >= len(self.qrels):
            return self
        drawn = sorted(Random(0).sample(sorted(self.qrels), queries))
        return replace(
            self,
            qrels={id: self.qrels[id] for id in drawn},
            answers={id: self.answers[id] for id in drawn if id in self.answers},
            unheard=(),
        )

    def scores(self, query: str, ranking: Iterable[tuple[str, float]]) -> dict[str, float]:
        """Of what the query asks for, from a ranking of passages."""
        return by_unit(ranking, self.places[self.unit[query]])


def unit_of(passage: Passage, unit: Unit) -> str:
    """The id that a passage counts for; one without a page counts as its document's only one."""
    if unit == "passage":
        return passage.id
    page = passage.provenance.page if unit == "page" and passage.provenance else None
    return passage.doc_id if page is None else f"{passage.doc_id}#page={page}"


def by_unit(ranking: Iterable[tuple[str, float]], unit: Mapping[str, str]) -> dict[str, float]:
    """The score of a document, or another unit, is its best passage's."""
    scores: dict[str, float] = {}
    for id, score in ranking:
        scores[unit[id]] = max(score, scores.get(unit[id], score))
    return scores


def judged_documents(tests: TestSet, index: RagIndex) -> Judged:
    """A set whose qrels name documents of a collection."""
    document = {passage.id: passage.doc_id for batch in index.store.scan() for passage in batch}
    return Judged(
        queries=tests.queries,
        qrels=tests.qrels,
        unit=dict.fromkeys(tests.queries, "document"),
        places={"document": document},
        answers=tests.answers,
    )
