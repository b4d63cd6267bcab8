"""Postings lists in numpy arrays: per symbol the rows it is in, a number each. Replaced, never changed.

What terms count in passages are small integers; what learned sparse vectors weigh are floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["IntArray", "Lists", "merged", "narrow", "union"]

IntArray: TypeAlias = NDArray[np.signedinteger[Any]]
"""Shape (n,), any width of signed integers."""

_NOWHERE = np.iinfo(np.int64).min // 2
"""Before every number, and not so far that a difference overflows."""


def narrow(values: IntArray) -> IntArray:
    """The same numbers in the narrowest signed integers that hold them."""
    return values.astype(np.min_scalar_type(-1 - int(values.max(initial=0))), copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """The list of `symbols[i]` is `rows` and `numbers` from `begins[i]` to `begins[i + 1]`.

    `symbols` ascend and are distinct; rows ascend within a list; none is empty.
    """

    symbols: IntArray
    begins: IntArray
    rows: IntArray
    numbers: NDArray[Any]

    @classmethod
    def of(cls, symbols: IntArray, rows: IntArray, numbers: NDArray[Any]) -> Lists:
        """From entries in ascending order of row, three arrays of one length."""
        order = np.argsort(symbols, kind="stable")
        ordered = symbols[order]
        begins = np.flatnonzero(np.diff(ordered, prepend=-1))
        return cls(ordered[begins], np.append(begins, len(order)), rows[order], numbers[order])

    @classmethod
    def counted(cls, symbols: IntArray, rows: IntArray) -> Lists:
        """The number is how often the symbol is in the row. Entries in ascending order of row."""
        places = cls.of(symbols, rows, np.zeros(len(rows), np.int8))
        owners = np.repeat(np.arange(len(places.symbols)), places.sizes)
        firsts = np.flatnonzero(np.diff(places.rows, prepend=-1) | np.diff(owners, prepend=-1))
        counts = np.diff(firsts, append=len(rows))
        return cls(
            places.symbols,
            np.append(np.searchsorted(firsts, places.begins[:-1]), len(firsts)),
            places.rows[firsts],
            narrow(counts),
        )

    @classmethod
    def loaded(cls, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> Lists:
        """What `arrays` gave, under names that begin so."""
        return cls(*(np.ascontiguousarray(arrays[prefix + part.name]) for part in fields(cls)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for `loaded`."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    @property
    def sizes(self) -> IntArray:
        """The length of each list."""
        return np.diff(self.begins)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.symbols.nbytes + self.begins.nbytes + self.rows.nbytes + self.numbers.nbytes

    def spans(self, symbols: IntArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the list of each of these symbols begins and ends; for unknown ones, both the same."""
        last = len(self.symbols) - 1
        if last < 0:
            return np.zeros(len(symbols), np.int64), np.zeros(len(symbols), np.int64)
        at = np.minimum(np.searchsorted(self.symbols, symbols), last)
        return self.begins[at], self.begins[at + (self.symbols[at] == symbols)]

    def read(self, symbols: IntArray) -> tuple[NDArray[np.intp], NDArray[Any], IntArray]:
        """(rows, numbers, sizes) of the lists of these symbols, one after another; of unknown ones, none."""
        begins, ends = self.spans(symbols)
        spans = [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
        rows, numbers = (
            np.concatenate([whole[:0], *(whole[span] for span in spans)])
            for whole in (self.rows, self.numbers)
        )
        return rows.astype(np.intp), numbers, ends - begins  # numpy indexes by any other type much slower.

    def within(self, rows: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
        """(symbols, in how many of these rows each is), for those that are in some; `rows` is a mask."""
        entries = np.flatnonzero(rows[self.rows])
        counts = np.bincount(np.searchsorted(self.begins, entries, "right") - 1, minlength=len(self.symbols))
        found = np.flatnonzero(counts)
        return self.symbols[found], counts[found]

    def moved(self, to: IntArray) -> Lists:
        """With row `to[row]` for `row`, and none of those that are to go below 0; `to` ascends otherwise."""
        rows = to[self.rows]
        kept = rows >= 0
        if kept.all():
            return Lists(self.symbols, self.begins, rows, self.numbers)
        begins = np.concatenate([[0], np.cumsum(kept)])[self.begins]
        full = np.flatnonzero(np.diff(begins))
        return Lists(self.symbols[full], np.append(begins[full], begins[-1]), rows[kept], self.numbers[kept])


def merged(parts: Sequence[Lists]) -> Lists:
    """One for several whose rows follow on each other."""
    symbols = union([part.symbols for part in parts])
    owners = [np.searchsorted(symbols, part.symbols) for part in parts]
    sizes = np.zeros((len(parts), len(symbols)), np.int64)
    for size, owner, part in zip(sizes, owners, parts, strict=True):
        size[owner] = part.sizes
    begins = np.concatenate([[0], np.cumsum(sizes.sum(axis=0))])
    offsets = begins[:-1] + np.cumsum(sizes, axis=0) - sizes
    rows, numbers = (_room(parts, name, int(begins[-1])) for name in ("rows", "numbers"))
    for offset, owner, part in zip(offsets, owners, parts, strict=True):
        places = np.arange(len(part.rows)) + np.repeat(offset[owner] - part.begins[:-1], part.sizes)
        rows[places], numbers[places] = part.rows, part.numbers
    return Lists(symbols, begins, rows, numbers)


def union(parts: Sequence[IntArray]) -> IntArray:
    """The distinct numbers of ascending arrays, ascending. numpy's own takes a hundred times as long."""
    merged = np.sort(np.concatenate(parts), kind="stable")
    return merged[np.diff(merged, prepend=_NOWHERE) > 0]


def _room(parts: Sequence[Lists], name: str, size: int) -> NDArray[Any]:
    return np.empty(size, np.result_type(*(getattr(part, name).dtype for part in parts)))
