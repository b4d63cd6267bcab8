"""What the stages of one search made of a query, and from that the trace of a hit."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter

from rag_plugins.fusion import Fused, Ranking
from rag_plugins.lexical.rules import Query
from rag_plugins.search.reranking import Judged, Reranking
from rag_plugins.tracing import Attribute, Span, span
from rag_plugins.types import StageScore

__all__ = ["Outcome"]


@dataclass(slots=True)
class Outcome:
    """What each stage of one search made of the query, best first, and the seconds it took.

    `shares` are the weights of the legs that found anything, `reasons` why these, also of legs `left_out`.
    `confidences` has the passages whose text was recognised with doubt, where legs run that this does not
    touch, and `shifted` their shares in place of `shares`; `shortlists` the first pass of legs with two.
    With several `queries` these are, by name, what `rankings` and `shares` are of, in place of legs.
    """

    fusion: str
    query: str | Query = ""
    queries: Mapping[str, Outcome] = field(default_factory=dict[str, "Outcome"])
    shares: Mapping[str, float] = field(default_factory=dict[str, float])
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    left_out: tuple[str, ...] = ()
    confidences: Mapping[str, float] = field(default_factory=dict[str, float])
    shifted: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    shortlists: dict[str, Ranking] = field(default_factory=dict[str, "Ranking"])
    rankings: dict[str, Ranking] = field(default_factory=dict[str, "Ranking"])
    fused: list[Fused] = field(default_factory=list[Fused])
    rerankings: list[Reranking] = field(default_factory=list[Reranking])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    notices: list[str] = field(default_factory=list[str])

    @property
    def final(self) -> list[tuple[str, float]]:
        """(passage id, score) after the last stage."""
        items = self.rerankings[-1].items if self.rerankings else self.fused
        return [(item.id, item.score) for item in items]

    def reranked(self, stage: str) -> list[tuple[str, float]]:
        """(passage id, score) after this rerank stage, nothing where there was nothing to rerank."""
        found = (reranking.items for reranking in self.rerankings if reranking.stage == stage)
        return [(item.id, item.score) for item in next(found, ())]

    @contextmanager
    def timed(
        self, stage: str, kind: str | None = None, attributes: Mapping[str, Attribute] | None = None
    ) -> Generator[Span]:
        """Add the time spent inside to the stage's seconds; `kind` names its span, by default the stage."""
        start = perf_counter()
        with span(f"rag_plugins.{kind or stage}", attributes) as current:
            yield current
        self.seconds[stage] = self.seconds.get(stage, 0.0) + perf_counter() - start

    def traces(self, ids: Sequence[str]) -> dict[str, tuple[StageScore, ...]]:
        """What each stage made of each of `ids`: passes of the legs that found it, fusion, reranks."""
        traces: dict[str, list[StageScore]] = {id: [] for id in ids}
        fused = {item.id: (rank, item) for rank, item in enumerate(self.fused, 1) if item.id in traces}
        items = {id: item for id, (_, item) in fused.items()}
        for id, stage in self._of_queries(items) if self.queries else self._of_legs(items):
            traces[id].append(stage)
        for id, (rank, item) in fused.items():
            kind = "queries" if self.queries else "fusion"
            traces[id].append(StageScore(self.fusion, kind, rank, item.score))
        for reranking in self.rerankings:
            for rank, item in enumerate(reranking.items, 1):
                if item.id in traces and item.judged is not None:
                    traces[item.id].append(_stage_score(reranking, rank, item.judged))
        return {id: tuple(trace) for id, trace in traces.items()}

    def _of_legs(self, items: Mapping[str, Fused]) -> Iterator[tuple[str, StageScore]]:
        for leg, ranking in self.rankings.items():
            for rank, (id, score) in enumerate(self.shortlists.get(leg, ()), 1):
                if id in items:
                    yield id, StageScore(leg, "shortlist", rank, score)
            for rank, (id, score) in enumerate(ranking, 1):
                if id in items:
                    share, part = self.shifted.get(id, self.shares)[leg], items[id].parts[leg]
                    yield id, StageScore(leg, "leg", rank, score, share, part, why=self.reasons.get(leg))
        for leg in self.left_out:
            for id in items:
                yield id, StageScore(leg, "left out", 0, 0.0, 0.0, why=self.reasons.get(leg))

    def _of_queries(self, items: Mapping[str, Fused]) -> Iterator[tuple[str, StageScore]]:
        for name, outcome in self.queries.items():
            traces = outcome.traces([id for id, item in items.items() if name in item.parts])
            for id, (*legs, fusion) in traces.items():
                counted = replace(fusion, weight=self.shares[name], part=items[id].parts[name])
                yield from ((id, replace(stage, query=str(outcome.query))) for stage in (*legs, counted))


def _stage_score(reranking: Reranking, rank: int, judged: Judged) -> StageScore:
    read = judged.read
    return StageScore(
        reranking.stage,
        "rerank",
        rank,
        judged.raw,
        weight=judged.share,
        part=judged.part,
        probability=judged.probability,
        read=read and read.tokens,
        tokens=read and read.total,
        windows=read and read.windows,
    )
