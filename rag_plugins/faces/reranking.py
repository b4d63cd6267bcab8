"""What a reranker makes of anyone's texts, for those who have no search to put it in."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from rag_plugins.config import CrossEncoderConfig
from rag_plugins.errors import QueryTooLong
from rag_plugins.faces import DETAILS, stage_json
from rag_plugins.models.protocols import Candidate, Reranker, Scores
from rag_plugins.models.rerank.calibration import calibrate
from rag_plugins.types import StageScore

__all__ = ["RETRIEVAL_SCORE", "final_score", "judged", "ranked", "reranked_metadata"]

RETRIEVAL_SCORE = "retrieval_score"
"""Metadata key of the score from before any reranking."""

_logger = logging.getLogger(__name__)


def ranked(
    reranker: Reranker, settings: CrossEncoderConfig, query: str, candidates: Sequence[Candidate], top_n: int
) -> list[tuple[int, StageScore | None]]:
    """Positions of the best `top_n` that reach `min_score`, best first, equal ones in the order they came in.

    A query too long to be read leaves the first `top_n`, with None: a pasted text must not break a chain.
    """
    if not candidates:
        return []
    try:
        scores = reranker.score(query, candidates)
    except QueryTooLong as error:
        _logger.warning("not reranked, the order of retrieval stays: %s", error)
        return [(position, None) for position in range(min(top_n, len(candidates)))]
    for notice in scores.notices:  # Neither framework's list has a place for them.
        _logger.warning(notice)
    return [*_relevant(judged(reranker, settings, scores), settings.min_score)[:top_n]]


def judged(reranker: Reranker, settings: CrossEncoderConfig, scores: Scores) -> list[tuple[int, StageScore]]:
    """Position and what the reranker made of it, best first; equal scores keep their order."""
    raw: list[float] = scores.values.tolist()
    sure: list[float | None] = [None] * len(raw)
    if settings.calibration:
        sure = calibrate(scores.values, reranker.scale, settings.calibration, settings.isotonic).tolist()
    order = sorted(range(len(raw)), key=lambda position: -raw[position])
    stages: list[tuple[int, StageScore]] = []
    for rank, position in enumerate(order, 1):
        read = scores.read.get(position)
        score = StageScore(
            reranker.name,
            "rerank",
            rank,
            raw[position],
            probability=sure[position],
            read=read and read.tokens,
            tokens=read and read.total,
            windows=read and read.windows,
        )
        stages.append((position, score))
    return stages


def _relevant(
    stages: Sequence[tuple[int, StageScore]], least: float | None
) -> Sequence[tuple[int, StageScore]]:
    if least is None:
        return stages
    relevant = [(position, stage) for position, stage in stages if final_score(stage) >= least]
    if not relevant:
        best = final_score(stages[0][1])
        _logger.info(
            "nothing relevant: the best of %d scores %.3g, min_score is %g", len(stages), best, least
        )
    return relevant


def final_score(stage: StageScore) -> float:
    """The calibrated score where there is one, else the reranker's own."""
    return stage.score if stage.probability is None else stage.probability


def reranked_metadata(
    metadata: Mapping[str, Any], before: Mapping[str, float | None], stage: StageScore
) -> dict[str, Any]:
    """New metadata, the stage at the end of the trace in `DETAILS`.

    `before` is {`RETRIEVAL_SCORE`: score}, {} where there is none; what an earlier reranking noted stands.
    """
    known: Any = metadata.get(DETAILS)
    details: Mapping[str, Any] = known if isinstance(known, Mapping) else {}
    trace = [*details.get("trace", ()), stage_json(stage)]
    return {**before, **metadata, DETAILS: {**details, "score": final_score(stage), "trace": trace}}
