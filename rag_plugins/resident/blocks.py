"""Full vectors in blocks: what is appended never moves the rows before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_plugins.resident.kernels import IntArray
from rag_plugins.vectors import Matrix

__all__ = ["Block", "gathered", "grown", "spans"]

_SMALLEST = 1024
_GROWTH = 2
"""A new block has room for this part of the rows there are: little is ever empty, and blocks stay few."""

_TINY = 4
"""A new block takes in those before it that are smaller than this part of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows `start` to `end` of the index, in an array with room for more.

    A reader looks at no row beyond them, so the writer may fill the room meanwhile.
    """

    start: int
    end: int
    array: NDArray[Any]

    @property
    def rows(self) -> NDArray[Any]:
        """(end - start, dim), float32 or float16."""
        return self.array[: self.end - self.start]

    def write(self, vectors: NDArray[Any]) -> Block:
        """With more rows, which there is room for."""
        used = self.end - self.start
        self.array[used : used + len(vectors)] = vectors
        return replace(self, end=self.end + len(vectors))


def grown(blocks: tuple[Block, ...], vectors: Matrix, dtype: str) -> tuple[Block, ...]:
    """With more rows at the end: in the room of the last block, the rest in a new one."""
    kept, rest = list(blocks), vectors
    if kept:
        *kept, last = kept
        room = len(last.array) - (last.end - last.start)
        kept.append(last.write(vectors[:room]) if room else last)  # What a snapshot gave may be read-only.
        rest = vectors[room:]
    if len(rest):
        kept.append(_new(kept, rest, dtype))
    return tuple(kept)


def _new(kept: list[Block], vectors: Matrix, dtype: str) -> Block:
    """A block of these rows, and of those of tiny blocks, which are taken from the end of `kept`.

    Sessions that each add a few rows would else leave a block each.
    """
    rows = kept[-1].end if kept else 0
    room = max(_SMALLEST, rows // _GROWTH, len(vectors))
    tiny: list[Block] = []
    while kept and len(kept[-1].rows) < room // _TINY:
        tiny.append(kept.pop())
    start = kept[-1].end if kept else 0
    block = Block(start, start, np.empty((rows - start + room, vectors.shape[1]), dtype))
    for other in reversed(tiny):
        block = block.write(other.rows)
    return block.write(vectors)


def spans(blocks: Sequence[Block], rows: IntArray) -> Iterator[tuple[Block, slice, IntArray]]:
    """Ascending rows by block: the block, where among `rows` its rows are, and their places in it."""
    ends = [block.end for block in blocks[:-1]]
    edges = [*(np.searchsorted(rows, ends).tolist() if ends else ()), len(rows)]
    first = 0
    for block, last in zip(blocks, edges, strict=False):  # Without blocks there are no rows.
        if last > first:
            yield block, slice(first, last), rows[first:last] - block.start
        first = last


def gathered(blocks: Sequence[Block], rows: IntArray, dim: int, dtype: str) -> NDArray[Any]:
    """A copy of rows in any order, (len(rows), dim)."""
    order = np.argsort(rows, kind="stable")
    out = np.empty((len(rows), dim), dtype)
    for block, places, inside in spans(blocks, rows[order]):
        out[order[places]] = block.array[inside]
    return out
