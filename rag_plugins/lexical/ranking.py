"""The plan's formula over a whole segment at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.lexical.phrases import frequencies
from rag_plugins.lexical.plan import Plan
from rag_plugins.lexical.segment import Segment
from rag_plugins.resident.lists import IntArray
from rag_plugins.vectors import FloatArray

__all__ = ["Saturation", "SymbolPlan", "best", "scores"]

Floats: TypeAlias = NDArray[np.floating[Any]]

Saturation: TypeAlias = Callable[[FloatArray], FloatArray]
"""S(d) by |d|."""


@dataclass(frozen=True, slots=True)
class SymbolPlan:
    """A plan in an index's own symbols; what the index does not know is left out.

    words: the surfaces of a term, its weight. groups: surfaces, a weight each. phrases: units, slop, weight.
    """

    words: Sequence[tuple[IntArray, float]]
    groups: Sequence[tuple[IntArray, Floats]]
    phrases: Sequence[tuple[Sequence[int], int, float]]

    @classmethod
    def of(
        cls, plan: Plan, symbols: Mapping[str, int], surfaces: Callable[[str], Sequence[int]]
    ) -> SymbolPlan:
        """`surfaces` gives those of a term."""
        known = [[(symbols[s], w) for s, w in group.weights.items() if s in symbols] for group in plan.groups]
        return cls(
            [(np.array(surfaces(word), np.int32), weight) for word, weight in plan.words.items()],
            [(np.array([s for s, _ in group], np.int32), np.array([w for _, w in group])) for group in known],
            [
                ([symbols[unit] for unit in phrase.units], phrase.slop, phrase.weight)
                for phrase in plan.phrases
                if all(unit in symbols for unit in phrase.units)
            ],
        )


def scores(segment: Segment, plan: SymbolPlan, saturation: Saturation) -> NDArray[np.float64]:
    """Shape (rows,); removed rows are scored as well."""
    # Double precision from here on, whatever width counts have: equal passages score the same in any segment.
    damping = saturation(segment.lengths.astype(np.float32)).astype(np.float64)
    total = np.zeros(len(segment.ids))
    for rows, part in _parts(segment, plan, damping):
        # A row that is given twice is given the same part twice; it is assigned, so counted once.
        total[rows] += part
    return total


def best(ids: Sequence[str], scores: NDArray[np.float64], limit: int) -> list[tuple[str, float]]:
    """(id, score) of the best rows above 0, in no order; more than `limit` where the last are equal."""
    rows = np.flatnonzero(scores > 0.0)
    if len(rows) > limit:
        rows = rows[scores[rows] >= np.partition(scores[rows], -limit)[-limit]]
    return [(ids[row], score) for row, score in zip(rows.tolist(), scores[rows].tolist(), strict=True)]


def _parts(segment: Segment, plan: SymbolPlan, damping: Floats) -> Iterator[tuple[IntArray, Floats]]:
    """What each word, group and phrase adds to which rows."""
    sums, maxima = np.zeros(len(segment.ids)), np.zeros(len(segment.ids))
    for surfaces, weight in plan.words:
        rows, counts, _ = segment.surfaces.read(surfaces)
        if len(surfaces) > 1:
            np.add.at(sums, rows, counts.astype(np.float64))
            counts = sums[rows]
            sums[rows] = 0.0
        yield rows, weight * counts / (counts + damping[rows])
    for surfaces, weights in plan.groups:
        rows, counts, sizes = segment.surfaces.read(surfaces)
        np.maximum.at(maxima, rows, np.repeat(weights, sizes) * counts / (counts + damping[rows]))
        yield rows, maxima[rows]
        maxima[rows] = 0.0
    for units, slop, weight in plan.phrases:
        rows, counts = _phrase(segment, units, slop)
        yield rows, weight * counts / (counts + damping[rows])


def _phrase(segment: Segment, units: Sequence[int], slop: int) -> tuple[IntArray, IntArray]:
    places = {unit: segment.units.read(np.array([unit]))[:2] for unit in set(units)}
    return frequencies(units, places, segment.extents, slop)
