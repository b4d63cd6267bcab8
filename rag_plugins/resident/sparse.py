"""Learned sparse vectors in memory: term-major postings, searched by exact inner product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rag_plugins.resident.lists import IntArray, Lists, merged
from rag_plugins.resident.selection import Mask, best, loops, prepare
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["SparseIndex"]

_RATIO = 4
"""A part is joined with the one before it unless that one is this many times as large."""

_SPARE = 8
"""Room for rows to come, as a part of those that there are."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some rows that follow on each other, numbered from 0. Never changed: a search sees one state."""

    rows: int
    lists: Lists


class _Room(NamedTuple):
    """What one search at a time writes to; `scores` are zeros in between. `every` mask is all True."""

    every: Mask
    scores: FloatArray
    found: NDArray[np.int32]
    of_found: FloatArray

    @classmethod
    def of(cls, rows: int) -> _Room:
        """For so many rows."""
        numbers = np.zeros(rows, np.float32), np.empty(rows, np.int32), np.empty(rows, np.float32)
        return cls(np.ones(rows, np.bool_), *numbers)


class SparseIndex:
    """Rows 0 to n - 1 of sparse vectors. One writer at a time; any number search meanwhile and never wait.

    A score is the inner product, added up in single precision by ascending dimension.
    """

    def __init__(self) -> None:
        """Without rows."""
        self._parts: tuple[_Part, ...] = ()  # From large to small.
        self._rooms: list[_Room] = []

    def __len__(self) -> int:
        return sum(part.rows for part in self._parts)

    def append(self, vectors: Sequence[SparseVector]) -> None:
        """Take in rows, after those that there are."""
        rows = np.arange(len(vectors), dtype=np.int32)
        symbols = np.concatenate([_EMPTY.symbols, *(vector.indices.astype(np.int64) for vector in vectors)])
        weights = np.concatenate([_EMPTY.numbers, *(vector.values for vector in vectors)])
        fresh = Lists.of(symbols, np.repeat(rows, [len(vector) for vector in vectors]), weights)
        self._set(_tidied([*self._parts, _Part(len(vectors), fresh)]))

    def search(self, query: SparseVector, limit: int, mask: Mask | None) -> tuple[IntArray, FloatArray]:
        """(rows, scores) of the `limit` best rows above 0, in no order; more where the last are equal.

        `mask`: which of the first rows may be found, none of those after; None: all.
        """
        parts = self._parts
        terms, factors = query.indices.astype(np.int64), query.values.astype(np.float32, copy=False)
        if loops() is not None:
            return self._search(parts, terms, factors, limit, mask)
        scores = np.concatenate([_EMPTY.numbers, *(_scores(part, terms, factors) for part in parts)])
        mask = np.ones(len(scores), np.bool_) if mask is None else mask[: len(scores)]
        rows, of_rows = best(scores, limit, mask)
        return rows.astype(np.int64), of_rows

    def vectors(self, rows: IntArray) -> list[SparseVector]:
        """The vectors of rows. It looks through all postings: as long for one row as for very many."""
        symbols, owners, weights = (
            np.concatenate(of) for of in zip(*_entries(self._parts, rows), strict=True)
        )
        order = np.lexsort((symbols, owners))
        begins = np.searchsorted(owners[order], rows)
        ends = np.searchsorted(owners[order], rows, "right")
        spans = [order[begin:end] for begin, end in zip(begins, ends, strict=True)]
        return [SparseVector(symbols[span].astype(np.uint32), weights[span]) for span in spans]

    def vector(self, row: int) -> SparseVector:
        """The vector of one row: see `vectors`."""
        return self.vectors(np.array([row]))[0]

    def kept(self, rows: IntArray) -> SparseIndex:
        """A copy with these rows alone, in this order."""
        to = np.full(len(self), -1, np.int32)
        to[rows] = np.arange(len(rows), dtype=np.int32)
        lists = [part.lists.moved(to[first : first + part.rows]) for first, part in _placed(self._parts)]
        copy = SparseIndex()
        copy._set((_Part(len(rows), merged([_EMPTY, *lists])),))
        return copy

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for `of`."""
        whole = _joined([_Part(0, _EMPTY), *self._parts])
        return {"count": np.array([whole.rows]), **whole.lists.arrays()}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> SparseIndex:
        """What `arrays` gave."""
        index = cls()
        index._set((_Part(int(arrays["count"][0]), Lists.loaded(arrays)),))
        return index

    @property
    def nbytes(self) -> int:
        """Bytes of all postings."""
        return sum(part.lists.nbytes for part in self._parts)

    def _set(self, parts: tuple[_Part, ...]) -> None:
        prepare(sum(part.rows for part in parts))
        self._parts = parts

    def _search(
        self, parts: Sequence[_Part], terms: IntArray, factors: FloatArray, limit: int, mask: Mask | None
    ) -> tuple[IntArray, FloatArray]:
        """Compiled. The room is only given back when its scores are zeros again."""
        compiled: Any = loops()
        room, count = self._room(parts), 0
        mask = room.every if mask is None else np.ascontiguousarray(mask)
        for first, part in _placed(parts):
            lists, here = part.lists, mask[first : first + part.rows]
            more = compiled.search(
                *(lists.symbols, lists.begins, lists.rows, lists.numbers, terms, factors, here),
                *(min(limit, part.rows), room.scores[: part.rows], room.found[count:], room.of_found[count:]),
            )
            room.found[count : count + more] += first
            count += more
        rows, scores = room.found[:count].astype(np.int64), room.of_found[:count].copy()
        self._rooms.append(room)
        if len(parts) > 1:
            places, scores = best(scores, limit, np.ones(count, np.bool_))
            rows = rows[places]
        return rows, scores

    def _room(self, parts: Sequence[_Part]) -> _Room:
        rows = sum(part.rows for part in parts)
        try:
            room = self._rooms.pop()
        except IndexError:
            return _Room.of(rows)
        return room if len(room.scores) >= rows else _Room.of(rows + rows // _SPARE)


_EMPTY: Any = Lists(
    np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
)


def _placed(parts: Sequence[_Part]) -> Iterator[tuple[int, _Part]]:
    """Each with its first row."""
    first = 0
    for part in parts:
        yield first, part
        first += part.rows


def _scores(part: _Part, terms: IntArray, factors: FloatArray) -> FloatArray:
    """What the compiled loop adds up, in numpy."""
    scores = np.zeros(part.rows, np.float32)
    rows, weights, sizes = part.lists.read(terms)
    ends = np.cumsum(sizes)
    for factor, begin, end in zip(factors, ends - sizes, ends, strict=True):
        scores[rows[begin:end]] += factor * weights[begin:end]  # A row is in a list once.
    return scores


def _entries(parts: Sequence[_Part], rows: IntArray) -> list[tuple[IntArray, IntArray, FloatArray]]:
    """(symbols, rows, weights) of all entries of these rows, by part."""
    wanted = np.zeros(sum(part.rows for part in parts), np.bool_)
    wanted[rows] = True
    found: list[tuple[IntArray, IntArray, FloatArray]] = [(_EMPTY.symbols, _EMPTY.rows, _EMPTY.numbers)]
    for first, part in _placed(parts):
        lists = part.lists
        entries = np.flatnonzero(wanted[first : first + part.rows][lists.rows])
        owners = np.searchsorted(lists.begins, entries, "right") - 1
        found.append((lists.symbols[owners], first + lists.rows[entries], lists.numbers[entries]))
    return found


def _tidied(parts: Sequence[_Part]) -> tuple[_Part, ...]:
    tidy: list[_Part] = []
    for part in parts:
        tidy.append(part)
        while len(tidy) > 1 and tidy[-2].rows < _RATIO * tidy[-1].rows:
            tidy[-2:] = [_joined(tidy[-2:])]
    return tuple(tidy)


def _joined(parts: Sequence[_Part]) -> _Part:
    lists = [replace(part.lists, rows=part.lists.rows + np.int32(first)) for first, part in _placed(parts)]
    return _Part(sum(part.rows for part in parts), merged(lists))
