"""What a funnel costs and saves on a set of queries: hits of the exact search that it loses, milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from rag_plugins.funnel import Prefixes
from rag_plugins.fusion import Ranking
from rag_plugins.search.outcome import Outcome
from rag_plugins.types import JsonValue

__all__ = ["FunnelUse", "funnel_use"]

_BEST = 10
"""Hits of the exact search that are to be found."""


@dataclass(frozen=True, slots=True)
class FunnelUse:
    """By what a dense leg was searched, and the share that was found of the exact search's best 10.

    The times are medians of a search, with the funnel and without.
    """

    prefixes: Prefixes
    recall: float
    ms: float
    ms_off: float

    def to_json(self) -> dict[str, JsonValue]:
        """Plain values; the share rounded to four digits, milliseconds to two."""
        return {
            "stages": [list[JsonValue](stage) for stage in self.prefixes.funnel.to_json()],
            "rotated": self.prefixes.rotation is not None,
            "recall": round(self.recall, 4),
            "ms": round(self.ms, 2),
            "ms_off": round(self.ms_off, 2),
        }


def funnel_use(leg: str, prefixes: Prefixes, on: Sequence[Outcome], off: Sequence[Outcome]) -> FunnelUse:
    """From what the same queries made of the leg, one by one, with the funnel and without."""
    shares = (
        _share_found(mine.rankings.get(leg, ()), exact.rankings.get(leg, ()))
        for mine, exact in zip(on, off, strict=True)
    )
    return FunnelUse(
        prefixes,
        mean(shares),
        1000 * median(outcome.seconds.get(leg, 0.0) for outcome in on),
        1000 * median(outcome.seconds.get(leg, 0.0) for outcome in off),
    )


def _share_found(ranking: Ranking, exact: Ranking) -> float:
    """Ties at the last of the best count as found; 1 where there was nothing to find."""
    best = exact[:_BEST]
    if not best:
        return 1.0
    scores = dict(exact)
    lowest = best[-1][1]
    return sum(scores.get(id, -1.0) >= lowest for id, _ in ranking[: len(best)]) / len(best)
