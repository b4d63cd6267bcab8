"""How legs become one ranking: pure functions over what each leg says of each passage."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rag_plugins.fusion.normalising import Ranking, normalisation

__all__ = ["Fused", "add_up", "fuse", "once", "shares", "shifted"]

_NONE: Mapping[str, Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fused:
    """A passage, its fused score, and what each leg that found it added to that score."""

    id: str
    score: float
    parts: Mapping[str, float]


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
    found = {leg: once(ranking) for leg, ranking in rankings.items() if ranking}
    normalise = normalisation(method, rrf_k)
    scores = {leg: normalise(ranking) for leg, ranking in found.items()}
    return add_up(scores, shares({leg: weights[leg] for leg in found}), own)


def add_up(
    scores: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, float],
    own: Mapping[str, Mapping[str, float]] = _NONE,
) -> list[Fused]:
    """Weighted sum of comparable scores by leg and passage id, best first; see `fuse`."""
    parts: dict[str, dict[str, float]] = {}
    for leg, of_leg in scores.items():
        weight = weights[leg]
        for id, value in of_leg.items():
            share = own[id][leg] if id in own else weight
            if id in parts:
                parts[id][leg] = share * value
            else:
                parts[id] = {leg: share * value}
    fused = [Fused(id, math.fsum(by_leg.values()), by_leg) for id, by_leg in parts.items()]
    return sorted(fused, key=lambda item: (-item.score, item.id))


def once(ranking: Ranking) -> Ranking:
    """Each id where it stands first."""
    first = dict(reversed(ranking))
    return ranking if len(first) == len(ranking) else [(id, first[id]) for id in dict(ranking)]
