"""The plan's formula over a whole segment at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.lexical.phrases import frequencies
from rag_plugins.lexical.plan import Plan
from rag_plugins.lexical.segment import Saturation, Segment
from rag_plugins.resident.lists import IntArray
from rag_plugins.resident.selection import Mask, loops
from rag_plugins.resident.selection import best as best_rows

__all__ = ["SymbolPlan", "best", "scores"]

Floats: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class SymbolPlan:
    """A plan in an index's own symbols; what the index does not know is left out.

    words: the surfaces of a term or of readings, a share each, and its weight. groups: surfaces, a weight
    each. phrases: units, slop, weight.
    """

    words: Sequence[tuple[IntArray, Floats, float]]
    groups: Sequence[tuple[IntArray, Floats]]
    phrases: Sequence[tuple[Sequence[int], int, float]]

    @classmethod
    def of(
        cls, plan: Plan, symbols: Mapping[str, int], surfaces: Callable[[str], Sequence[int]]
    ) -> SymbolPlan:
        """`surfaces` gives those of a term."""
        terms = [(np.array(surfaces(word), np.int32), weight) for word, weight in plan.words.items()]
        return cls(
            [(found, np.ones(len(found)), weight) for found, weight in terms]
            + [(*_known(word.shares, symbols), word.weight) for word in plan.readings],
            [_known(group.weights, symbols) for group in plan.groups],
            [
                ([symbols[unit] for unit in phrase.units], phrase.slop, phrase.weight)
                for phrase in plan.phrases
                if all(unit in symbols for unit in phrase.units)
            ],
        )


def _known(numbers: Mapping[str, float], symbols: Mapping[str, int]) -> tuple[IntArray, Floats]:
    """The symbols of the surfaces that there are, and their numbers."""
    known = {symbols[surface]: number for surface, number in numbers.items() if surface in symbols}
    return np.array([*known], np.int32), np.array([*known.values()], np.float64)


def scores(segment: Segment, plan: SymbolPlan, saturation: Saturation) -> NDArray[np.float64]:
    """Shape (rows,); removed rows are scored as well."""
    damping = segment.damping(saturation)
    total = np.zeros(len(segment.ids))
    if loops() is None:
        for rows, part in _parts(segment, plan, damping):
            # A row that is given twice is given the same part twice; it is assigned, so counted once.
            total[rows] += part
    else:
        _add(segment, plan, damping, total)
    for units, slop, weight in plan.phrases:
        rows, counts = _phrase(segment, units, slop)
        total[rows] += weight * counts / (counts + damping[rows])
    return total


def best(ids: Sequence[str], scores: NDArray[np.float64], limit: int, mask: Mask) -> list[tuple[str, float]]:
    """(id, score) of the best rows above 0 in the mask, in no order; more than `limit` where the last tie."""
    rows, of_rows = best_rows(scores, limit, mask)
    found: list[int] = rows.tolist()
    return [(ids[row], score) for row, score in zip(found, of_rows.tolist(), strict=True)]


def _add(segment: Segment, plan: SymbolPlan, damping: Floats, total: Floats) -> None:
    """Words and groups, compiled."""
    compiled: Any = loops()
    lists, scratch = segment.surfaces, np.zeros(len(total))
    if plan.words:
        spans = lists.spans(np.concatenate([surfaces for surfaces, _, _ in plan.words]))
        shares = np.concatenate([shares for _, shares, _ in plan.words])
        words = np.cumsum([0, *(len(surfaces) for surfaces, _, _ in plan.words)])
        weights = np.array([weight for _, _, weight in plan.words], np.float64)
        places = (*spans, lists.rows, lists.numbers)
        compiled.add_damped(*places, shares, words, weights, damping, scratch, total)
    for surfaces, weights in plan.groups:
        spans = lists.spans(surfaces)
        compiled.add_best(*spans, lists.rows, lists.numbers, weights, damping, scratch, total)


def _parts(segment: Segment, plan: SymbolPlan, damping: Floats) -> Iterator[tuple[IntArray, Floats]]:
    """What each word and group adds to which rows, in numpy."""
    sums, maxima = np.zeros(len(segment.ids)), np.zeros(len(segment.ids))
    for surfaces, shares, weight in plan.words:
        rows, counts, sizes = segment.surfaces.read(surfaces)
        counts = np.repeat(shares, sizes) * counts
        if len(surfaces) > 1:
            np.add.at(sums, rows, counts)
            counts = sums[rows]
            sums[rows] = 0.0
        yield rows, weight * counts / (counts + damping[rows])
    for surfaces, weights in plan.groups:
        rows, counts, sizes = segment.surfaces.read(surfaces)
        np.maximum.at(maxima, rows, np.repeat(weights, sizes) * counts / (counts + damping[rows]))
        yield rows, maxima[rows]
        maxima[rows] = 0.0


def _phrase(segment: Segment, units: Sequence[int], slop: int) -> tuple[IntArray, IntArray]:
    places = {unit: segment.units.read(np.array([unit]))[:2] for unit in set(units)}
    return frequencies(units, places, segment.extents, slop)
