"""What the stages of one search made of a query, and from that the trace of a hit."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from rag_plugins.search.fusion import Fused, Ranking
from rag_plugins.types import StageScore

__all__ = ["Outcome", "Reranked"]


@dataclass(frozen=True, slots=True)
class Reranked:
    """A passage after reranking: its final score, and the reranker's own (None below the depth)."""

    id: str
    score: float
    raw: float | None


@dataclass(slots=True)
class Outcome:
    """What each stage of one search made of the query, best first, and the seconds it took."""

    fusion: str
    reranker: str | None = None
    shares: Mapping[str, float] = field(default_factory=dict[str, float])
    rankings: dict[str, Ranking] = field(default_factory=dict[str, "Ranking"])
    fused: list[Fused] = field(default_factory=list[Fused])
    reranked: list[Reranked] | None = None
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    notices: list[str] = field(default_factory=list[str])

    @property
    def final(self) -> list[tuple[str, float]]:
        """(passage id, score) after the last stage."""
        last = self.fused if self.reranked is None else self.reranked
        return [(item.id, item.score) for item in last]

    @contextmanager
    def timed(self, stage: str) -> Generator[None]:
        """Add the time spent inside to the stage's seconds."""
        start = perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + perf_counter() - start

    def traces(self, ids: Sequence[str]) -> dict[str, tuple[StageScore, ...]]:
        """What each stage made of each of `ids`: one entry a leg that found it, then fusion, then rerank."""
        wanted = set(ids)
        fused = {item.id: (rank, item) for rank, item in enumerate(self.fused, 1) if item.id in wanted}
        traces: dict[str, list[StageScore]] = {id: [] for id in ids}
        for leg, ranking in self.rankings.items():
            for rank, (id, score) in enumerate(ranking, 1):
                if id in wanted:
                    part = fused[id][1].parts[leg]
                    traces[id].append(StageScore(leg, "leg", rank, score, self.shares[leg], part))
        for id, (rank, item) in fused.items():
            traces[id].append(StageScore(self.fusion, "fusion", rank, item.score))
        for rank, item in enumerate(self.reranked or (), 1):
            if item.id in wanted and item.raw is not None and self.reranker is not None:
                traces[item.id].append(StageScore(self.reranker, "rerank", rank, item.raw))
        return {id: tuple(trace) for id, trace in traces.items()}
