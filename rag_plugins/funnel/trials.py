"""Funnels that could be used: what each finds, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from rag_plugins.funnel.ranks import Ranks
from rag_plugins.funnel.stages import Funnel

__all__ = ["Measured", "PrefixAlone", "Trial", "candidate_widths", "cost"]

_SHARES = (32, 24, 16, 12, 8, 6, 4, 3, 2)
"""Prefixes that are tried, as parts of the whole width, where a model declares none."""

_ALIGN = 4
"""Widths are multiples of it: processors multiply so many int8 at a time."""

_FEWEST = 20
"""The smallest keep tried: a stage keeps twice the hits asked for anyhow, and usually ten are."""

_MOST = 8192
_STEP = 1.19
"""Each keep tried is so much more than the one before: four of them to the double."""

# Microseconds of one thread in the resident store, with its compiled kernels (500 to 100,000 rows of 384 and
# 768 numbers, x86): two searches in three took within a third of what this says.
_STAGE = 15.0
"""To set a stage up and to choose its best."""
_ROW, _SCANNED = 0.0011, 7e-6
"""For every row, and for every number of it, that the first stage scans as int8."""
_KEPT, _READ = 0.06, 1e-4
"""For every row that a later stage reads apart from its neighbours, and for every byte of it."""
_EXACT = 4e-5
"""For every byte of a full vector that is scanned."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A funnel, the share of the exact search's best k that it finds, and what a search costs.

    `floor` is what may be promised: recall once the collection has grown, should the queries drawn have
    been lucky by two standard errors. `cost` is in
    microseconds: see the function of that name.
    """

    funnel: Funnel
    recall: float
    floor: float
    cost: float


@dataclass(frozen=True, slots=True)
class PrefixAlone:
    """What a one-stage funnel would give, the prefix stored in place of the vector."""

    width: int
    recall: float
    bytes_stored: int


def candidate_widths(dim: int) -> tuple[int, ...]:
    """Prefixes worth trying of rotated vectors: 1/32 to 1/2 of the width."""
    widths = {-(-dim // (share * _ALIGN)) * _ALIGN for share in _SHARES}
    return tuple(sorted(width for width in widths if width < dim))


def cost(funnel: Funnel, rows: int, dim: int, k: int = 10) -> float:
    """Microseconds that a search in memory takes, by what it reads.

    The first stage scans int8 prefixes of all rows, or all vectors; each later one reads the rows that the
    one before kept, as int8 prefixes, at full width as float32.
    """
    first, *later = funnel.stages
    scan = _ROW + first.width * _SCANNED if first.width < dim else 4 * dim * _EXACT
    total = _STAGE * len(funnel.stages) + rows * scan
    for before, stage in zip(funnel.stages, later, strict=False):
        read = stage.width if stage.width < dim else 4 * dim
        total += min(funnel.kept(before, k), rows) * (_KEPT + read * _READ)
    return total


@dataclass(frozen=True, slots=True)
class Measured:
    """What the recall of every funnel over these widths follows from."""

    ranks: Ranks
    rows: int
    dim: int
    k: int
    growth: float

    def pairs(self) -> Iterator[Trial]:
        """Every width with every keep, then all numbers."""
        keeps = self._keeps()
        for width, found in self._found(keeps).items():
            floors = _floor(found.mean(axis=1))
            for keep, floor in zip(keeps, floors.tolist(), strict=True):
                yield self._trial(Funnel([(width, keep), (self.dim,)]), floor)

    def triples(self, target: float) -> Iterator[Trial]:
        """For every two widths the cheapest keeps that meet the target, where any do."""
        keeps = self._keeps()
        found = self._found(keeps)
        for narrow, wide in combinations(found, 2):
            floors = _floor(np.einsum("qka,qkb->qab", found[narrow], found[wide]) / found[wide].shape[1])
            meets = np.tril(floors >= target, -1)  # The second keeps less than the first.
            trials = [
                self._trial(Funnel([(narrow, keeps[a]), (wide, keeps[b]), (self.dim,)]), float(floors[a, b]))
                for a, b in enumerate(meets.argmax(axis=1))
                if meets[a, b]
            ]
            yield from sorted(trials, key=lambda trial: trial.cost)[:1]

    def halving(self) -> Iterator[Trial]:
        """The classic schedule, where its widths were measured."""
        funnel = Funnel.halving(self.dim)
        if funnel.pruning and all(stage.width in self.ranks for stage in funnel.pruning):
            yield self._trial(funnel, float(_floor(self._survivors(funnel, self.growth).mean(axis=1))))

    def alone(self) -> Iterator[PrefixAlone]:
        """Each prefix's own ranking."""
        for width, ranks in self.ranks.items():
            yield PrefixAlone(width, float((ranks < self.k).mean()), 4 * self.rows * width)

    def _trial(self, funnel: Funnel, floor: float) -> Trial:
        recall = float(self._survivors(funnel).mean())
        return Trial(funnel, recall, floor, cost(funnel, self.rows, self.dim, self.k))

    def _survivors(self, funnel: Funnel, growth: float = 1.0) -> NDArray[np.bool_]:
        """Which of the best each stage by itself would keep: (queries, k).

        After one stage has pruned, the next keeps at least those.
        """
        kept = [growth * self.ranks[stage.width] < funnel.kept(stage, self.k) for stage in funnel.pruning]
        return np.all(kept, axis=0)

    def _found(self, keeps: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """By width, which of the best survive each keep once there are more rows: (queries, k, keeps)."""
        return {
            width: (self.growth * ranks[:, :, None] < np.array(keeps)).astype(np.float32)
            for width, ranks in self.ranks.items()
        }

    def _keeps(self) -> list[int]:
        """Keeps to try, evenly spaced in their logarithm, up to half of the rows."""
        fewest = max(_FEWEST, 2 * self.k)
        span = max(min(_MOST, self.rows * self.growth / 2) / fewest, 1.0)
        return [round(fewest * _STEP**step) for step in range(int(log(span, _STEP)) + 1)]


def _floor(shares: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean over the queries, the first axis, less twice its standard error."""
    error = shares.std(axis=0, dtype=np.float64) / sqrt(len(shares))
    return shares.mean(axis=0, dtype=np.float64) - 2.0 * error
