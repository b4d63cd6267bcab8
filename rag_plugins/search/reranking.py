"""What a rerank stage makes of the ranking before it: pure functions over (passage id, score) lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from rag_plugins.config import RerankerConfig
from rag_plugins.fusion import Ranking, minmax
from rag_plugins.models.protocols import Read, Reranker, Scale, Scores
from rag_plugins.models.rerank.calibration import calibrate

__all__ = ["Judged", "Reranked", "Reranking", "RerankStage", "below", "pruned", "reranked"]


_SURE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RerankStage:
    """A reranker, how deep it reads and how its scores count; `tokens`: the leg whose tokens it reads."""

    settings: RerankerConfig
    reranker: Reranker
    tokens: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What a reranker made of a passage: its own score, what that added to the blended one, by which share.

    `probability` is the score calibrated; `read` is given where it was not read as a whole at once.
    """

    raw: float
    part: float
    share: float
    probability: float | None = None
    read: Read | None = None

    @property
    def value(self) -> float:
        """What `min_score` is compared with."""
        return self.raw if self.probability is None else self.probability


@dataclass(frozen=True, slots=True)
class Reranked:
    """A passage after a stage: its score, and what the reranker made of it (None: it did not read it)."""

    id: str
    score: float
    judged: Judged | None = None


@dataclass(frozen=True, slots=True)
class Reranking:
    """The ranking after a stage, best first."""

    stage: str
    items: Sequence[Reranked]


def reranked(
    head: Ranking,
    scores: Scores,
    settings: RerankerConfig,
    scale: Scale,
    read: Sequence[str] | None = None,
    confidences: Mapping[str, float] = _SURE,
) -> list[Reranked]:
    """Scores before and rerank scores, each min-max scaled over the head, summed with `blend` for the latter.

    `scores`, of this `scale`, run beside `read`, the ids of the head that the reranker can read, by default
    all; the others keep the score before, scaled. What was read in words that are in doubt counts as much
    less as `confidences` (0 to 1) say. The id breaks ties. Raises `ConfigError` for a calibration that the
    scale cannot have.
    """
    read = [id for id, _ in head] if read is None else read
    raw: list[float] = scores.values.tolist()
    before, reread = minmax(head), minmax(list(zip(read, raw, strict=True)))
    sure = _probabilities(scores, settings, scale)
    items = [Reranked(id, before[id]) for id, _ in head if id not in reread]
    for n, id in enumerate(read):
        share = settings.blend * confidences.get(id, 1.0)
        judged = Judged(raw[n], share * reread[id], share, sure[n], scores.read.get(n))
        items.append(Reranked(id, (1.0 - share) * before[id] + judged.part, judged))
    return sorted(items, key=lambda item: (-item.score, item.id))


def _probabilities(scores: Scores, settings: RerankerConfig, scale: Scale) -> Sequence[float | None]:
    if settings.calibration is None:
        return [None] * len(scores.values)
    return calibrate(scores.values, scale, settings.calibration, settings.isotonic).tolist()


def below(rest: Ranking) -> list[Reranked]:
    """What was not read, in the order it had, below every blended score, which is at least 0.

    Scores of fusion have no upper bound: they are lowered by the best of these, or by 1 where none is above.
    """
    most = max([1.0, *(score for _, score in rest)])
    return [Reranked(id, score - most) for id, score in rest]


def pruned(
    items: Sequence[Reranked], min_score: float, stage: str, wanted: int
) -> tuple[list[Reranked], list[str]]:
    """Those that `stage` read and found good enough; what to say where that leaves fewer than `wanted`."""
    values = [item.judged.value for item in items if item.judged]
    enough = _single(min_score)
    kept = [item for item in items if item.judged and item.judged.value >= enough]
    unread = len(items) - len(values)
    notices: list[str] = []
    if values and not kept:
        notices.append(
            f"nothing relevant here: the best of {_passages(len(values))} scores {max(values):.3g}, "
            f"min_score is {min_score:g}"
        )
    if unread and len(kept) < wanted:
        notices.append(
            f"{_passages(unread)} that {stage} did not read cannot pass its min_score: it reads the best "
            f"{len(values)}, raise its depth for more"
        )
    return kept, notices


def _single(value: float) -> float:
    """As close as scores can come to it: a score of 0.9 is no less than a `min_score` of 0.9."""
    limit = float(np.finfo(np.float32).max)
    return float(np.float32(min(max(value, -limit), limit)))


def _passages(count: int) -> str:
    return "1 passage" if count == 1 else f"{count} passages"
