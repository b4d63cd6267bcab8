"""How legs become one ranking: pure functions over (passage id, score) lists, best first."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

__all__ = [
    "NORMALISATIONS",
    "Fused",
    "Normalisation",
    "Ranking",
    "dbsf",
    "fuse",
    "minmax",
    "normalisation",
    "reciprocal_rank",
    "shares",
    "shifted",
    "zscore",
]

Ranking: TypeAlias = Sequence[tuple[str, float]]
"""(passage id, score), best first, each id once, higher is better."""

Normalisation: TypeAlias = Callable[[Ranking], dict[str, float]]
"""Scores of one leg to scores that can be added: at least 0, since what was not found adds 0."""

_NONE: Mapping[str, Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fused:
    """A passage, its fused score, and what each leg that found it added to that score."""

    id: str
    score: float
    parts: Mapping[str, float]


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


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights as shares of their sum; all zero means all equal."""
    total = sum(weights.values())
    return {leg: weight / total if total > 0 else 1.0 / len(weights) for leg, weight in weights.items()}


def shifted(shares: Mapping[str, float], fragile: Collection[str], confidence: float) -> dict[str, float]:
    """Shares for a passage that was recognised with this confidence, 0 to 1; their sum stays.

    Legs that are `fragile` read the recognised words as they are: theirs are multiplied by the confidence,
    and what they lose goes to the others, as those share the rest. Without any other, nothing is shifted.
    """
    doubted = {leg: share * confidence if leg in fragile else share for leg, share in shares.items()}
    if not any(doubted[leg] for leg in doubted if leg not in fragile):
        return dict(shares)
    scale = math.fsum(shares.values()) / math.fsum(doubted.values())
    return {leg: share * scale for leg, share in doubted.items()}


def fuse(
    rankings: Mapping[str, Ranking],
    weights: Mapping[str, float],
    method: str = "minmax",
    rrf_k: int = 60,
    own: Mapping[str, Mapping[str, float]] = _NONE,
) -> list[Fused]:
    """Weighted sum of the legs' normalised scores, best first; one vote a leg and passage id, the first.

    Weights count as shares of their sum over the legs that found anything, so a leg that found nothing is
    as one that is not there, and min-max scores stay in 0..1; `own` has shares of single passages in their
    place. A passage that a leg did not find gets nothing from it. The id breaks ties, so equal scores keep
    one order.
    """
    found = {leg: _once(ranking) for leg, ranking in rankings.items() if ranking}
    share = shares({leg: weights[leg] for leg in found})
    normalise = normalisation(method, rrf_k)
    parts: dict[str, dict[str, float]] = {}
    for leg, ranking in found.items():
        for id, value in normalise(ranking).items():
            parts.setdefault(id, {})[leg] = own.get(id, share)[leg] * value
    fused = [Fused(id, math.fsum(by_leg.values()), by_leg) for id, by_leg in parts.items()]
    return sorted(fused, key=lambda item: (-item.score, item.id))


def _once(ranking: Ranking) -> Ranking:
    """Each id where it stands first."""
    first: dict[str, float] = {}
    for id, score in ranking:
        first.setdefault(id, score)
    return list(first.items())
