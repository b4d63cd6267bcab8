"""Dense vectors in memory, searched through a funnel of their prefixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.funnel import Prefixes
from rag_plugins.resident import kernels
from rag_plugins.resident.blocks import Block, gathered, grown, spans
from rag_plugins.resident.codes import Codes, coded_widths
from rag_plugins.resident.kernels import IntArray, Mask
from rag_plugins.resident.shortlist import Scope, shortlist
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["DenseIndex", "Found", "IntArray", "Mask", "Precision"]

Found: TypeAlias = tuple[IntArray, FloatArray]
"""Rows, and their scores."""

Precision: TypeAlias = Literal["float32", "float16"]

_FEW = 4096
"""So many rows that a mask leaves are scored exactly sooner than they are found by a scan."""

_CHUNK = 16384
"""Rows that are widened to float32, or cut, at once."""


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """What a search sees; never changed, only replaced. `codes`: None where every search is exact.

    `there`: which rows have a vector, None where all have.
    """

    blocks: tuple[Block, ...] = ()
    there: Mask | None = None
    codes: Codes | None = None
    prefixes: Prefixes | None = None

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.blocks[-1].end if self.blocks else 0


class DenseIndex:
    """Vectors by row, 0 to n-1. One writer at a time; any number may search meanwhile, and never wait.

    A row of zeros has no vector: it is never found.
    """

    def __init__(self, dim: int, precision: Precision = "float32") -> None:
        """`precision` is that of the full vectors."""
        self.dim = dim
        self.precision: Precision = precision
        self._state = _State()

    def __len__(self) -> int:
        return self._state.rows

    @property
    def prefixes(self) -> Prefixes | None:
        """What searches go through; None: they are exact."""
        return self._state.prefixes

    def append(self, vectors: Matrix) -> None:
        """Rows (n, dim) of unit length, or of zeros, after those that there are."""
        if not len(vectors):
            return
        state, start = self._state, len(self)
        blocks = grown(state.blocks, vectors, self.precision)
        codes = state.codes and state.codes.grown(start, len(vectors))
        if codes and state.prefixes:
            # The codes of what is kept, rounded to float16 or not: those that its rows would be given later.
            codes.write(start, state.prefixes, vectors.astype(self.precision, copy=False))
        there = _joined(state.there, start, np.any(vectors != 0.0, axis=1))
        self._state = replace(state, blocks=blocks, codes=codes, there=there)

    def set_prefixes(self, prefixes: Prefixes | None) -> None:
        """Search through these from now on; None: exactly. Raises `BadInput` where they are too wide."""
        if prefixes is not None:
            prefixes.funnel.check(self.dim)
        widths = coded_widths(prefixes, self.dim)
        if prefixes is None or not widths:
            self._state = replace(self._state, codes=None, prefixes=prefixes)
            return
        codes = Codes.empty(widths, len(self))
        for block in self._state.blocks:
            codes.write(block.start, prefixes, block.rows)
        self._state = replace(self._state, codes=codes, prefixes=prefixes)

    def search(self, query: FloatArray, limit: int, mask: Mask | None, *, exact: bool = False) -> Found:
        """The best `limit` rows among those that are True in `mask` (all for None), in no order.

        More than `limit` where the last are equal. Rows beyond the mask's length are not seen. `query` (dim,)
        is of unit length; `exact`: by full vectors, whatever the prefixes.
        """
        query = np.ascontiguousarray(query, np.float32)
        state = self._state if not exact else replace(self._state, codes=None, prefixes=None)
        scope = _scope(state, mask)
        if limit < 1 or not scope.allowed:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        rows, scores = _scored(state, _candidates(state, query, limit, scope), query)
        good = scores >= _kth(scores, limit)
        return rows[good], scores[good]

    def vectors(self, rows: IntArray) -> Matrix:
        """Full vectors (len(rows), dim), float32."""
        found = gathered(self._state.blocks, rows, self.dim, self.precision)
        return found.astype(np.float32, copy=False)

    def having(self, rows: IntArray) -> IntArray:
        """Those of the rows that have a vector."""
        there = self._state.there
        return rows if there is None else rows[there[rows]]

    def kept(self, rows: IntArray) -> DenseIndex:
        """A copy of these rows, in this order."""
        state, other = self._state, DenseIndex(self.dim, self.precision)
        full = gathered(state.blocks, rows, self.dim, self.precision)
        codes = state.codes and state.codes.take(rows)
        there = None if state.there is None else state.there[rows]
        other._state = _State((Block(0, len(rows), full),), there, codes, state.prefixes)
        return other

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All there is, by name, not copied: for a snapshot."""
        state = self._state
        full = {f"full/{number}": block.rows for number, block in enumerate(state.blocks)}
        there = {} if state.there is None else {"there": state.there}
        return full | there | (state.codes.arrays(state.rows) if state.codes else {})

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        dim: int,
        precision: Precision,
        prefixes: Prefixes | None,
    ) -> DenseIndex:
        """What `arrays` gave, with the prefixes that it had."""
        index = cls(dim, precision)
        blocks: tuple[Block, ...] = ()
        while (name := f"full/{len(blocks)}") in arrays:
            start = blocks[-1].end if blocks else 0
            blocks += (Block(start, start + len(arrays[name]), arrays[name]),)
        widths = coded_widths(prefixes, dim)
        codes = Codes.of(arrays, widths) if widths else None
        index._state = _State(blocks, arrays.get("there"), codes, prefixes)
        return index

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        state = self._state
        codes = state.codes.nbytes(state.rows) if state.codes else 0
        return codes + sum(block.rows.nbytes for block in state.blocks)


def _kth(scores: FloatArray, count: int) -> float:
    """The score at rank `count`, minus infinity where there are no more than that."""
    return float(np.partition(scores, -count)[-count]) if count < len(scores) else -np.inf


def _joined(there: Mask | None, rows: int, more: Mask) -> Mask | None:
    """Which of `rows` rows and more have a vector."""
    if there is None and more.all():
        return None
    return np.concatenate([np.ones(rows, np.bool_) if there is None else there, more])


def _scope(state: _State, mask: Mask | None) -> Scope:
    if state.there is not None:
        mask = state.there if mask is None else mask[: state.rows] & state.there[: len(mask)]
    if mask is None:
        return Scope(state.rows, None, state.rows)
    mask = mask[: state.rows]
    return Scope(len(mask), mask, int(np.count_nonzero(mask)))


def _candidates(state: _State, query: FloatArray, limit: int, scope: Scope) -> IntArray:
    """The rows, ascending, that are to be scored by the last stage."""
    if scope.mask is not None and scope.allowed <= max(_FEW, limit):
        return np.flatnonzero(scope.mask)
    if state.codes is None or state.prefixes is None:
        return _near(state, query, limit, scope)
    return shortlist(state.codes, state.prefixes, query, limit, scope)


def _near(state: _State, query: FloatArray, limit: int, scope: Scope) -> IntArray:
    """The rows of the exact search, and those so near that the rounding of a fast product may hide them."""
    scores = np.empty(state.rows, np.float32)
    for block in state.blocks:
        for first in range(0, len(block.rows), _CHUNK):
            part = block.rows[first : first + _CHUNK].astype(np.float32, copy=False)
            # BLAS takes twice the time for a matrix times a vector on some processors.
            np.vecdot(part, query, out=scores[block.start + first :][: len(part)])
    scores = scores[: scope.rows]
    if scope.mask is not None:
        scores[~scope.mask] = -np.inf
    margin = len(query) * float(np.finfo(np.float32).eps)
    # No part of the scores has a better one at this rank than the whole.
    some = _kth(scores[:: max(len(scores) // _CHUNK, 1)], limit) - margin
    rows = np.flatnonzero(scores >= some)
    return rows[scores[rows] >= _kth(scores[rows], limit) - margin]


def _scored(state: _State, rows: IntArray, query: FloatArray) -> Found:
    """Ascending rows with their scores at the width of the last stage. Equal vectors score the same."""
    scores = np.empty(len(rows), np.float32)
    for block, places, inside in spans(state.blocks, rows):
        if state.prefixes is None or state.prefixes.funnel.width == len(query):
            scores[places] = kernels.products(block.array, inside, query)
        else:
            scores[places] = _cut_products(block, inside, query, state.prefixes)
    return rows, scores


def _cut_products(block: Block, rows: IntArray, query: FloatArray, prefixes: Prefixes) -> FloatArray:
    """Cosines of prefixes."""
    width = prefixes.funnel.width
    short, scores = prefixes.cut(query, width), np.empty(len(rows), np.float32)
    for first in range(0, len(rows), _CHUNK):
        # Cut in float64, since BLAS may round equal rows differently.
        part: NDArray[Any] = block.array[rows[first : first + _CHUNK]].astype(np.float64)
        cut = prefixes.cut(part, width)
        scores[first : first + len(part)] = kernels.products(cut, np.arange(len(part)), short)
    return scores
