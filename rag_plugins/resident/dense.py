"""Dense vectors in memory, searched through a funnel of their prefixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.funnel import Prefixes
from rag_plugins.resident.blocks import Block, IntArray, Mask, gathered, grown, spans
from rag_plugins.resident.codes import coded_widths, quantised
from rag_plugins.resident.kernels import dots, sums
from rag_plugins.vectors import FloatArray, Matrix

__all__ = ["DenseIndex", "Found", "IntArray", "Mask"]

Found: TypeAlias = tuple[IntArray, FloatArray]
"""Rows, and their scores."""

_FEW = 2048
"""So many rows are scored exactly sooner than they are found by a scan."""

_CHUNK = 16384
"""Rows that an exact scan compares at once."""


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """What a search sees; never changed, only replaced."""

    blocks: tuple[Block, ...]
    prefixes: Prefixes | None


class DenseIndex:
    """Vectors by row, 0 to n-1. One writer at a time; any number may search meanwhile, and never wait."""

    def __init__(self, dim: int, precision: Literal["float32", "float16"] = "float32") -> None:
        """`precision` is that of the full vectors."""
        self.dim = dim
        self.precision: Literal["float32", "float16"] = precision
        self._state = _State((), None)

    def __len__(self) -> int:
        return _rows(self._state)

    @property
    def prefixes(self) -> Prefixes | None:
        """What searches go through; None: they are exact."""
        return self._state.prefixes

    def append(self, vectors: Matrix) -> None:
        """Rows (n, dim) of unit length, after those that there are."""
        state = self._state
        if len(vectors):
            blocks = grown(state.blocks, vectors, state.prefixes, self.precision)
            self._state = _State(blocks, state.prefixes)

    def set_prefixes(self, prefixes: Prefixes | None) -> None:
        """Search through these from now on; None: exactly. Raises `BadInput` where they are too wide."""
        if prefixes is not None:
            prefixes.funnel.check(self.dim)
        self._state = _State(tuple(block.coded(prefixes) for block in self._state.blocks), prefixes)

    def search(self, query: FloatArray, limit: int, mask: Mask | None, *, exact: bool = False) -> Found:
        """The best `limit` rows among those that are True in `mask` (all for None), in no order.

        More than `limit` where the last are equal. Rows beyond the mask's length are not seen. `query` (dim,)
        is of unit length; `exact`: by full vectors, whatever the prefixes.
        """
        state = _seen(self._state, mask)
        prefixes = None if exact else state.prefixes
        allowed = _rows(state) if mask is None else int(np.count_nonzero(mask[: _rows(state)]))
        if limit < 1 or not allowed:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        if mask is not None and allowed <= max(_FEW, limit):
            return _best(_scored(state, np.flatnonzero(mask[: _rows(state)]), query, prefixes), limit)
        if not coded_widths(prefixes, self.dim):
            return _best(_scored(state, _near(state, query, limit, mask), query, None), limit)
        assert prefixes is not None  # noqa: S101
        return _best(_scored(state, _shortlist(state, prefixes, query, limit, mask), query, prefixes), limit)

    def vectors(self, rows: IntArray) -> Matrix:
        """Full vectors (len(rows), dim), float32."""
        blocks = self._state.blocks
        like = np.empty((0, self.dim), self.precision)
        return gathered(blocks, rows, lambda block: block.full, like).astype(np.float32, copy=False)

    def kept(self, rows: IntArray) -> DenseIndex:
        """A copy of these rows, in this order."""
        state = self._state
        other = DenseIndex(self.dim, self.precision)
        widths = coded_widths(state.prefixes, self.dim)
        block = Block.empty(0, len(rows), self.dim, self.precision, widths)
        names = block.arrays()
        filled = {
            name: gathered(state.blocks, rows, lambda b, name=name: b.arrays()[name], like)
            for name, like in names.items()
        }
        other._state = _State((Block.of(filled, 0, len(widths)),), state.prefixes)
        return other

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All there is, by name, not copied: for a snapshot."""
        return {
            f"{number}/{name}": part
            for number, block in enumerate(self._state.blocks)
            for name, part in block.used.arrays().items()
        }

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        dim: int,
        precision: Literal["float32", "float16"],
        prefixes: Prefixes | None,
    ) -> DenseIndex:
        """What `arrays` gave, with the prefixes that it had."""
        index = cls(dim, precision)
        blocks: list[Block] = []
        stages = len(coded_widths(prefixes, dim))
        while f"{len(blocks)}/full" in arrays:
            number = f"{len(blocks)}/"
            own = {
                name.removeprefix(number): part for name, part in arrays.items() if name.startswith(number)
            }
            blocks.append(Block.of(own, blocks[-1].end if blocks else 0, stages))
        index._state = _State(tuple(blocks), prefixes)
        return index

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        return sum(block.used.full.nbytes + block.used.codes.nbytes for block in self._state.blocks)


def _rows(state: _State) -> int:
    return state.blocks[-1].end if state.blocks else 0


def _seen(state: _State, mask: Mask | None) -> _State:
    """The state without what lies beyond the mask."""
    if mask is None or len(mask) >= _rows(state):
        return state
    return _State(
        tuple(block.until(len(mask)) for block in state.blocks if block.start < len(mask)), state.prefixes
    )


def _best(found: Found, limit: int) -> Found:
    """Those that score as well as the one at `limit`, or better."""
    rows, scores = found
    if len(rows) <= limit:
        return found
    good = scores >= np.partition(scores, -limit)[-limit]
    return rows[good], scores[good]


def _scored(state: _State, rows: IntArray, query: FloatArray, prefixes: Prefixes | None) -> Found:
    """Ascending rows with their scores at the width of the last stage. Equal vectors score the same."""
    width = len(query) if prefixes is None else prefixes.funnel.width
    short = query if prefixes is None else prefixes.cut(query, width)
    scores = np.empty(len(rows), np.float32)
    for block, places, inside in spans(state.blocks, rows):
        for first in range(0, len(inside), _CHUNK):
            full = block.full[inside[first : first + _CHUNK]].astype(np.float32, copy=False)
            scores[places][first : first + _CHUNK] = dots(
                full if prefixes is None else prefixes.cut(full, width), short
            )
    return rows, scores


def _near(state: _State, query: FloatArray, limit: int, mask: Mask | None) -> IntArray:
    """The rows of the exact search, and those so near that the rounding of a fast product may hide them."""
    parts = [
        block.full[first : min(first + _CHUNK, block.rows)].astype(np.float32, copy=False) @ query
        for block in state.blocks
        for first in range(0, block.rows, _CHUNK)
    ]
    scores = np.concatenate(parts)
    if mask is not None:
        scores[~mask[: len(scores)]] = -np.inf
    margin = len(query) * np.finfo(np.float32).eps
    return np.flatnonzero(scores >= _kth(scores, limit) - margin)


def _shortlist(
    state: _State, prefixes: Prefixes, query: FloatArray, limit: int, mask: Mask | None
) -> IntArray:
    """Rows that the stages before the last leave over, ascending."""
    funnel = prefixes.funnel
    stages = [stage for stage in funnel.stages if stage.width < len(query)]
    short, _ = quantised(prefixes.cut(query, stages[-1].width))
    rows = np.arange(_rows(state)) if mask is None else np.flatnonzero(mask[: _rows(state)])
    totals = np.zeros(len(rows), np.int32)
    for number, stage in enumerate(stages):
        scores = np.empty(len(rows), np.float32)
        for block, places, inside in spans(state.blocks, rows):
            columns = block.codes.columns[number]
            part = columns[inside] if number or mask is not None else columns[: block.rows]
            narrow = stage.width - columns.shape[1]
            totals[places] += sums(part, short[narrow : stage.width])
            scores[places] = totals[places] * block.codes.factors[number][inside]
        kept = funnel.kept(stage, limit) if stage.width < funnel.width else max(4 * limit, limit + 100)
        good = np.flatnonzero(scores >= _kth(scores, kept))
        rows, totals = rows[good], totals[good]
    return rows


def _kth(scores: FloatArray, count: int) -> np.float32:
    """The score at rank `count`, the lowest where there are fewer."""
    return np.partition(scores, -count)[-count] if count < len(scores) else scores.min()
