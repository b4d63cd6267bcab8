"""Rows in blocks: what is appended never moves the rows before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_plugins.funnel import Prefixes
from rag_plugins.resident.codes import Codes, coded_widths
from rag_plugins.vectors import Matrix

__all__ = ["Block", "IntArray", "Mask", "gathered", "grown", "spans"]

IntArray: TypeAlias = NDArray[np.int64]
"""Shape (n,): rows."""

Mask: TypeAlias = NDArray[np.bool_]
"""Shape (rows,): True where a row may be found."""

_SMALLEST = 1024
_GROWTH = 2
"""A new block has room for this part of the rows there are: little is ever empty, and blocks stay few."""
_TINY = 4
"""A new block takes in those before it that are smaller than this part of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """`rows` rows from row `start` of the index on, in arrays with room for more.

    A reader looks at no row beyond `rows`, so the writer may fill them meanwhile.
    """

    start: int
    rows: int
    full: NDArray[Any]
    codes: Codes

    @classmethod
    def empty(cls, start: int, room: int, dim: int, dtype: str, widths: Sequence[int]) -> Block:
        """A block without rows."""
        return cls(start, 0, np.empty((room, dim), dtype), Codes.empty(widths, room))

    @property
    def end(self) -> int:
        """The row after its last."""
        return self.start + self.rows

    @property
    def used(self) -> Block:
        """The same rows without the room."""
        return replace(self, full=self.full[: self.rows], codes=self.codes.take(slice(0, self.rows)))

    def until(self, end: int) -> Block:
        """Without the rows of the index from `end` on."""
        return replace(self, rows=min(self.rows, end - self.start))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name, for `of`; room and all."""
        return {"full": self.full, **self.codes.arrays()}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], start: int, stages: int) -> Block:
        """Of what `arrays` gave, all rows in use."""
        return cls(start, len(arrays["full"]), arrays["full"], Codes.of(arrays, stages))

    def write(self, vectors: Matrix, prefixes: Prefixes | None) -> Block:
        """With rows that there is room for."""
        end = self.rows + len(vectors)
        self.full[self.rows : end] = vectors
        if prefixes is not None:
            # The codes of what is kept, rounded to float16 or not: a block made from its rows is the same.
            self.codes.write(self.rows, prefixes, self.full[self.rows : end].astype(np.float32, copy=False))
        return replace(self, rows=end)

    def join(self, other: Block) -> Block:
        """With another's rows, codes and all."""
        self.full[self.rows : self.rows + other.rows] = other.full[: other.rows]
        self.codes.fill(self.rows, other.used.codes)
        return replace(self, rows=self.rows + other.rows)

    def coded(self, prefixes: Prefixes | None) -> Block:
        """With the codes of other prefixes."""
        codes = Codes.empty(coded_widths(prefixes, self.full.shape[1]), len(self.full))
        if prefixes is not None:
            codes.write(0, prefixes, self.full[: self.rows])
        return replace(self, codes=codes)


def grown(
    blocks: tuple[Block, ...], vectors: Matrix, prefixes: Prefixes | None, dtype: str
) -> tuple[Block, ...]:
    """With more rows at the end: in the room of the last block, the rest in a new one."""
    *before, last = blocks or (
        Block.empty(0, 0, vectors.shape[1], dtype, coded_widths(prefixes, vectors.shape[1])),
    )
    fitting = vectors[: len(last.full) - last.rows]
    before.append(last.write(fitting, prefixes))
    rest = vectors[len(fitting) :]
    if not len(rest):
        return tuple(before)
    rows = before[-1].end
    room = max(_SMALLEST, rows // _GROWTH, len(rest))
    # Sessions that each add a few rows would else leave a block each.
    tiny: list[Block] = []
    while before and before[-1].rows < room // _TINY:
        tiny.insert(0, before.pop())
    joined = sum(block.rows for block in tiny)
    block = Block.empty(
        rows - joined, room + joined, vectors.shape[1], dtype, coded_widths(prefixes, vectors.shape[1])
    )
    for other in tiny:
        block = block.join(other)
    return (*before, block.write(rest, prefixes))


def spans(blocks: Sequence[Block], rows: IntArray) -> Iterator[tuple[Block, slice, IntArray]]:
    """Ascending rows by block: the block, where among `rows` its rows are, and their places in it."""
    edges = np.searchsorted(rows, [block.start for block in blocks] + [np.iinfo(np.int64).max])
    for block, first, last in zip(blocks, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if last > first:
            yield block, slice(first, last), rows[first:last] - block.start


def gathered(
    blocks: Sequence[Block], rows: IntArray, part: Callable[[Block], NDArray[Any]], like: NDArray[Any]
) -> NDArray[Any]:
    """The rows of one array of every block, in any order, copied; shaped as the rows of `like`."""
    order = np.argsort(rows, kind="stable")
    out = np.empty((len(rows), *like.shape[1:]), like.dtype)
    for block, places, inside in spans(blocks, rows[order]):
        out[order[places]] = part(block)[inside]
    return out
