"""What a rerank stage makes of the ranking before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag_plugins.config import RerankerConfig
from rag_plugins.models.protocols import Reranker, Scores
from rag_plugins.search.fusion import minmax

__all__ = ["RerankStage", "Reranked", "Reranking", "below", "reranked"]


@dataclass(frozen=True, slots=True)
class RerankStage:
    """A reranker, and how deep it reads and how its scores count."""

    settings: RerankerConfig
    reranker: Reranker


@dataclass(frozen=True, slots=True)
class Reranked:
    """A passage after a stage: its score, and the reranker's own (None below the depth)."""

    id: str
    score: float
    raw: float | None


@dataclass(frozen=True, slots=True)
class Reranking:
    """The ranking that a stage made, best first."""

    reranker: str
    items: Sequence[Reranked]


def reranked(head: Sequence[tuple[str, float]], scores: Scores, settings: RerankerConfig) -> list[Reranked]:
    """Scores before and rerank scores, each min-max scaled over the head, summed with `blend` for the latter.

    The id breaks ties. `scores` run beside `head`.
    """
    raw: list[float] = scores.values.tolist()
    before = minmax(head)
    reread = minmax([(id, score) for (id, _), score in zip(head, raw, strict=True)])
    share = settings.blend
    items = [
        Reranked(id, (1.0 - share) * before[id] + share * reread[id], score)
        for (id, _), score in zip(head, raw, strict=True)
    ]
    return sorted(items, key=lambda item: (-item.score, item.id))


def below(rest: Sequence[tuple[str, float]]) -> list[Reranked]:
    """What was not read, in the order it had, below every blended score, which is at least 0."""
    return [Reranked(id, score - 1.0, None) for id, score in rest]
