"""Scores of legs made comparable, by their shortlists alone: pure functions over rankings, best first."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeAlias

__all__ = [
    "NORMALISATIONS",
    "Normalisation",
    "Ranking",
    "dbsf",
    "minmax",
    "normalisation",
    "reciprocal_rank",
    "zscore",
]

Ranking: TypeAlias = Sequence[tuple[str, float]]
"""(passage id, score), best first, each id once, higher is better."""

Normalisation: TypeAlias = Callable[[Ranking], dict[str, float]]
"""Scores of one leg to scores that can be added: at least 0, since what was not found adds 0."""


def minmax(ranking: Ranking) -> dict[str, float]:
    """Scores scaled to 0..1 over the shortlist; a constant or one-hit list scales to 1.

    Weighted sums of these are CombSUM (Fox and Shaw 1994) over min-max scores (Lee 1997).
    """
    if not ranking:
        return {}
    scores = [score for _, score in ranking]
    low, span = min(scores), max(scores) - min(scores)
    return {id: (score - low) / span if span > 0 else 1.0 for id, score in ranking}


def zscore(ranking: Ranking) -> dict[str, float]:
    """Standard deviations above the last of the shortlist; 1 for a constant or one-hit list.

    Zero mean and unit variance (Montague and Aslam 2001; Renda and Straccia 2003), then moved until the last
    has 0: below the mean would be below 0, and what a leg found would rank behind what it did not.
    """
    scaled = minmax(ranking)  # z-scores do not depend on scale and shift, and the square of these is no 0.
    _, deviation = _moments(scaled.values())
    return {id: score / deviation for id, score in scaled.items()} if deviation > 0 else scaled


def dbsf(ranking: Ranking) -> dict[str, float]:
    """Mean -+ 3 standard deviations of the shortlist to 0..1, clipped; 1 for a constant or one-hit list.

    Distribution-based score fusion (Mazzeschi 2023).
    """
    scaled = minmax(ranking)
    mean, deviation = _moments(scaled.values())
    if deviation == 0:
        return scaled
    return {id: min(max(0.5 + (score - mean) / (6 * deviation), 0.0), 1.0) for id, score in scaled.items()}


def reciprocal_rank(ranking: Ranking, k: int = 60) -> dict[str, float]:
    """1 / (k + rank), ranks from 1 (Cormack, Clarke and Büttcher 2009)."""
    return {id: 1.0 / (k + rank) for rank, (id, _) in enumerate(ranking, start=1)}


NORMALISATIONS: dict[str, Normalisation] = {
    "minmax": minmax,
    "zscore": zscore,
    "dbsf": dbsf,
    "rrf": reciprocal_rank,
}


def normalisation(method: str, rrf_k: int = 60) -> Normalisation:
    """One of the table, with the constant of reciprocal ranks."""
    return partial(reciprocal_rank, k=rrf_k) if method == "rrf" else NORMALISATIONS[method]


def _moments(scores: Collection[float]) -> tuple[float, float]:
    """Mean and standard deviation of these very scores, 0 of none."""
    count = max(len(scores), 1)
    mean = math.fsum(scores) / count
    return mean, math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / count)
