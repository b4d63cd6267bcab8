"""How legs become one ranking: pure functions over (passage id, score) lists, best first."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

__all__ = ["NORMALISATIONS", "Fused", "Ranking", "fuse", "minmax", "reciprocal_rank", "shares", "shifted"]

Ranking: TypeAlias = Sequence[tuple[str, float]]
"""(passage id, score), best first, each id once, higher is better."""

Normalisation: TypeAlias = Callable[[Ranking, int], dict[str, float]]

_NONE: Mapping[str, Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fused:
    """A passage, its fused score, and what each leg that found it added to that score."""

    id: str
    score: float
    parts: Mapping[str, float]


def minmax(ranking: Ranking, _rrf_k: int = 0) -> dict[str, float]:
    """Scores scaled to 0..1 over the shortlist; a constant or one-hit list scales to 1.

    Weighted sums of these are CombSUM (Fox and Shaw 1994) over min-max scores (Lee 1997).
    """
    if not ranking:
        return {}
    scores = [score for _, score in ranking]
    low, span = min(scores), max(scores) - min(scores)
    return {id: (score - low) / span if span > 0 else 1.0 for id, score in ranking}


def reciprocal_rank(ranking: Ranking, rrf_k: int = 60) -> dict[str, float]:
    """1 / (rrf_k + rank), ranks from 1 (Cormack, Clarke and Büttcher 2009)."""
    return {id: 1.0 / (rrf_k + rank) for rank, (id, _) in enumerate(ranking, start=1)}


NORMALISATIONS: dict[str, Normalisation] = {"minmax": minmax, "rrf": reciprocal_rank}


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
    """Weighted sum of the legs' normalised scores, best first; one vote a leg and passage id.

    Weights count as shares of their sum, so min-max scores stay in 0..1; `own` has shares of single passages
    in their place. A passage that a leg did not find gets nothing from it. The id breaks ties, so equal
    scores keep one order.
    """
    share = shares({leg: weights[leg] for leg in rankings})
    parts: dict[str, dict[str, float]] = {}
    for leg, ranking in rankings.items():
        for id, value in NORMALISATIONS[method](ranking, rrf_k).items():
            parts.setdefault(id, {})[leg] = own.get(id, share)[leg] * value
    fused = [Fused(id, math.fsum(by_leg.values()), by_leg) for id, by_leg in parts.items()]
    return sorted(fused, key=lambda item: (-item.score, item.id))
