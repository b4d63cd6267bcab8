"""Where phrases stand: exact and sloppy matches on positions, over one passage or very many at once.

A match is what `plan.Nearby` says: a position p(i) for each unit i, no position taken twice, with
max(p(i) - i) - min(p(i) - i) <= slop. It starts at min(p(i) - i). How often a phrase stands in a passage, its
tf, is the number of distinct starts, equal units of a phrase being taken in reading order.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rag_plugins.resident.lists import IntArray, union

__all__ = ["frequencies", "starts"]

_NOWHERE = np.iinfo(np.int64).max // 2
"""After every position."""

_FAR = 16
"""Beyond this slop a table of what is near takes longer to fill than searching."""

Unit = TypeVar("Unit", bound=Hashable)


def starts(phrase: Sequence[Unit], positions: Mapping[Unit, IntArray], slop: int) -> IntArray:
    """The start of every match, ascending and distinct. `positions` of each unit ascend."""
    if any(not len(positions.get(unit, ())) for unit in phrase):
        return np.empty(0, np.int64)
    # Seen from where the phrase starts, every unit must stand at 0 to slop, and one of them at 0.
    aligned = [positions[unit].astype(np.int64) - i for i, unit in enumerate(phrase)]
    rarest, *others = sorted(aligned, key=len)
    found = union([rarest, *(other[_within(other, rarest, slop)] for other in others)]) if slop else rarest
    for other in others:
        found = found[_within(found, other, slop)]
    return found[_is_start(found, phrase, positions, slop)] if slop else found


def frequencies(
    phrase: Sequence[Unit],
    occurrences: Mapping[Unit, tuple[IntArray, IntArray]],
    lengths: IntArray,
    slop: int,
) -> tuple[IntArray, IntArray]:
    """(rows, tf) of the passages with the phrase, rows ascending.

    `occurrences`: the row and the position of each occurrence of a unit, ascending; `lengths`: units a row.
    """
    slop = min(slop, len(phrase) + int(lengths.max(initial=0)))
    # Laid out one behind the other, so far apart that no match reaches from one passage into the next.
    begins = np.cumsum(lengths + np.int64(len(phrase) + slop)) - lengths
    laid = {unit: begins[rows] + within for unit, (rows, within) in occurrences.items()}
    found = starts(phrase, laid, slop)
    # A phrase whose first units have moved back may start before its passage does.
    tf = np.bincount(np.searchsorted(begins, found + len(phrase) - 1, "right") - 1)
    rows = np.flatnonzero(tf)
    return rows, tf[rows]


def _next(positions: IntArray, earliest: IntArray) -> IntArray:
    """For each of `earliest` the first position from there on."""
    return np.append(positions, _NOWHERE)[np.searchsorted(positions, earliest)]


def _within(found: IntArray, other: IntArray, slop: int) -> NDArray[np.bool_]:
    """Whether one of `other` is 0 to slop after each of `found`; both ascend."""
    if slop > _FAR or not len(found):
        return _next(other, found) <= found + slop
    # For words that are everywhere a table is several times faster than binary search, and for rare ones
    # no slower: only the pages of it that are touched come to be.
    low = min(found[0], other[0]) - slop
    table = np.zeros(max(found[-1], other[-1]) - low + 1, np.bool_)
    for move in range(slop + 1):
        table[other - (low + move)] = True
    return table[found - low]


def _is_start(
    found: IntArray, phrase: Sequence[Unit], positions: Mapping[Unit, IntArray], slop: int
) -> NDArray[np.bool_]:
    """Whether a match starts exactly there: each unit takes the first position that is free and near enough.

    If any choice with equal units in reading order is a match, this one is, as no other is earlier anywhere.
    """
    near, unmoved = np.ones(len(found), np.bool_), np.zeros(len(found), np.bool_)
    taken: dict[Unit, IntArray] = {}
    for i, unit in enumerate(phrase):
        earliest = np.maximum(found + i, taken[unit] + 1) if unit in taken else found + i
        taken[unit] = _next(positions[unit], earliest)
        near &= taken[unit] <= found + (i + slop)
        unmoved |= taken[unit] == found + i
    return near & unmoved
