"""What a funnel costs and saves on a set of queries: hits of the exact search that it loses, milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

import numpy as np

from rag_plugins.funnel import Funnel, Prefixes, Rotation
from rag_plugins.funnel.tuning import Tuning, tune
from rag_plugins.fusion import Ranking
from rag_plugins.index import RagIndex
from rag_plugins.search.outcome import Outcome
from rag_plugins.types import JsonValue
from rag_plugins.vectors import Matrix
from rag_plugins.wiring import dense_model

__all__ = ["FunnelRankings", "FunnelUse", "funnel_use", "measured_funnels", "prefix_rankings"]

_BLOCK = 2048
"""Vectors read at once."""

_MEASURED = 200
"""Queries that funnels are measured on."""

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


class FunnelRankings:
    """What any funnel makes of queries, stage by stage, computed from the vectors of a leg.

    A stage ranks what the one before has kept, by cosines of prefixes. They are not rounded here, as those of
    a search in memory are.
    """

    def __init__(self, index: RagIndex, leg: str, rotation: Rotation | None, queries: Sequence[str]) -> None:
        """Read and encoded at once are the queries; prefixes as they are needed, and kept."""
        self._index = index
        self._leg = leg
        self._rotation = rotation
        self._ids = index.store.ids(field=leg)
        encoded = dense_model(index.legs[leg]).encode_queries(queries).dense if self._ids else None
        self._queries = [] if encoded is None else list(encoded)
        self._cut: dict[int, Matrix] = {}

    def by_stage(self, funnel: Funnel, depth: int) -> list[list[Ranking]]:
        """For each stage `depth` of the best of each query; as many rankings as queries."""
        found: list[list[Ranking]] = [[] for _ in funnel.stages]
        for query in self._queries:
            left = np.arange(len(self._ids))
            for stage, rankings in zip(funnel.stages, found, strict=True):
                asked = self._prefixes(funnel).cut(query, stage.width)
                scores = self._vectors(funnel, stage.width)[left] @ asked
                best = np.argsort(-scores, kind="stable")[: funnel.kept(stage, depth)]
                ranking = zip(left[best[:depth]].tolist(), scores[best[:depth]].tolist(), strict=True)
                rankings.append([(self._ids[row], score) for row, score in ranking])
                left = np.sort(left[best])
        return found

    def _prefixes(self, funnel: Funnel) -> Prefixes:
        return Prefixes(funnel, self._rotation)

    def _vectors(self, funnel: Funnel, width: int) -> Matrix:
        if width not in self._cut:
            blocks = (self._ids[start : start + _BLOCK] for start in range(0, len(self._ids), _BLOCK))
            read = (self._index.store.matrix(self._leg, block) for block in blocks)
            self._cut[width] = np.vstack([self._prefixes(funnel).cut(vectors, width) for vectors in read])
        return self._cut[width]


def measured_funnels(index: RagIndex, leg: str, rotation: Rotation | None, queries: Sequence[str]) -> Tuning:
    """What each funnel finds of the exact search's best 10 for these queries, and costs."""
    encoded = dense_model(index.legs[leg]).encode_queries(queries[:_MEASURED]).dense
    assert encoded is not None  # noqa: S101
    ids = index.store.ids(field=leg)
    blocks = [ids[start : start + _BLOCK] for start in range(0, len(ids), _BLOCK)]
    return tune(lambda: (index.store.matrix(leg, block) for block in blocks), encoded, rotation=rotation)


def prefix_rankings(
    index: RagIndex, leg: str, prefixes: Prefixes, queries: Sequence[str], depth: int
) -> dict[str, list[Ranking]]:
    """What all stages but the last make of each query, `depth` of the best, by the stage's name."""
    found = FunnelRankings(index, leg, prefixes.rotation, queries).by_stage(prefixes.funnel, depth)
    return {
        f"{leg}, first {stage.width}": rankings
        for stage, rankings in zip(prefixes.funnel.pruning, found, strict=False)
    }
