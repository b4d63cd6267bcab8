"""Learned sparse vectors in memory: term-major postings, searched by exact inner product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_plugins.resident.lists import IntArray, Lists, merged
from rag_plugins.resident.selection import Mask, best, loops
from rag_plugins.vectors import FloatArray, SparseVector

__all__ = ["SparseIndex"]

_RATIO = 4
"""Lists are joined with those before them unless those have this many times as many entries."""

_FEW = 4
"""Where a query's lists have less than this part of the rows, the best are looked for in the lists alone."""


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """What a search sees: so many rows, their weights in a few parts, from large to small."""

    rows: int
    parts: tuple[Lists, ...]


class SparseIndex:
    """Rows 0 to n - 1 of sparse vectors. One writer at a time; any number search meanwhile and never wait.

    A score is the inner product, added up in single precision by ascending dimension.
    """

    def __init__(self) -> None:
        """Without rows."""
        self._state = _State(0, ())
        self._spare: list[FloatArray] = []  # Zeros to add scores to, as long as they fit.
        loops()  # So that no search waits for it.

    def __len__(self) -> int:
        return self._state.rows

    def append(self, vectors: Sequence[SparseVector]) -> None:
        """Take in rows, after those that there are."""
        state = self._state
        sizes = np.fromiter(map(len, vectors), np.int64, len(vectors))
        rows = np.arange(state.rows, state.rows + len(vectors), dtype=np.int32)
        symbols = np.concatenate([_EMPTY.symbols, *(vector.indices.astype(np.int64) for vector in vectors)])
        weights = np.concatenate([_EMPTY.numbers, *(vector.values for vector in vectors)])
        fresh = Lists.of(symbols, np.repeat(rows, sizes), weights)
        self._state = _State(state.rows + len(vectors), _tidied([*state.parts, fresh]))

    def search(self, query: SparseVector, limit: int, mask: Mask | None) -> tuple[IntArray, FloatArray]:
        """(rows, scores) of the `limit` best rows above 0, in no order; more where the last are equal.

        `mask`: which of the first rows may be found, none of those after; None: all.
        """
        state = self._state
        mask = np.ones(state.rows, np.bool_) if mask is None else mask[: state.rows]
        terms, factors = query.indices.astype(np.int64), query.values.astype(np.float32, copy=False)
        if not (len(mask) and len(terms)):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if loops() is not None:
            return self._search(state, terms, factors, limit, np.ascontiguousarray(mask))
        scores = _scores(state, terms, factors)
        rows = best(scores, limit, mask)
        return rows, scores[rows]

    def vectors(self, rows: IntArray) -> list[SparseVector]:
        """The vectors of rows. It looks through all postings: as long for one row as for very many."""
        found = _entries(self._state, rows)
        symbols, owners, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
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
        state = self._state
        to = np.full(state.rows, -1, np.int32)
        to[rows] = np.arange(len(rows), dtype=np.int32)
        copy = SparseIndex()
        copy._state = _State(len(rows), _tidied([part.moved(to) for part in state.parts]))
        return copy

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for `of`."""
        state = self._state
        whole = merged(state.parts) if state.parts else _EMPTY
        return {"count": np.array([state.rows])} | {name: getattr(whole, name) for name in _NAMES}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> SparseIndex:
        """What `arrays` gave."""
        index = cls()
        lists = Lists(*(np.ascontiguousarray(arrays[name]) for name in _NAMES))
        index._state = _State(int(arrays["count"][0]), _tidied([lists]))
        return index

    @property
    def nbytes(self) -> int:
        """Bytes of all postings."""
        return sum(part.nbytes for part in self._state.parts)

    def _search(
        self, state: _State, terms: IntArray, factors: FloatArray, limit: int, mask: Mask
    ) -> tuple[IntArray, FloatArray]:
        """Compiled. The zeros are only given back once they are zeros again."""
        compiled: Any = loops()
        zeros = self._zeros(state.rows)
        scores = zeros[: state.rows]
        lists = [(part.symbols, part.begins, part.rows, part.numbers) for part in state.parts]
        added = sum(compiled.add(*part, terms, factors, scores) for part in lists)
        if added * _FEW < state.rows:
            found, of_found, count = np.empty(added, np.int32), np.empty(added, np.float32), 0
            for symbols, begins, rows, _ in lists:
                count = compiled.listed(symbols, begins, rows, terms, mask, scores, found, of_found, count)
            places = best(of_found, limit, np.ones(count, np.bool_))
            result = found[places].astype(np.int64), of_found[places]
        else:
            rows = best(scores, limit, mask)
            result = rows, scores[rows]
            scores[:] = 0.0
        self._spare.append(zeros)
        return result

    def _zeros(self, rows: int) -> FloatArray:
        try:
            zeros = self._spare.pop()
        except IndexError:
            zeros = np.empty(0, np.float32)
        return zeros if len(zeros) >= rows else np.zeros(rows + rows // _FEW, np.float32)


_NAMES = [field.name for field in fields(Lists)]
_EMPTY = Lists(np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))


def _scores(state: _State, terms: IntArray, factors: FloatArray) -> FloatArray:
    """What the compiled loop adds up, in numpy."""
    scores = np.zeros(state.rows, np.float32)
    for part in state.parts:
        rows, weights, sizes = part.read(terms)
        ends = np.cumsum(sizes)
        for factor, begin, end in zip(factors, ends - sizes, ends, strict=True):
            scores[rows[begin:end]] += factor * weights[begin:end]  # A row is in a list once.
    return scores


def _entries(state: _State, rows: IntArray) -> list[tuple[IntArray, IntArray, FloatArray]]:
    """(symbols, rows, weights) of all entries of these rows, by part."""
    wanted = np.zeros(state.rows, np.bool_)
    wanted[rows] = True
    found: list[tuple[IntArray, IntArray, FloatArray]] = [(_EMPTY.symbols, _EMPTY.rows, _EMPTY.numbers)]
    for part in state.parts:
        entries = np.flatnonzero(wanted[part.rows])
        owners = np.searchsorted(part.begins, entries, "right") - 1
        found.append((part.symbols[owners], part.rows[entries], part.numbers[entries]))
    return found


def _tidied(parts: Sequence[Lists]) -> tuple[Lists, ...]:
    """Few parts, from large to small."""
    tidy: list[Lists] = []
    for part in parts:
        if len(part.rows):
            tidy.append(part)
        while len(tidy) > 1 and len(tidy[-2].rows) < _RATIO * len(tidy[-1].rows):
            tidy[-2:] = [merged(tidy[-2:])]
    return tuple(tidy)
