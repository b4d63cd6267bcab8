"""Scores as evidence, in nats: what is so unlikely by chance speaks for a passage, and evidence adds up.

A leg that finds nothing out of the ordinary says little, whatever its best score: no weight has to be found
for that. BM25 sums the self-information of the terms that match (Robertson and Zaragoza 2009: with the factor
k1 + 1 a term of one occurrence counts log N/n). Cosines are compared with those of passages that have nothing
to do with the query: -log of the chance that one of them is as near.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from rag_plugins.fusion.fusing import once
from rag_plugins.fusion.normalising import Ranking

__all__ = ["Linear", "NormalTail", "Scale", "evidence", "mean_excess"]

_FAR = 30.0
"""Deviations from which on the chance is taken from its asymptotic series: exact to 1e-7 nats there.

From 38 on it is no number that a float has.
"""

_NATS_OF_EXCESS = 4.0
"""By how much a list's scores are above its last, on average: BM25's by 3.5 to 5.7 on seven collections."""


@dataclass(frozen=True, slots=True)
class NormalTail:
    """Scores that are normally distributed over passages unlike the query, as cosines are, about."""

    mean: float
    deviation: float

    def nats(self, score: float) -> float:
        """-log of the chance of at least this score."""
        z = (score - self.mean) / self.deviation
        if z < _FAR:
            return -math.log(0.5 * math.erfc(z * math.sqrt(0.5)))
        series = 1.0 - 1.0 / z**2 + 3.0 / z**4
        return 0.5 * z**2 + math.log(z * math.sqrt(2.0 * math.pi) / series)


@dataclass(frozen=True, slots=True)
class Linear:
    """Scores that are sums of evidence already: `per_point` nats each."""

    per_point: float

    def nats(self, score: float) -> float:
        """In proportion."""
        return self.per_point * score


Scale: TypeAlias = NormalTail | Linear
"""How many nats a leg's score stands for."""


def evidence(ranking: Ranking, scale: Scale, depth: int) -> dict[str, float]:
    """Nats by passage id, at least 0, for a list of at most `depth` hits.

    A full list says of what is not in it only that it is no better than its last, so nats count from there;
    one that is not full has all that there is. The first of a duplicate id counts.
    """
    nats = {id: scale.nats(score) for id, score in once(ranking)}
    floor = min(nats.values()) if nats and len(ranking) >= depth else 0.0
    return {id: value - floor if value > floor else 0.0 for id, value in nats.items()}


def mean_excess(rankings: Iterable[Ranking]) -> Linear:
    """For a leg whose scores are neither cosines nor BM25's: by how far scores stand above their list's last.

    Learned sparse weights and late interaction have scores of any size.
    """
    lists = [[score - ranking[-1][1] for _, score in ranking] for ranking in rankings if len(ranking) > 1]
    excess = [math.fsum(scores) / len(scores) for scores in lists]
    mean = math.fsum(excess) / len(excess) if excess else 0.0
    return Linear(_NATS_OF_EXCESS / mean if mean > 0 else 1.0)
